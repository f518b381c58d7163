"""Application of a loss: to each head with its weight, at the mask's size, in float32 whatever precision the network ran in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from segbench.errors import PluginError, TrainingError
from segbench.networks.network import resize_logits
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import LossBatch, LossSpec, Progress, Task, resolve


@dataclass(frozen=True)
class LossValue:
    """A scalar that still has its graph, and the named parts that it is the sum of (empty where it has only one)."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class AppliedLoss:
    """A plugin's loss with everything that the harness adds: call it with raw outputs {"logits": (N, K, h, w), aux..}."""

    def __init__(
        self, spec: LossSpec, function: Callable[..., Any], *, aux_weights: Mapping[str, float], inner: AppliedLoss | None = None
    ) -> None:
        self.spec = spec
        self.inner = inner
        self.function = function
        self.prepare: Callable[[Tensor], Mapping[str, Tensor]] | None = resolve(spec.prepare) if spec.prepare else None
        self._weights = {"logits": 1.0, **{name: weight for name, weight in aux_weights.items() if weight != 0}}

    @property
    def plain(self) -> AppliedLoss:
        """The loss without a teacher, which validation computes."""
        return self.inner.plain if self.inner is not None else self

    @property
    def module(self) -> nn.Module | None:
        """The loss as a module where it is one: its parameters are trained and its state is saved."""
        return self.function if isinstance(self.function, nn.Module) else None

    def parameters(self) -> list[nn.Parameter]:
        """The loss's own parameters."""
        return list(self.module.parameters()) if self.module else []

    def __call__(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> LossValue:
        size = (batch.mask.shape[-2], batch.mask.shape[-1])
        with torch.autocast(batch.mask.device.type, enabled=False):
            if self.spec.takes == "batch":
                resized = {name: resize_logits(value.float(), size) for name, value in outputs.items()}
                weights = {name: weight for name, weight in self._weights.items() if name in outputs}
                return self._sum(self.function(resized, dataclasses.replace(batch, output_weights=weights), progress))
            parts = {
                name: weight * self._scalar(self.function(resize_logits(outputs[name].float(), size), batch.mask))
                for name, weight in self._weights.items()
                if name in outputs
            }
        return self._sum(parts)

    def _sum(self, value: Any) -> LossValue:
        if not isinstance(value, Mapping):
            return LossValue(self._scalar(value))
        parts = {name: self._scalar(part) for name, part in value.items()}
        if not parts:
            raise PluginError(f"loss '{self.spec.name}' returned no parts")
        total = torch.stack([part.float() for part in parts.values()]).sum()
        return LossValue(total, {name: part.detach() for name, part in parts.items()} if len(parts) > 1 else {})

    def _scalar(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise PluginError(f"loss '{self.spec.name}' returned {shape} where a scalar tensor was expected")
        return value


def build_loss(
    chosen: Chosen[LossSpec],
    task: Task,
    *,
    aux_weights: Mapping[str, float],
    seed: int,
    device: torch.device,
    teacher: Callable[..., Tensor] | None = None,
) -> AppliedLoss:
    """The loss on a device; the same seed gives the same starting values of its own parameters. ``teacher`` is for one that distils."""
    inner = None
    further: tuple[Any, ...] = ()
    if chosen.spec.distils:
        if teacher is None:
            raise TrainingError(f"loss '{chosen}' needs a teacher: give --teacher RUN/CELL")
        inner = build_loss(chosen.parts[0], task, aux_weights=aux_weights, seed=seed, device=device, teacher=teacher)
        further = (InnerLoss(inner), teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        function = resolve(chosen.spec.build)(task, chosen.options, *further)
    if not callable(function):
        raise PluginError(f"loss '{chosen.spec.name}': build returned {type(function).__name__}, which cannot be called")
    if isinstance(function, nn.Module):
        function = function.to(device)
    return AppliedLoss(chosen.spec, function, aux_weights=aux_weights, inner=inner)


class InnerLoss(nn.Module):
    """A loss inside another: called with outputs at mask size, it gives a scalar. Its parameters and buffers belong to the outer loss."""

    def __init__(self, applied: AppliedLoss) -> None:
        super().__init__()
        self.module = applied.module
        self._applied = applied

    def forward(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> Tensor:
        return self._applied(outputs, batch, progress).total


def valid_pixels(mask: Tensor, ignore_index: int) -> Tensor:
    """The number of pixels of a mask (N, H, W) that are not ignored, as a scalar on its device.

    >>> valid_pixels(torch.tensor([[[0, 1, 255]]]), 255)
    tensor(2)
    """
    return torch.count_nonzero(mask != ignore_index)
