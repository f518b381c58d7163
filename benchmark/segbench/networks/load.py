"""Networks loaded from checkpoints, and the plain data by which a checkpoint describes its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.errors import CheckpointError, SegbenchError
from segbench.networks.checkpoints import Checkpoint, load_model_state, read_checkpoint
from segbench.networks.derive import derive_model, rebuild_network
from segbench.networks.network import Network, build_network
from segbench.plugin.choice import parse_choice
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import ModelSpec, Normalisation, Task

_NO_DOWNLOAD: dict[str, Any] = {"pretrained": False, "weights": None}


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network with everything that is needed to run it on its dataset or on another."""

    network: Network
    model: Chosen[ModelSpec]
    task: Task
    model_task: Task
    plan: InputPlan
    meta: Mapping[str, Any]


def describe_training(
    *, model: Chosen[ModelSpec], loss: str, task: Task, model_task: Task, plan: InputPlan, image_size: tuple[int, int], seed: int
) -> dict[str, Any]:
    """The ``meta`` of a checkpoint: model, options, task, input plan and normalisation, image size (height, width)."""
    return {
        "model": str(model),
        "model_name": model.spec.name,
        "model_options": model.options.values(),
        **({"model_parts": model.parts_record()} if model.parts else {}),
        "model_plugin": model.code.identity,
        "loss": loss,
        "task": task_to_dict(task),
        "model_task": task_to_dict(model_task),
        "plan": plan_to_dict(plan),
        "image_size": list(image_size),
        "seed": seed,
    }


def load_network(path: Path, catalog: Catalog) -> LoadedNetwork:
    """Build the network that a checkpoint describes and load its weights; nothing is downloaded.

    Raises :class:`CheckpointError` for a foreign or damaged file, or one whose model has changed since.
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint.meta
    if "model_name" not in meta:
        raise CheckpointError(f"{path} does not say which model it is of. Use it with train.init_from instead.")
    chosen = _model_of_checkpoint(path, catalog, checkpoint)
    task, model_task = task_from_dict(meta["task"]), task_from_dict(meta["model_task"])
    if chosen.spec.derives is not None:
        network = rebuild_network(chosen, model_task, checkpoint.model_state, seed=int(meta["seed"]))
    else:
        network = build_network(chosen.spec, model_task, chosen.options, seed=int(meta["seed"]))
    load_model_state(network.model, checkpoint.model_state, source=str(path))
    return LoadedNetwork(network.eval(), chosen, task, model_task, plan_from_dict(meta["plan"]), meta)


def task_to_dict(task: Task) -> dict[str, Any]:
    """A task as plain data."""
    return asdict(task)


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The task that :func:`task_to_dict` wrote, also after a round trip through JSON."""
    return Task(
        class_names=tuple(values["class_names"]),
        inputs=dict(values["inputs"]),
        ignore_index=values["ignore_index"],
        normalisation=_normalisations(values["normalisation"]),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in values["palette"]),
        headline=values["headline"],
        rgb=tuple(values["rgb"]),
    )


def plan_to_dict(plan: InputPlan) -> dict[str, Any]:
    """An input plan as plain data."""
    return asdict(plan)


def plan_from_dict(values: Mapping[str, Any]) -> InputPlan:
    """The plan that :func:`plan_to_dict` wrote."""
    return InputPlan(
        groups=tuple(tuple(group) for group in values["groups"]),
        channels=tuple(values["channels"]),
        normalisation=_normalisations(values["normalisation"]),
        early_fusion=values["early_fusion"],
    )


def _normalisations(values: Mapping[str, Any]) -> dict[str, Normalisation]:
    return {name: Normalisation(tuple(v["mean"]), tuple(v["std"]), v["scale"]) for name, v in values.items()}


def recorded_model(meta: Mapping[str, Any], catalog: Catalog) -> Chosen[ModelSpec]:
    """The model with its recorded options, except that no pretrained weights are fetched only to be overwritten."""
    parts = meta.get("model_parts")
    recorded = None if parts is None else [_recorded_part(part) for part in parts]
    return catalog.model(meta["model_name"], _without_download(meta["model_options"]), parts=recorded)


def _model_of_checkpoint(path: Path, catalog: Catalog, checkpoint: Checkpoint) -> Chosen[ModelSpec]:
    try:
        return recorded_model(checkpoint.meta, catalog)
    except SegbenchError as error:
        raise CheckpointError(f"{path} is of the model '{checkpoint.meta['model']}': {error}") from error


def _recorded_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a derived model by its plain name: its recorded options say all that stood in brackets."""
    name = parse_choice(part["model"]).name
    return {"model": name, "options": _without_download(part["options"]), "parts": [_recorded_part(one) for one in part["parts"]] or None}


def _without_download(options: Mapping[str, Any]) -> dict[str, Any]:
    stored = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
    return {**stored, **{name: value for name, value in _NO_DOWNLOAD.items() if name in stored}}


def derive_network(chosen: Chosen[ModelSpec], task: Task, files: Sequence[Path], *, plan: InputPlan | None = None) -> Network:
    """The network that a derived model makes from trained ones. Raises :class:`CheckpointError` where they cannot go together."""
    derivation = chosen.spec.derives
    assert derivation is not None
    catalog = load_catalog()
    loaded = [load_network(file, catalog) for file in files]
    for base, file in zip(loaded, files, strict=True):
        if base.model_task.num_classes != task.num_classes:
            raise CheckpointError(f"'{file.parent.name}' knows {base.model_task.num_classes} classes, {chosen} needs {task.num_classes}")
        if plan is not None and (base.plan.groups != plan.groups or not same_normalisation(base.plan.normalisation, plan.normalisation)):
            raise CheckpointError(
                f"{chosen}: '{file.parent.name}' was trained on otherwise normalised inputs, and all members see the same tensor. "
                "Choose members whose encoders share a normalisation."
            )
    model = derive_model(derivation, [base.network for base in loaded], task, chosen.options)
    return Network(model, chosen.spec, task.num_classes)


def same_normalisation(one: Mapping[str, Normalisation], other: Mapping[str, Normalisation]) -> bool:
    """True where two normalisations give the same values.

    >>> same_normalisation({"image": Normalisation((0.5,), (0.5,))}, {"image": Normalisation((0.5,), (0.25,))})
    False
    """
    return set(one) == set(other) and all(
        abs(a - b) <= 1e-6
        for name in one
        for mine, theirs in ((one[name], other[name]),)
        for a, b in zip((*mine.mean, *mine.std, mine.scale), (*theirs.mean, *theirs.std, theirs.scale), strict=True)
    )
