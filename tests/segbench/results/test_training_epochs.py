"""Epochs of a training: the median speed, epochs that are far off it, and a machine that others used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from segbench.results.metrics import metric
from segbench.results.records import CellResult, Epoch, Training
from segbench.results.training_epochs import QUIET, disturbed, median_speed, share_of_others, speed_notes


def training(speeds: Sequence[float], others: Sequence[float | None] | float | None = 0.0, **changes: Any) -> Training:
    shares = list(others) if isinstance(others, Sequence) else [others] * len(speeds)
    epochs = [
        Epoch(epoch=n, images_per_second=speed, seconds=100 / speed, other_cpu_share=share)
        for n, (speed, share) in enumerate(zip(speeds, shares, strict=True), 1)
    ]
    return Training(**{"device": "cpu", "epochs_run": len(epochs), "history": epochs, "images_per_second": 3.0, "seconds": 99.0, **changes})


def test_one_slow_epoch_does_not_move_the_speed() -> None:
    """The quotient of sums would be 0.74 images/s."""
    slow = training([2.0, 12.0, 12.2, 0.2, 11.8, 12.1])
    assert median_speed(slow.history) == 12.0
    assert median_speed([]) is None
    assert median_speed(training([5.0]).history) == 5.0, "the only epoch"


def test_tables_and_claims_show_the_median_of_earlier_runs_too() -> None:
    speed, seconds = metric("train_images_per_second"), metric("train_seconds_per_epoch")
    cell = CellResult(id="a", model="a", training=training([2.0, 12.0, 0.2, 11.0]))
    shown = speed.value(cell)
    assert shown is not None
    assert shown.value == 11.0
    assert [reading.value for reading in speed.read(cell)] == [11.0]
    assert [reading.value for reading in seconds.read(cell)] == pytest.approx([100 / 11])
    bare = cell.model_copy(update={"training": training([])})
    shown = speed.value(bare)
    assert shown is not None
    assert shown.value == 3.0, "what the run stored, where it has no epochs"


def test_epochs_far_off_are_named_with_their_figures() -> None:
    notes = speed_notes(training([2.0, 12.0, 12.2, 0.2, 11.8, 12.1], [0.0, 0.0, 0.0, 0.9, 0.0, 0.0]))
    assert notes[0] == (
        "1 epoch was more than 25 % off the median of 12 images/s: epoch 4 (0.2 images/s, other programs used 90 % of the CPU)"
    )
    assert speed_notes(training([2.0, 12.0, 10.0, 14.0])) == []


def test_many_epochs_far_off_are_not_all_named() -> None:
    (note,) = speed_notes(training([10.0, *[10.0] * 8, *[5.0] * 7]))
    assert note.startswith("7 epochs were more than 25 % off the median of 10 images/s: epoch 10 (5 images/s), ")
    assert note.endswith("epoch 14 (5 images/s), and 2 more")


def test_images_that_grow_are_held_against_epochs_of_their_own_size() -> None:
    grown = training([9.0, 40.0, 41.0, 42.0, 10.0, 10.1, 10.2])
    for row in grown.history:
        row.image_size = (24, 24) if row.epoch < 5 else (48, 48)
    assert speed_notes(grown) == []


def test_the_share_of_others_is_over_the_time_of_the_epochs_that_count() -> None:
    """By hand: the first is left out; 10 s at 0.1 and 20 s at 0.4."""
    assert share_of_others(training([1.0, 10.0, 5.0], [0.9, 0.1, 0.4]).history) == pytest.approx(0.3)
    assert share_of_others(training([1.0, 10.0, 5.0], [0.9, 0.1, None]).history) is None


@pytest.mark.parametrize(("others", "quiet"), [(0.0, True), (QUIET, True), (QUIET + 0.001, False), (None, False)])
def test_quiet_is_decided_by_one_threshold(others: float | None, quiet: bool) -> None:
    assert (disturbed(training([1.0, 10.0, 11.0], others)) == "") is quiet


def test_a_shared_machine_is_noted_and_an_unknown_one_is_not() -> None:
    assert speed_notes(training([1.0, 10.0, 11.0], 0.3)) == [
        "its speed compares with no other: other programs used 30 % of the machine's CPU while it trained, and 5 % count as quiet"
    ]
    assert speed_notes(training([1.0, 10.0, 11.0], None)) == []
    assert disturbed(training([1.0, 10.0], 0.0, device="mps")) == "whether other programs used the GPU while it trained is not known"
