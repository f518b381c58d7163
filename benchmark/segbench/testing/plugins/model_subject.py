"""A model under test: the tasks it should take, networks built for them, and inputs to feed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from segbench.networks.network import Network, build_network, resize_logits
from segbench.plugin.input_sizes import largest_image, trial_size
from segbench.plugin.inputs import plan_inputs
from segbench.plugin.options import Options
from segbench.plugin.specs import ModelSpec, Task, resolve
from segbench.testing.check import during, fail
from segbench.util.image_size import Size

_TRAINING_SIDE = 64


@dataclass(frozen=True)
class ModelSubject:
    """A model with its options, and the class and channel counts at which it is tried.

    Counts that ``spec.check`` refuses are left out; where ``spec.channels`` names counts, those are tried instead.
    Every count is met at least once; ``thorough`` tries every combination. ``tried`` is the only image size at which the model is tried;
    without it sizes are chosen that the spec allows.
    """

    spec: ModelSpec
    options: Options
    class_counts: tuple[int, ...] = (2, 7, 21)
    channel_counts: tuple[int, ...] = (1, 3, 4)
    thorough: bool = False
    tried: Size | None = None

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks to try, at least one."""
        refused: list[str] = []
        channels = self._channel_choices()
        classes = [c for c in self.class_counts if self._takes(_task(c, channels[0]), refused)]
        if not classes:
            fail(f"spec.check refuses every task that was tried: {'; '.join(dict.fromkeys(refused))}")
        channels = [count for count in channels if self._takes(_task(classes[0], count), refused)]
        if self.thorough:
            return tuple(_task(c, count) for c in classes for count in channels)
        rounds = max(len(classes), len(channels))
        return tuple(_task(classes[i % len(classes)], channels[i % len(channels)]) for i in range(rounds))

    @property
    def task(self) -> Task:
        """One task for checks that need only one (by default seven classes, three channels)."""
        return self.tasks[min(1, len(self.tasks) - 1)]

    @property
    def size(self) -> tuple[int, int]:
        """An even size that suits training steps."""
        return self.tried or trial_size(self.spec, (_TRAINING_SIDE, _TRAINING_SIDE))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """An odd and an even size, not square, from the smallest that the spec allows (at least 32)."""
        if self.tried:
            return (self.tried,)
        base = max(self.spec.min_size, 32)
        even = base + base % 2
        sizes = ((base | 1, (base + 32) | 1), (even + 32, even + 64))
        most = largest_image(self.spec)
        return sizes if most is None else tuple(dict.fromkeys((min(h, most[0]), min(w, most[1])) for h, w in (*sizes, most)))

    def build(self, task: Task | None = None, *, seed: int = 0) -> Network:
        """A fresh network."""
        task = task or self.task
        with during(f"build with {describe(task)}"):
            _, model_task = plan_inputs(self.spec, task, self.options)
            return build_network(self.spec, model_task, self.options, seed=seed)

    def lived_in(self) -> Network:
        """A network with perturbed weights and running statistics: a scalar at 0 or fresh statistics hide faults."""
        network = self.build().train()
        with torch.random.fork_rng(devices=[]), torch.no_grad(), during("forward in training mode at batch 4"):
            torch.manual_seed(0)
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
            network(*self.inputs(self.size, batch=4))
        return network.eval()

    def inputs(self, size: tuple[int, int], *, task: Task | None = None, batch: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Normal noise (N, C, H, W) for each input, always the same for one seed."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(torch.randn(batch, c, *size, generator=generator) for c in (task or self.task).inputs.values())

    def _channel_choices(self) -> list[dict[str, int]]:
        counts = {name: self.spec.channels.get(name) or self.channel_counts for name in self.spec.inputs}
        longest = max(len(c) for c in counts.values())
        return [{name: c[i % len(c)] for name, c in counts.items()} for i in range(longest)]

    def _takes(self, task: Task, refused: list[str]) -> bool:
        if self.spec.check is None:
            return True
        with during(f"spec.check with {describe(task)}"):
            problems = list(resolve(self.spec.check)(task, self.options))
        refused.extend(problems)
        return not problems


def describe(task: Task) -> str:
    """The counts of a task, for messages.

    >>> describe(_task(7, {"image": 3}))
    '7 classes, image=3'
    """
    return f"{task.num_classes} classes, {', '.join(f'{name}={c}' for name, c in task.inputs.items())}"


def training_loss(subject: ModelSubject, outputs: dict[str, Tensor], *, seed: int) -> Tensor:
    """Cross-entropy against random labels, auxiliary outputs weighted as the spec says."""
    size = subject.size
    generator = torch.Generator().manual_seed(seed)
    logits = outputs["logits"]
    mask = torch.randint(0, subject.task.num_classes, (logits.shape[0], *size), generator=generator)
    weights = {"logits": 1.0, **subject.spec.aux_weights}
    losses = [w * functional.cross_entropy(resize_logits(outputs[name], size), mask) for name, w in weights.items() if name in outputs]
    return torch.stack(losses).sum()


def _task(num_classes: int, inputs: dict[str, int]) -> Task:
    rgb = tuple(name for name in inputs if name == "image")
    return Task(class_names=tuple(f"class{i}" for i in range(num_classes)), inputs=inputs, rgb=rgb)
