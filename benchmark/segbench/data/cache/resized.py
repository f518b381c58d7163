"""The second layer of the decoded cache: samples already at the training size, where that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torchvision

from segbench.config.settings import DataSettings, TrainSettings
from segbench.data.cache.cache import Report, cached
from segbench.data.cache.entry import CachedSamples
from segbench.data.samples import load_sample
from segbench.data.transforms import NATIVE, Policy, ResizedSamples
from segbench.plugin.specs import Sample, Task
from segbench.util.image_size import Size, parse_growing_size


class LayeredSamples(Sequence[Sample]):
    """A split at native size, with copies already warped to some training sizes."""

    def __init__(self, native: Sequence[Sample], resized: Mapping[Size, Sequence[Sample]]) -> None:
        self._native = native
        self._resized = dict(resized)

    def __len__(self) -> int:
        return len(self._native)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        return self._native[index]

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The samples' ids where the cache knows them, without reading any."""
        return getattr(self._native, "ids", None)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of its copies."""
        return tuple(self._resized)

    def at(self, size: Size) -> Sequence[Sample]:
        """The samples at ``size`` if they were cached, else at native size."""
        return self._resized.get((size[0], size[1]), self._native)


def samples_at(samples: Sequence[Sample], size: Size, policy: Policy) -> Sequence[Sample]:
    """The samples that training at ``size`` reads: ``enhanced`` and ``crop`` cut at native size, the others warp to ``size`` first."""
    return samples.at(size) if isinstance(samples, LayeredSamples) and policy not in NATIVE else samples


def training_samples(
    samples: Sequence[Sample],
    *,
    key: str,
    task: Task,
    data: DataSettings,
    train: TrainSettings,
    report: Report | None = None,
) -> Sequence[Sample]:
    """The training split out of the decoded cache, with a layer per training size for 8-bit data under ``none`` and ``standard``.

    Training sees the same values, bit for bit, as it would without any cache. ``report`` is told what was not cached, and why.
    """
    native = cached(samples, key=key, settings=data, report=report)
    if data.cache_gb == 0 or train.augmentation in NATIVE or len(samples) == 0:
        return native
    first = load_sample(native, 0)
    if any(image.dtype != torch.uint8 for image in first.inputs.values()):
        return native
    resized = {}
    for _, size in parse_growing_size(train.image_size):
        if size == tuple(first.mask.shape):
            continue
        # the kernels' versions belong to the key: another release may round otherwise
        name = f"{key} | {size[0]}x{size[1]} | torch {torch.__version__} | torchvision {torchvision.__version__}"
        layer = cached(ResizedSamples(native, size, task), key=name, settings=data, report=report)
        if isinstance(layer, CachedSamples):
            resized[size] = layer
    return LayeredSamples(native, resized) if resized else native
