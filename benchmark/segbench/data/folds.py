"""Folds: the samples of all splits but a declared test split, divided into parts of nearly equal size, the same each time.

Samples of one scene (``DatasetSpec.groups``) go to one part together; without scenes the hash of a sample's id decides. Where a sample
stands in the dataset's files does not matter, so that a renamed or reordered list divides alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from segbench.config.settings import DataSettings
from segbench.errors import DataError
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import DatasetSpec, Sample
from segbench.util.folds import Fold, parse_fold
from segbench.util.sequences import counted, evenly_spaced

TEST = "test"
"""The declared split that stays out of all folds."""

Load = Callable[[str], Sequence[Sample]]
"""The samples of a declared split."""

Scenes = Callable[[str], Sequence[str] | None]
"""The scene of each sample of a declared split; None where the dataset does not know."""


@dataclass(frozen=True)
class PartOfSplits:
    """The samples of one split of a fold: places in each declared split; ``groups`` are their scenes where the dataset knows."""

    places: Mapping[str, Sequence[int]]
    groups: tuple[str, ...] | None

    def view(self, load: Load) -> SampleView:
        """The samples, read through ``load``."""
        return SampleView([(load(split), places) for split, places in self.places.items() if len(places)])


class SampleView(Sequence[Sample]):
    """Chosen samples of several sequences, one after the other; nothing is copied."""

    def __init__(self, parts: Sequence[tuple[Sequence[Sample], Sequence[int]]]) -> None:
        self.parts = parts
        self._places = [(samples, place) for samples, places in parts for place in places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        samples, place = self._places[index]
        return samples[place]


def pooled_splits(dataset: Chosen[DatasetSpec]) -> tuple[str, ...]:
    """The splits that folds divide: all but a declared test split and unions of others."""
    names = dataset.spec.split_names(dataset.options)
    return tuple(name for name in names if name != TEST and name not in dataset.spec.unions)


def part_of_splits(dataset: Chosen[DatasetSpec], split: str, settings: DataSettings, load: Load, scenes: Scenes) -> PartOfSplits:
    """The samples of ``split``, one of the two names of ``data.fold``, with at most ``data.limit`` of them.

    Raises :class:`DataError` for another split, and where there are fewer scenes or images than parts.
    """
    fold = parse_fold(str(settings.fold))
    if split not in (fold.scored, fold.training):
        raise DataError(f"with data.fold = {fold} there is no split '{split}': it trains on '{fold.training}' and scores '{fold.scored}'")
    known = dataset.spec.groups is not None
    keys = {name: (scenes(name) if known else None) or sample_ids(load(name)) for name in pooled_splits(dataset)}
    parts = assign([key for each in keys.values() for key in each], fold.parts, what="scene" if known else "image")
    pool = [(name, place, key) for name, each in keys.items() for place, key in enumerate(each)]
    chosen = [entry for entry in pool if (parts[entry[2]] == fold.part) is (split == fold.scored)]
    kept = [chosen[place] for place in evenly_spaced(len(chosen), settings.limit)] if settings.limit else chosen
    places = {name: [place for other, place, _ in kept if other == name] for name in keys}
    return PartOfSplits(places, tuple(key for _, _, key in kept) if known else None)


def assign(keys: Sequence[str], parts: int, *, what: str = "image") -> dict[str, int]:
    """The part (from 1) of each key, such that the parts hold nearly equal numbers of samples; equal keys stay together.

    The largest groups are placed first, each into the part with the fewest samples so far (the greedy rule of Graham, SIAM Journal on
    Applied Mathematics 17, 1969); a hash decides among equals. Raises :class:`DataError` where there are fewer keys than parts.

    >>> sorted(assign(["a", "b", "c", "d", "a"], 2).values())
    [1, 1, 2, 2]
    """
    sizes = Counter(keys)
    if len(sizes) < parts:
        raise DataError(f"{parts} folds need at least {parts} {what}s, the dataset has {len(sizes)}. Give a smaller number to --folds.")
    counts = [0] * parts
    assigned = {}
    for key in sorted(sizes, key=lambda key: (-sizes[key], _hash(key))):
        part = min(range(parts), key=lambda part: counts[part])
        assigned[key] = part + 1
        counts[part] += sizes[key]
    return assigned


def fold_note(dataset: Chosen[DatasetSpec], fold: Fold) -> str:
    """The note in a fold's row: its part, the splits that are divided, and that no checkpoint is selected."""
    names = dataset.spec.split_names(dataset.options)
    apart = f"; the declared split '{TEST}' is kept out" if TEST in names else ""
    pool = counted(len(pooled_splits(dataset)), "split")
    return f"fold {fold.part} of {fold.parts} of {pool} ({', '.join(pooled_splits(dataset))}): the last checkpoint, none is selected{apart}"


def sample_ids(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The ids of a split's samples in order; without reading any where the split knows them."""
    known = getattr(samples, "ids", None)  # the decoded cache knows them without decoding anything
    return tuple(known) if known is not None else tuple(samples[i].id for i in range(len(samples)))


def _hash(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
