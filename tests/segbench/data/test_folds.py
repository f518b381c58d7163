"""Folds and limits of a dataset's samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.config.settings import DataSettings, Settings, TrainSettings
from segbench.data.folds import assign
from segbench.data.selection import overlapping
from segbench.data.splits import open_split, open_training_split, split_groups
from segbench.errors import DataError
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.specs import DatasetSpec, Sample, Task, resolve
from segbench.util.folds import Fold, folds_of

SIZES = {"train": 11, "val": 5, "test": 3}
READ: Counter[str] = Counter()


class Numbered(Sequence[Sample]):
    """Samples whose every pixel is their number, counted as they are read."""

    def __init__(self, split: str) -> None:
        self.split = split

    def __len__(self) -> int:
        return SIZES[self.split]

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        READ[self.split] += 1
        return Sample(
            {"image": torch.full((3, 8, 8), index, dtype=torch.uint8)}, torch.zeros(8, 8, dtype=torch.int64), f"{self.split}-{index}"
        )


def task(options: Any = None) -> Task:
    return Task(class_names=("a", "b"), inputs={"image": 3})


def load(root: Path | None, split: str, options: Any) -> Numbered:
    return Numbered(split)


def groups(root: Path | None, split: str, options: Any) -> list[str]:
    return [f"scene {index // 3}" for index in range(SIZES[split])]  # scenes 0 and 1 stand in train and val


def too_few(root: Path | None, split: str, options: Any) -> list[str]:
    return ["only one"]


def dataset(scenes: Any = None) -> Chosen[DatasetSpec]:
    spec = DatasetSpec(name="numbered", summary="", task=task, splits=tuple(SIZES), load=load, groups=scenes, embedded=True)
    return Chosen(Choice("numbered"), spec, spec.options(), Plugin(name="tests"))


def data(tmp_path: Path, **given: Any) -> DataSettings:
    return DataSettings(cache_dir=str(tmp_path), **given)


def ids(samples: Sequence[Sample]) -> list[str]:
    return [samples[i].id for i in range(len(samples))]


@pytest.mark.parametrize("scenes", [None, groups])
@pytest.mark.parametrize("parts", [2, 3])
def test_each_sample_but_those_of_test_is_scored_once_and_never_trained_on_there(tmp_path: Path, scenes: Any, parts: int) -> None:
    scored: list[str] = []
    for fold in folds_of(parts):
        settings = data(tmp_path, fold=str(fold))
        own = ids(open_split(dataset(scenes), None, fold.scored, settings))
        rest = ids(open_split(dataset(scenes), None, fold.training, settings))
        assert sorted(own + rest) == sorted(f"{split}-{i}" for split in ("train", "val") for i in range(SIZES[split]))
        scored += own
    assert len(scored) == len(set(scored)) == 16


def test_parts_are_of_nearly_equal_size_and_the_same_each_time(tmp_path: Path) -> None:
    sizes = [len(open_split(dataset(), None, fold.scored, data(tmp_path, fold=str(fold)))) for fold in folds_of(5)]
    assert sorted(sizes) == [3, 3, 3, 3, 4]
    # fixed: another version that divides otherwise would mix folds of a run that is continued
    assert assign([f"train-{i}" for i in range(6)], 3) == {
        "train-0": 3,
        "train-1": 2,
        "train-2": 1,
        "train-3": 1,
        "train-4": 3,
        "train-5": 2,
    }


def test_scenes_stay_together_also_across_declared_splits(tmp_path: Path) -> None:
    for fold in folds_of(4):
        settings = data(tmp_path, fold=str(fold))
        own, rest = (split_groups(dataset(groups), None, split, settings) for split in (fold.scored, fold.training))
        assert own is not None
        assert rest is not None
        assert not set(own) & set(rest)
        assert len(own) == len(open_split(dataset(groups), None, fold.scored, settings))


def test_large_scenes_are_spread(tmp_path: Path) -> None:
    keys = ["large"] * 10 + ["half"] * 5 + [f"small {i}" for i in range(5)]
    parts = assign(keys, 2)
    assert Counter(parts[key] for key in keys) == {1: 10, 2: 10}


def test_what_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 folds need at least 5 scenes, the dataset has 4"):
        open_split(dataset(groups), None, "fold-1-of-5", data(tmp_path, fold="1/5"))
    with pytest.raises(DataError, match="names 1 group for the 11 images of 'train'"):
        open_split(dataset(too_few), None, "fold-1-of-2", data(tmp_path, fold="1/2"))
    with pytest.raises(DataError, match=r"data.fold = 1/2 there is no split 'val'"):
        open_split(dataset(), None, "val", data(tmp_path, fold="1/2"))


def test_folds_share_the_cached_splits(tmp_path: Path) -> None:
    READ.clear()
    for fold in folds_of(4):
        settings = Settings(data=data(tmp_path, fold=str(fold)), train=TrainSettings(split=fold.training, image_size=4))
        training = open_training_split(dataset(), None, settings, task=task())
        training[0]
        ids(open_split(dataset(), None, fold.scored, settings.data))
    assert READ == {"train": 11, "val": 5}
    entries = [path for path in (tmp_path / "decoded").iterdir() if path.is_dir()]
    assert len(entries) == 4  # two splits, at their own size and at that of training


def test_training_reads_a_fold_at_the_training_size(tmp_path: Path) -> None:
    from segbench.data.cache.resized import samples_at

    settings = Settings(data=data(tmp_path, fold="1/3"), train=TrainSettings(split=Fold(1, 3).training, image_size=4))
    training = open_training_split(dataset(), None, settings, task=task())
    small = samples_at(training, (4, 4), "standard")
    assert small[0].mask.shape == (4, 4)
    assert ids(small) == ids(training)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_limit_takes_evenly_spaced_samples_and_reads_no_others(tmp_path: Path, limit: int) -> None:
    READ.clear()
    found = ids(open_split(dataset(groups), None, "train", data(tmp_path, limit=limit)))
    assert READ["train"] <= min(limit, 11) * 2
    assert found == {1: ["train-5"], 3: ["train-1", "train-5", "train-9"]}.get(limit, [f"train-{i}" for i in range(11)])
    scenes = split_groups(dataset(groups), None, "train", data(tmp_path, limit=limit))
    assert scenes == tuple(f"scene {int(name.removeprefix('train-')) // 3}" for name in found)
    assert len(open_split(dataset(), None, "train", data(tmp_path))) == 11  # the cache keeps them apart


def test_a_limit_holds_for_folds_too(tmp_path: Path) -> None:
    for scenes in (None, groups):
        settings = data(tmp_path, fold="1/2", limit=4)
        own, rest = (open_split(dataset(scenes), None, split, settings) for split in ("fold-1-of-2", "all-but-fold-1-of-2"))
        assert 0 < len(own) <= 4
        assert 0 < len(rest) <= 4
        assert not set(ids(own)) & set(ids(rest))


def test_a_network_of_a_fold_is_scored_as_trained_on_the_declared_splits() -> None:
    assert overlapping(dataset(), "all-but-fold-1-of-5", "val")
    assert not overlapping(dataset(), "all-but-fold-1-of-5", "fold-1-of-5")
    assert not overlapping(dataset(), "all-but-fold-1-of-5", "test")
    assert resolve(dataset().spec.load) is load
