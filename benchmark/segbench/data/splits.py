"""Splits of a dataset, opened from the decoded cache where that is allowed, else from the dataset's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from segbench.config.settings import DataSettings, Settings
from segbench.data.cache.cache import cache_key, cached
from segbench.data.cache.resized import training_samples
from segbench.data.reader.read import reader_identity
from segbench.errors import DataError
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import DatasetSpec, Sample, Task, resolve


def open_split(
    dataset: Chosen[DatasetSpec],
    root: Path | None,
    split: str,
    settings: DataSettings,
    *,
    digest: str = "",
    report: Callable[[str], None] | None = None,
) -> Sequence[Sample]:
    """The samples of one split, for evaluation; ``report`` is told the reason where it is not cached.

    Raises :class:`DataError` for a split that the dataset does not have, or that is empty.
    """
    samples = _load(dataset, root, split)
    return cached(samples, key=_key(dataset, split, digest), settings=settings, report=report)


def open_training_split(
    dataset: Chosen[DatasetSpec],
    root: Path | None,
    settings: Settings,
    *,
    task: Task,
    digest: str = "",
    report: Callable[[str], None] | None = None,
) -> Sequence[Sample]:
    """The samples of the training split, also kept at the training sizes where that changes nothing."""
    split = settings.train.split
    samples = _load(dataset, root, split)
    key = _key(dataset, split, digest)
    return training_samples(samples, key=key, task=task, data=settings.data, train=settings.train, report=report)


def _load(dataset: Chosen[DatasetSpec], root: Path | None, split: str) -> Sequence[Sample]:
    names = dataset.spec.split_names(dataset.options)
    if split not in names:
        raise DataError(f"dataset '{dataset}' has no split '{split}'. It has: {', '.join(names)}.")
    samples: Sequence[Sample] = resolve(dataset.spec.load)(root, split, dataset.options)
    if not len(samples):
        raise DataError(f"split '{split}' of dataset '{dataset}' is empty. See: segbench data check {dataset.choice.name}")
    return samples


def _key(dataset: Chosen[DatasetSpec], split: str, digest: str) -> str:
    return cache_key(f"{dataset.choice.name} {dataset.options}", split, digest, version=f"{dataset.code.identity} {reader_identity()}")
