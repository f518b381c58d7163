"""Open a split of a dataset as the harness reads it: from the decoded cache where that is allowed, else from its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from segbench.data.cache import cached
from segbench.errors import DataError
from segbench.registry import Chosen
from segbench.settings import DataSettings
from segbench.specs import DatasetSpec, Sample, resolve


def open_split(
    dataset: Chosen[DatasetSpec],
    root: Path | None,
    split: str,
    settings: DataSettings,
    *,
    digest: str = "",
    report: Callable[[str], None] | None = None,
) -> Sequence[Sample]:
    """The samples of one split; ``report`` hears why it is not cached, where it is not.

    Raises :class:`DataError` for a split that the dataset does not have, or that is empty."""
    names = dataset.spec.split_names(dataset.options)
    if split not in names:
        raise DataError(f"dataset '{dataset}' has no split '{split}'. It has: {', '.join(names)}.")
    samples: Sequence[Sample] = resolve(dataset.spec.load)(root, split, dataset.options)
    if not len(samples):
        raise DataError(f"split '{split}' of dataset '{dataset}' is empty. See: segbench data check {dataset.choice.name}")
    key = "|".join((dataset.choice.name, str(dataset.options), dataset.plugin.identity(), split, str(root or ""), digest))
    return cached(samples, key=key, settings=settings, report=report)
