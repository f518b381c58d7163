"""Batches that the loaders yield, and the step from stored values to normalised inputs, which runs on the batch's device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation
from segbench.util.image_size import Size


@dataclass(frozen=True)
class TrainBatch:
    """Normalised inputs (N, C, H, W) float32 by position, mask (N, H, W) int64, a loss's extras and the samples' ids."""

    inputs: tuple[Tensor, ...]
    mask: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    ids: tuple[str, ...] = ()

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> TrainBatch:
        """The batch on a device; itself where it already lies there."""
        return replace(
            self,
            inputs=tuple(x.to(device, non_blocking=non_blocking) for x in self.inputs),
            mask=self.mask.to(device, non_blocking=non_blocking),
            extras={name: x.to(device, non_blocking=non_blocking) for name, x in self.extras.items()},
        )


@dataclass(frozen=True)
class EvalBatch:
    """Normalised inputs (N, C, h, w) of one size, masks (H, W) int64 at the labels' own sizes, ids, and positions in the split.

    ``content`` is the size (h, w) of each image as resized, before any padding.
    """

    inputs: tuple[Tensor, ...]
    masks: list[Tensor]
    ids: tuple[str, ...]
    indices: tuple[int, ...]
    content: list[Size]

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> EvalBatch:
        """The batch on a device; itself where it already lies there."""
        return replace(
            self,
            inputs=tuple(x.to(device, non_blocking=non_blocking) for x in self.inputs),
            masks=[mask.to(device, non_blocking=non_blocking) for mask in self.masks],
        )


def planned_normalisation(plan: InputPlan) -> dict[str, Normalisation]:
    """Normalisation of each input that the plan uses, in order of use."""
    return {name: plan.normalisation[name] for group in plan.groups for name in group}


class Normaliser:
    """Positional inputs of a model from stored values (N, C, H, W) by input name, on one device."""

    def __init__(self, plan: InputPlan, device: torch.device) -> None:
        self._groups = plan.groups
        self._norms = planned_normalisation(plan)
        # made once: a constant copied to a GPU for each batch would make the host wait
        self._means = {name: _per_channel(norm.mean, device) for name, norm in self._norms.items()}
        self._stds = {name: _per_channel(norm.std, device) for name, norm in self._norms.items()}

    def __call__(self, stored: Mapping[str, Tensor], *, content: Tensor | None = None) -> tuple[Tensor, ...]:
        """Normalised inputs, 0 outside ``content`` (N, 4), each image's box (top, left, height, width) that is no padding."""
        tensors = tuple(self._concatenate_group(group, stored) for group in self._groups)
        if content is None:
            return tensors
        outside = ~_content_mask(content, (tensors[0].shape[-2], tensors[0].shape[-1]))
        return tuple(tensor.masked_fill_(outside, 0.0) for tensor in tensors)

    def _concatenate_group(self, group: tuple[str, ...], stored: Mapping[str, Tensor]) -> Tensor:
        parts = [self._normalise_input(name, stored[name]) for name in group]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _normalise_input(self, name: str, values: Tensor) -> Tensor:
        wide = values.to(torch.float32)
        # in place where the conversion has made a new tensor: on a CPU that takes half the time
        scaled = wide * self._norms[name].scale if wide is values else wide.mul_(self._norms[name].scale)
        return scaled.sub_(self._means[name]).div_(self._stds[name])


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape stacked, in the widest of their dtypes."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return torch.stack([tensor.to(dtype) for tensor in tensors])


def _per_channel(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)


def _content_mask(content: Tensor, size: Size) -> Tensor:
    """(N, 1, H, W): True where a pixel lies in its image's box."""
    top, left, height, width = (column.view(-1, 1) for column in content.unbind(1))
    rows = torch.arange(size[0], device=content.device)[None]
    columns = torch.arange(size[1], device=content.device)[None]
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
