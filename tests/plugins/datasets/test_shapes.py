from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from segbench import Sample, Task

Load = Callable[[str, "Path | None", str], Sequence[Sample]]


def test_samples_are_what_the_task_declares(load: Load, task_of: Callable[[str], Task]) -> None:
    task = task_of("shapes[size=48]")
    sample = load("shapes[size=48]", None, "val")[3]

    assert task.class_names == ("background", "disk", "box", "triangle", "ring", "bar")
    assert sample.inputs["image"].dtype == torch.uint8
    assert sample.inputs["image"].shape == (3, 48, 48)
    assert sample.mask.dtype == torch.int64
    assert sample.mask.shape == (48, 48)
    assert set(sample.mask.flatten().tolist()) <= set(range(6))


def test_the_same_seed_gives_the_same_pictures_in_any_process(load: Load) -> None:
    samples = load("shapes", None, "train")
    again = pickle.loads(pickle.dumps(load("shapes", None, "train")))

    assert torch.equal(samples[5].inputs["image"], again[5].inputs["image"])
    assert torch.equal(samples[5].mask, again[5].mask)
    assert samples[5].id == again[5].id == "train-00005"


def test_other_seeds_indices_and_splits_give_other_pictures(load: Load) -> None:
    pictures = [
        load("shapes", None, "train")[0],
        load("shapes", None, "train")[1],
        load("shapes", None, "val")[0],
        load("shapes[seed=1]", None, "train")[0],
    ]

    assert len({p.inputs["image"].numpy().tobytes() for p in pictures}) == 4


def test_every_class_is_common_enough_to_be_learnt(load: Load) -> None:
    counts = sum(torch.bincount(s.mask.flatten(), minlength=6) for s in load("shapes[train=64]", None, "train"))
    shares = torch.as_tensor(counts) / (64 * 96 * 96)

    assert shares.min() > 0.015
    assert shares[0] < 0.85


def test_counts_are_options_and_positions_behave_like_a_list(load: Load) -> None:
    samples = load("shapes[train=5,size=32]", None, "train")

    assert len(samples) == 5
    assert samples[-1].id == samples[4].id
    assert [s.id for s in samples[1:3]] == ["train-00001", "train-00002"]
    assert len(list(samples)) == 5


@pytest.mark.clock
def test_a_picture_takes_about_a_millisecond(load: Load) -> None:
    samples = load("shapes", None, "train")
    samples[0]
    best = min(_seconds(samples, index) for index in range(20))

    assert best < 0.005


def _seconds(samples: Sequence[Sample], index: int) -> float:
    start = time.perf_counter()
    samples[index]
    return time.perf_counter() - start
