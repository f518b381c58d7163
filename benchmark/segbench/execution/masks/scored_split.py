"""The split of a dataset that masks are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.config.run_config import load_config
from segbench.config.settings import DataSettings
from segbench.data.folds import sample_ids
from segbench.data.samples import read_sample
from segbench.data.selection import data_root, default_split, find_dataset
from segbench.data.splits import open_split, split_groups
from segbench.errors import ConfigError, did_you_mean
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import DatasetSpec, Sample, Task

_UNCACHED = DataSettings(cache_gb=0)  # each image is read once or twice: hashing and caching the data would take longer


@dataclass(frozen=True)
class ScoredSplit:
    """The samples of a split with their ids, and with their scenes (``groups``) where the dataset knows them."""

    dataset: Chosen[DatasetSpec]
    task: Task
    name: str
    samples: Sequence[Sample]
    ids: Sequence[str]
    groups: Sequence[str] | None

    def sample(self, place: int) -> Sample:
        """The sample at a place, checked against the task."""
        return read_sample(self.samples, place, task=self.task)


def open_scored_split(catalog: Catalog, name: str, data: str | Path | None, split: str | None) -> ScoredSplit:
    """Open a split: by default test where the dataset has one and it is there, else val. Raises :class:`ConfigError` for an unknown one."""
    config = load_config(flags={"dataset": name, "data": None if data is None else str(data)})
    dataset = find_dataset(catalog, str(config.dataset))
    root = data_root(config, dataset)
    task = dataset.spec.make_task(dataset.options, root)
    names = dataset.spec.split_names(dataset.options)
    chosen = split or default_split(dataset, root)
    if chosen not in names:
        what = "neither test nor val: give --split NAME" if chosen is None else f"no split '{chosen}'"
        near = did_you_mean(chosen, names) if chosen else ""
        raise ConfigError(f"dataset '{dataset}' has {what}.{near} Its splits: {', '.join(names)}.")
    samples = open_split(dataset, root, chosen, _UNCACHED)
    return ScoredSplit(dataset, task, chosen, samples, sample_ids(samples), split_groups(dataset, root, chosen, _UNCACHED))
