"""A loss under test: a task it accepts, logits and labels, and one way to call both kinds of loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from segbench.options import Options
from segbench.specs import LossBatch, LossSpec, Progress, Task, resolve
from segbench.testing.check import during, fail

START = Progress(epoch=0, epochs=10, step=0, steps=100)


@dataclass(frozen=True)
class LossSubject:
    """A loss with its options, tried on the first of ``class_counts`` that ``spec.check`` accepts.

    ``progress`` is what a loss that changes with time is told.
    """

    spec: LossSpec
    options: Options
    class_counts: tuple[int, ...] = (3, 2)
    progress: Progress = START

    @cached_property
    def task(self) -> Task:
        """The task for which the loss is built."""
        refused: list[str] = []
        for count in self.class_counts:
            task = Task(class_names=tuple(f"class{i}" for i in range(count)))
            if self.spec.check is None:
                return task
            with during(f"spec.check with {count} classes"):
                problems = list(resolve(self.spec.check)(task, self.options))
            if not problems:
                return task
            refused.extend(problems)
        return fail(f"spec.check refuses every task that was tried: {'; '.join(dict.fromkeys(refused))}")

    def build(self) -> Callable[..., Any]:
        """A fresh loss."""
        with during(f"build with {self.task.num_classes} classes"):
            loss = resolve(self.spec.build)(self.task, self.options)
        if not callable(loss):
            fail(f"build returned {type(loss).__name__}, which cannot be called")
        return loss  # type: ignore[no-any-return]

    def logits(self) -> Tensor:
        """Normal noise (2, K, 12, 16)."""
        return torch.randn(2, self.task.num_classes, 12, 16, generator=torch.Generator().manual_seed(0))

    def mask(self, *, ignored: bool = False) -> Tensor:
        """Labels (2, 12, 16): every class, and where ``ignored`` about a third of the pixels ignored."""
        generator = torch.Generator().manual_seed(1)
        mask = torch.randint(0, self.task.num_classes, (2, 12, 16), generator=generator)
        if ignored:
            mask[torch.rand(mask.shape, generator=generator) < 1 / 3] = self.task.ignore_index
        return mask

    def value(self, logits: Tensor, mask: Tensor, *, case: str, loss: Callable[..., Any] | None = None) -> Tensor:
        """The loss; parts of a loss with ``takes = "batch"`` are summed. Random choices inside are the same in every call."""
        loss = loss or self.build()
        with torch.random.fork_rng(devices=[]), during(f"the loss with {case}"):
            torch.manual_seed(0)
            if self.spec.takes == "logits":
                result = loss(logits, mask)
            else:
                batch = LossBatch(inputs=(logits.new_zeros(logits.shape[0], 3, *mask.shape[1:]),), mask=mask, extras=self._extras(mask))
                result = loss({"logits": logits}, batch, self.progress)
        return self._total(result, case)

    def gradient(self, logits: Tensor, mask: Tensor, *, case: str) -> tuple[Tensor, Tensor]:
        """The loss, and its gradient by the logits (zeros where the loss does not depend on them)."""
        leaf = logits.detach().clone().requires_grad_()
        value = self.value(leaf, mask, case=case)
        if not value.requires_grad:
            fail(f"the loss with {case} cannot be differentiated: compute it with torch from the logits, without .item() or .detach()")
        with during(f"the gradient of the loss with {case}"):
            (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
        return value.detach(), torch.zeros_like(leaf) if gradient is None else gradient

    def _extras(self, mask: Tensor) -> dict[str, Tensor]:
        if self.spec.prepare is None:
            return {}
        prepared = [resolve(self.spec.prepare)(one) for one in mask]
        return {name: torch.stack([extras[name] for extras in prepared]) for name in prepared[0]}

    def _total(self, result: Any, case: str) -> Tensor:
        if self.spec.takes == "batch" and isinstance(result, Mapping) and result:
            result = torch.stack([torch.as_tensor(part) for part in result.values()]).sum()
        if not isinstance(result, Tensor):
            fail(f"the loss with {case} returned {type(result).__name__} instead of a tensor")
        return result
