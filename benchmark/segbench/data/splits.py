"""Splits of a dataset, opened from the decoded cache where that is allowed, else from the dataset's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from segbench.config.settings import DataSettings, Settings
from segbench.data.cache.cache import cache_key, cached
from segbench.data.cache.entry import CachedSamples
from segbench.data.cache.resized import LayeredSamples, training_samples
from segbench.data.folds import SampleView, part_of_splits
from segbench.data.reader.read import reader_identity
from segbench.errors import DataError
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import DatasetSpec, Sample, Task, resolve
from segbench.util.sequences import counted, evenly_spaced

Report = Callable[[str], None]


def open_split(
    dataset: Chosen[DatasetSpec],
    root: Path | None,
    split: str,
    settings: DataSettings,
    *,
    digest: str = "",
    report: Report | None = None,
) -> Sequence[Sample]:
    """The samples of one split, for evaluation; ``report`` is told the reason where it is not cached.

    With ``data.fold`` it is one of the fold's two splits, read out of the cached declared ones: no fold has a copy of its own.
    Raises :class:`DataError` for a split that the dataset does not have, or that is empty.
    """
    declared = _Declared(dataset, root, settings, digest, report)
    if settings.fold is None:
        return declared.native(split)
    load = cache(declared.native)
    return part_of_splits(dataset, split, settings, load, declared.scenes).view(load)


def open_training_split(
    dataset: Chosen[DatasetSpec],
    root: Path | None,
    settings: Settings,
    *,
    task: Task,
    digest: str = "",
    report: Report | None = None,
) -> Sequence[Sample]:
    """The samples of the training split, also kept at the training sizes where that changes nothing."""
    split = settings.train.split
    declared = _Declared(dataset, root, settings.data, digest, report)

    @cache
    def layered(name: str) -> Sequence[Sample]:
        key = declared.key(name)
        return training_samples(declared.files(name), key=key, task=task, data=settings.data, train=settings.train, report=report)

    if settings.data.fold is None:
        return layered(split)
    return _layers(part_of_splits(dataset, split, settings.data, layered, declared.scenes).view(layered))


def split_groups(
    dataset: Chosen[DatasetSpec], root: Path | None, split: str, settings: DataSettings, *, digest: str = ""
) -> tuple[str, ...] | None:
    """The scene of each sample of a split; None where the dataset does not know.

    Raises :class:`DataError` where the dataset names scenes for another number of samples than it has.
    """
    if dataset.spec.groups is None:
        return None
    declared = _Declared(dataset, root, settings, digest, None)
    if settings.fold is None:
        return declared.scenes(split)
    return part_of_splits(dataset, split, settings, cache(declared.native), declared.scenes).groups


@dataclass(frozen=True)
class _Declared:
    """The splits that a dataset declares, with at most ``data.limit`` samples of each."""

    dataset: Chosen[DatasetSpec]
    root: Path | None
    settings: DataSettings
    digest: str
    report: Report | None

    def native(self, split: str) -> Sequence[Sample]:
        """The samples at their own size, cached."""
        return cached(self.files(split), key=self.key(split), settings=self.settings, report=self.report)

    def files(self, split: str) -> Sequence[Sample]:
        """The samples as the dataset reads them."""
        samples = _load(self.dataset, self.root, split)
        return samples if not self.settings.limit else SampleView([(samples, _limited(len(samples), self.settings))])

    def scenes(self, split: str) -> tuple[str, ...] | None:
        """The scene of each sample; None where the dataset does not know."""
        if self.dataset.spec.groups is None:
            return None
        names = tuple(map(str, resolve(self.dataset.spec.groups)(self.root, split, self.dataset.options)))
        count = len(_load(self.dataset, self.root, split))
        if len(names) != count:
            groups, images = counted(len(names), "group"), counted(count, "image")
            raise DataError(f"dataset '{self.dataset}' names {groups} for the {images} of '{split}'")
        return names if not self.settings.limit else tuple(names[place] for place in _limited(count, self.settings))

    def key(self, split: str) -> str:
        """The split's key in the decoded cache."""
        name = split if not self.settings.limit else f"{split} (at most {self.settings.limit})"
        version = f"{self.dataset.code.identity} {reader_identity()}"
        return cache_key(f"{self.dataset.choice.name} {self.dataset.options}", name, self.digest, version=version)


def _limited(count: int, settings: DataSettings) -> Sequence[int]:
    """Places of the samples of a declared split that ``data.limit`` leaves; folds divide these."""
    assert settings.limit is not None
    return evenly_spaced(count, settings.limit)


def _layers(view: SampleView) -> Sequence[Sample]:
    """A view of splits that are kept at several sizes as one split that is."""
    layers = [samples for samples, _ in view.parts if isinstance(samples, LayeredSamples)]
    if not all(isinstance(samples, LayeredSamples | CachedSamples) for samples, _ in view.parts):
        return view
    sizes = {size for samples in layers for size in samples.sizes}

    def at(size: tuple[int, int]) -> SampleView:
        return SampleView([(s.at(size) if isinstance(s, LayeredSamples) else s, places) for s, places in view.parts])

    return LayeredSamples(view, {size: at(size) for size in sizes})


def _load(dataset: Chosen[DatasetSpec], root: Path | None, split: str) -> Sequence[Sample]:
    names = dataset.spec.split_names(dataset.options)
    if split not in names:
        raise DataError(f"dataset '{dataset}' has no split '{split}'. It has: {', '.join(names)}.")
    samples: Sequence[Sample] = resolve(dataset.spec.load)(root, split, dataset.options)
    if not len(samples):
        raise DataError(f"split '{split}' of dataset '{dataset}' is empty. See: segbench data check {dataset.choice.name}")
    return samples
