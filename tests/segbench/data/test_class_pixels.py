from __future__ import annotations

import numpy as np
import pytest
import torch

from segbench.data.batch_order import drawn_batches
from segbench.data.class_pixels import balanced_shares, count_class_pixels, sampling_note
from segbench.errors import DataError
from segbench.plugin.specs import Sample, Task

TASK = Task(class_names=("a", "b", "c"))


def sample(*rows: tuple[int, ...]) -> Sample:
    mask = torch.tensor(rows)
    return Sample({"image": torch.zeros(3, *mask.shape, dtype=torch.uint8)}, mask, str(rows))


def test_labels_are_counted_image_by_image_without_ignored_ones() -> None:
    pixels = count_class_pixels([sample((0, 0, 255), (2, 0, 255)), sample((255,)), sample((1, 1))], TASK)
    assert pixels.tolist() == [[3, 0, 1], [0, 0, 0], [0, 2, 0]]
    with pytest.raises(DataError, match="has the label 3"):
        count_class_pixels([sample((0, 3))], TASK)


def test_every_class_is_drawn_as_often() -> None:
    pixels = np.array([[100, 0, 0], [50, 50, 0], [40, 0, 2], [60, 0, 0], [0, 0, 0]])
    shares = balanced_shares(pixels)
    # 1/3 for each class: a by its 250 pixels, b all in the second image, c all in the third
    assert shares == pytest.approx([100 / 750, 50 / 750 + 1 / 3, 40 / 750 + 1 / 3, 60 / 750, 0])
    assert balanced_shares(pixels[:, :2]).sum() == pytest.approx(1.0)
    assert balanced_shares(np.array([[4, 0], [4, 0]])) == pytest.approx([0.5, 0.5]), "a class that never occurs asks for nothing"
    assert sampling_note(np.array([0.5, 0.5, 0, 0])) == (
        "balanced sampling: an epoch draws 4 images with replacement, on average 2 different ones; the most frequent one comes 2.0 times"
    )


def test_draws_follow_the_shares_and_count_repeats() -> None:
    shares = [0.5, 0.3, 0.2, *[0.0] * 397]
    (drawn,) = drawn_batches(shares, 400, seed=0, epoch=0)
    assert len(drawn) == 400
    counts = [sum(index == wanted for index, _ in drawn) for wanted in range(3)]
    assert counts == pytest.approx([200, 120, 80], abs=40)
    assert [before for index, before in drawn if index == 1] == list(range(counts[1]))


def test_draws_are_shared_by_processes_and_differ_from_epoch_to_epoch() -> None:
    shares = [0.1] * 10
    first, again, later = (list(drawn_batches(shares, 4, seed=0, epoch=epoch)) for epoch in (0, 0, 1))
    assert first == again != later
    assert [len(batch) for batch in first] == [4, 4, 2]
    ranks = [list(drawn_batches(shares, 2, seed=0, epoch=0, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [one + other for one, other in zip(*ranks, strict=True)][:2] == first[:2]
