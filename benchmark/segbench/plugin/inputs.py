"""The plan by which a task's inputs become a model's positional tensors; tasks that do not fit the model are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from segbench.errors import ConfigError, PluginError
from segbench.plugin.options import Options
from segbench.plugin.specs import IGNORE_INDEX, ModelSpec, Normalisation, Task, resolve
from segbench.util.sequences import counted


@dataclass(frozen=True)
class InputPlan:
    """Positional tensors of a model: each entry of ``groups`` names the task inputs whose channels are concatenated."""

    groups: tuple[tuple[str, ...], ...]
    channels: tuple[int, ...]
    normalisation: Mapping[str, Normalisation]
    early_fusion: bool = False

    def unused(self, task: Task) -> tuple[str, ...]:
        """Inputs of the task that the model does not take."""
        used = {name for group in self.groups for name in group}
        return tuple(name for name in task.inputs if name not in used)

    def missing_normalisation(self) -> tuple[str, ...]:
        """Inputs whose mean and deviation must be computed from the training split."""
        return tuple(name for group in self.groups for name in group if name not in self.normalisation)

    def with_normalisation(self, computed: Mapping[str, Normalisation]) -> InputPlan:
        """The same plan with computed normalisations where none was declared."""
        return replace(self, normalisation={**computed, **self.normalisation})


def plan_inputs(spec: ModelSpec, task: Task, options: Options) -> tuple[InputPlan, Task]:
    """The input plan, and the task as the model sees it (one fused ``image`` where a one-image model meets several inputs).

    A model that comes with its weights has the classes of these. Raises :class:`ConfigError` where the dataset's inputs do not fit the
    model.
    """
    if len(spec.inputs) == 1 and tuple(task.inputs) != spec.inputs:
        # early fusion: a one-image model sees all there is, concatenated by channel
        groups: tuple[tuple[str, ...], ...] = (tuple(task.inputs),)
        model_task, fused = _fused_task(spec.inputs[0], task), len(task.inputs) > 1
    elif all(name in task.inputs for name in spec.inputs):
        groups = tuple((name,) for name in spec.inputs)
        model_task, fused = task, False
    else:
        raise ConfigError(
            f"model '{spec.name}' takes the inputs {_list(spec.inputs)}, but the dataset gives {_list(task.inputs)}. "
            "Choose a dataset with these inputs, or a one-image model."
        )
    channels = tuple(sum(task.inputs[name] for name in group) for group in groups)
    for name, count in zip(spec.inputs, channels, strict=True):
        allowed = spec.channels.get(name)
        if allowed and count not in allowed:
            raise ConfigError(
                f"model '{spec.name}' takes {' or '.join(map(str, allowed))} channels as '{name}', but the dataset gives {count}."
            )
    normalisation = dict(task.normalisation)
    own = resolve(spec.normalise)(model_task, options) if spec.normalise else None
    for name, norm in (own or {}).items():
        if name not in spec.inputs:
            raise PluginError(f"model '{spec.name}': normalise speaks of the input '{name}', but the model takes {_list(spec.inputs)}")
        index = spec.inputs.index(name)
        if len(norm.mean) != channels[index]:
            takes = counted(channels[index], "channel")
            raise PluginError(f"model '{spec.name}': normalise gives {counted(len(norm.mean), 'mean')} for {takes} of '{name}'")
        if len(groups[index]) == 1:
            normalisation[groups[index][0]] = norm
    if spec.given is not None:
        own_names = resolve(spec.given)(model_task, options).class_names
        model_task = with_classes(model_task, own_names or model_task.class_names)
    return InputPlan(groups, channels, normalisation, early_fusion=fused), model_task


def with_classes(task: Task, class_names: tuple[str, ...]) -> Task:
    """The task with the classes of another network."""
    if class_names == task.class_names:
        return task
    ignored = task.ignore_index if task.ignore_index >= len(class_names) else max(IGNORE_INDEX, len(class_names))
    return replace(task, class_names=class_names, ignore_index=ignored, palette=(), headline=None)


def _fused_task(name: str, task: Task) -> Task:
    channels = sum(task.inputs.values())
    only = next(iter(task.inputs)) if len(task.inputs) == 1 else None
    normalisation = {name: task.normalisation[only]} if only and only in task.normalisation else {}
    rgb = (name,) if only and only in task.rgb else ()
    return replace(task, inputs={name: channels}, normalisation=normalisation, rgb=rgb)


def _list(names: object) -> str:
    return ", ".join(f"'{n}'" for n in names)  # type: ignore[attr-defined]
