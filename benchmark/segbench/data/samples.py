"""Samples of a dataset: read, checked against the task, and in the dtypes that geometry works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segbench.data.reader import layers
from segbench.errors import DataError, SegbenchError
from segbench.plugin.specs import Normalisation, Sample, Task

STORED_DTYPES: tuple[torch.dtype, ...] = tuple(getattr(torch, name) for name in layers.STORED_DTYPES)
"""Dtypes of the inputs that a dataset may return."""

_MAX_UINT8 = 255


@dataclass(frozen=True)
class Fields:
    """A checked sample: inputs (C, H, W) uint8 or finite float32, mask (H, W) in a compact integer type, and the id."""

    inputs: Mapping[str, Tensor]
    mask: Tensor
    id: str


def load_sample(samples: Sequence[Sample], index: int) -> Sample:
    """One sample as the dataset gives it; :class:`DataError` where the dataset raises anything."""
    try:
        return samples[index]
    except SegbenchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataError(f"sample {index} cannot be read ({reason}). 'segbench data check' lists all such files.") from error


def read_sample(samples: Sequence[Sample], index: int, *, task: Task) -> Sample:
    """One sample, checked against the task.

    Raises :class:`DataError` where it cannot be read, lacks an input, has the wrong number of channels, sizes that differ
    or labels outside the classes.
    """
    sample = load_sample(samples, index)
    _check_inputs(sample, task)
    _check_labels(sample, task)
    return sample


def read_fields(samples: Sequence[Sample], index: int, *, task: Task, normalisation: Mapping[str, Normalisation]) -> Fields:
    """A checked sample with the inputs that ``normalisation`` names: uint8 stays, anything else becomes float32.

    NaN and infinity become the channel's mean (0 after normalisation), so that no resampling spreads them.
    """
    sample = read_sample(samples, index, task=task)
    inputs = {name: working_form(sample.inputs[name], norm) for name, norm in normalisation.items()}
    return Fields(inputs, compact(sample.mask, ignore_index=task.ignore_index), sample.id)


def compact(mask: Tensor, *, ignore_index: int) -> Tensor:
    """The mask as uint8 where its values and the ignore index fit, else as int64.

    >>> compact(torch.tensor([[0, 255]]), ignore_index=255).dtype, compact(torch.tensor([[0, -1]]), ignore_index=-1).dtype
    (torch.uint8, torch.int64)
    """
    if mask.dtype == torch.uint8 and 0 <= ignore_index <= _MAX_UINT8:
        return mask
    if mask.numel() and 0 <= ignore_index <= _MAX_UINT8:
        low, high = mask.aminmax()
        if low >= 0 and high <= _MAX_UINT8:
            return mask.to(torch.uint8)
    return mask.to(torch.int64)


def _check_inputs(sample: Sample, task: Task) -> None:
    if sample.mask.ndim != 2 or sample.mask.numel() == 0:
        raise DataError(f"sample '{sample.id}': its mask has the shape {tuple(sample.mask.shape)} where (H, W) was expected")
    for name, channels in task.inputs.items():
        if name not in sample.inputs:
            raise DataError(f"sample '{sample.id}' has no input '{name}' (it has {', '.join(sample.inputs) or 'none'})")
        shape = tuple(sample.inputs[name].shape)
        if shape != (channels, *sample.mask.shape):
            raise DataError(
                f"sample '{sample.id}': input '{name}' is {_shape_text(shape)} where "
                f"{_shape_text((channels, *sample.mask.shape))} was expected "
                "(channels x the mask's height x width). Image and label must be of one size."
            )


def _check_labels(sample: Sample, task: Task) -> None:
    mask = compact(sample.mask, ignore_index=task.ignore_index)  # the comparisons below are several times as fast in 8 bits
    bad = (mask >= task.num_classes) & (mask != task.ignore_index)
    if mask.dtype != torch.uint8:
        bad |= (mask < 0) & (mask != task.ignore_index)
    if bad.any():
        values = torch.unique(mask[bad]).tolist()
        raise DataError(
            f"sample '{sample.id}' has the label {', '.join(map(str, values[:5]))}{', ..' if len(values) > 5 else ''}, but the task has "
            f"{task.num_classes} classes (0 to {task.num_classes - 1}) and ignores {task.ignore_index}. "
            "'segbench data check' suggests an ignore index or a value map."
        )


def working_form(values: Tensor, norm: Normalisation) -> Tensor:
    """Stored values (C, H, W) in a dtype that geometry works on: uint8 stays, else float32 with the channel's mean for missing values."""
    if values.dtype == torch.uint8:
        return values
    wide = values.to(torch.float32)
    if not values.dtype.is_floating_point:
        return wide
    finite = torch.isfinite(wide)
    if finite.all():
        return wide
    mean = torch.tensor(norm.mean, dtype=torch.float32).div(norm.scale).view(-1, 1, 1)
    return torch.where(finite, wide, mean)


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
