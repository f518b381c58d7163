"""Statistics of a training split: mean and deviation per channel where the task declares none, and the range of its values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from segbench.data.samples import load_sample, read_sample
from segbench.errors import DataError
from segbench.plugin.specs import Normalisation, Sample, Task
from segbench.util.sequences import counted, evenly_spaced
from segbench.util.value_range import ValueRange, value_range

SAMPLES = 500
RANGE_SAMPLES = 32
_CONSTANT = 1e-9  # deviation as a share of the mean below which only rounding is left


class ChannelStatistics:
    """Running count, mean and sum of squared deviations per channel, in float64, of finite values only.

    Partial results are combined as Chan, Golub and LeVeque do (1979, eq. 1.5), which loses no digits to large means.
    """

    def __init__(self, channels: int) -> None:
        self.count = torch.zeros(channels, dtype=torch.float64)
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros(channels, dtype=torch.float64)

    def add(self, image: Tensor) -> None:
        """Take in an image (C, H, W) of any dtype."""
        values = image.flatten(1).to(torch.float64)
        finite = torch.isfinite(values)
        count = finite.sum(dim=1).to(torch.float64)
        finite_values = values.where(finite, 0.0)
        mean = finite_values.sum(dim=1) / count.clamp(min=1)
        squares = (finite_values - mean[:, None]).where(finite, 0.0).square().sum(dim=1)
        total = (self.count + count).clamp(min=1)
        difference = mean - self.mean
        self._squares += squares + difference.square() * self.count * count / total
        self.mean += difference * count / total
        self.count += count

    @property
    def deviation(self) -> Tensor:
        """Population standard deviation; 1 for a channel that is constant, which normalisation then only shifts."""
        deviation = (self._squares / self.count.clamp(min=1)).sqrt()
        constant = deviation <= _CONSTANT * self.mean.abs()
        return deviation.where(~constant, 1.0)


def compute_normalisation(
    samples: Sequence[Sample], task: Task, inputs: Sequence[str], *, limit: int = SAMPLES
) -> dict[str, Normalisation]:
    """Normalisation of the named inputs (scale 1), from at most ``limit`` samples at even distances in the split.

    Raises :class:`DataError` where there are no samples or a channel has no finite value.
    """
    if not inputs:
        return {}
    if len(samples) == 0:
        raise DataError("normalisation cannot be computed from an empty training split")
    statistics = {name: ChannelStatistics(task.inputs[name]) for name in inputs}
    count = min(limit, len(samples))
    for i in range(count):
        sample = read_sample(samples, i * len(samples) // count, task=task)
        for name, running in statistics.items():
            running.add(sample.inputs[name])
    return {name: _normalisation(name, running, count) for name, running in statistics.items()}


def value_ranges(samples: Sequence[Sample], inputs: Iterable[str], *, limit: int = RANGE_SAMPLES) -> dict[str, ValueRange]:
    """The range of each input's values, from at most ``limit`` samples at even distances; inputs without a finite value are left out."""
    drawn = [load_sample(samples, index).inputs for index in evenly_spaced(len(samples), limit)]
    ranges = {name: value_range(values[name].numpy() for values in drawn if name in values) for name in inputs}
    return {name: one for name, one in ranges.items() if one is not None}


def _normalisation(name: str, running: ChannelStatistics, count: int) -> Normalisation:
    empty = (running.count == 0).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"input '{name}': channel {empty[0]} has no finite value in {counted(count, 'training sample')}. Is the file the right one?"
        )
    return Normalisation(mean=tuple(running.mean.tolist()), std=tuple(running.deviation.tolist()))
