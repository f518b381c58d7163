"""The summary in sentences: only claims that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from segbench import CellResult, Comparison, RunResult
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary, unfinished_note

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _sentences(make_run: RunMaker, cells: Sequence[CellResult], **changes: Any) -> list[str]:
    result = make_run(cells, **changes)
    return summary(result, main_table(result))


def test_a_pair_is_compared_in_cost_speed_and_score(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(miou=0.5), make_cell("small", miou=0.488, millions=1.0, milliseconds=12.5)]
    assert _sentences(make_run, cells) == [
        "Compared with big, small has 0.25x the parameters and 0.25x the MACs, runs 1.60x as fast (batch 1, 48x64, cpu, 2 threads) "
        "and scores 1.2 points lower in mIoU on squares test (48.8% against 50.0%).",
        "One seed: how far these scores would move with another is not known.",
    ]


def test_times_that_noise_can_explain_are_not_called_faster(make_cell: CellMaker, make_run: RunMaker) -> None:
    text = _sentences(make_run, [make_cell(), make_cell("b", milliseconds=20.2)])[0]
    assert "is neither faster nor slower beyond the noise of the timing" in text
    assert "as fast" not in text


def test_times_taken_under_other_conditions_are_not_compared(make_cell: CellMaker, make_run: RunMaker) -> None:
    other = make_cell("b", milliseconds=5.0)
    other.deployments[0].latency[0].threads = 1
    assert "as fast" not in " ".join(_sentences(make_run, [make_cell(), other]))


def test_losses_are_compared_model_by_model(make_cell: CellMaker, make_run: RunMaker) -> None:
    scores = {("big", "ce"): 0.5, ("big", "focal"): 0.519, ("small", "ce"): 0.45, ("small", "focal"): 0.44}
    text = _sentences(make_run, [make_cell(model, loss, miou=miou) for (model, loss), miou in scores.items()])
    assert "focal in place of ce changes mIoU by +1.9 points (big) and −1.0 points (small)." in text
    assert text[0] == "big (focal) has the highest mIoU on squares test: 51.9%."
    assert text[1].startswith("Compared with big (both with ce), small has the same parameters and the same MACs")


def test_deviation_over_seeds_is_explained_where_there_are_several(make_cell: CellMaker, make_run: RunMaker) -> None:
    text = _sentences(make_run, [make_cell(seed=0), make_cell(seed=1, miou=0.6)])
    assert text == ["± behind a score is its standard deviation over seeds."]


def test_without_scores_nothing_is_said_about_them(make_cell: CellMaker, make_run: RunMaker) -> None:
    profiled = {"quality": None, "training": None, "loss": None, "dataset": None}
    cells = [make_cell(**profiled), make_cell("small", millions=1.0, milliseconds=10.0, **profiled)]
    assert _sentences(make_run, cells, config={}) == [
        "Compared with big, small has 0.25x the parameters and 0.25x the MACs and runs 2.00x as fast (batch 1, 48x64, cpu, 2 threads)."
    ]


def test_a_training_score_is_never_compared(make_cell: CellMaker, make_run: RunMaker) -> None:
    seen = [make_cell(m, quality={"split": "val", "training_score": s}) for m, s in (("big", 0.9), ("small", 0.7))]
    assert "points" not in " ".join(_sentences(make_run, seen))


def test_an_incomplete_run_says_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(), make_cell("b", status="pending", quality=None)]
    assert unfinished_note(make_run(cells, complete=False)) == (
        "This run is incomplete: 1 of 2 cells is done. The same command continues where it stopped."
    )
    assert unfinished_note(make_run(cells[:1])) == ""


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("faster", "runs 1.67x as fast (95 % interval 1.54 to 1.82; batch 1, 48x64, cpu, 2 threads)"),
        ("no difference shown", "is neither faster nor slower beyond the noise of the timing (batch 1, 48x64, cpu, 2 threads)"),
    ],
)
def test_speed_is_told_by_the_races_verdict(comparison: RunResult, verdict: str, said: str) -> None:
    big, small = comparison.cells[0], comparison.cells[2]
    raced = Comparison(
        quantity="latency_ms", subject="small", baseline="big", subject_cells=[small.id], baseline_cells=[big.id], subject_backend="eager",
        baseline_backend="eager", reading="ratio", value=0.6, low=0.55, high=0.65, verdict=verdict,
        context={"batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2},
    )  # fmt: skip
    elsewhere = raced.model_copy(update={"value": 0.1, "context": {**raced.context, "input_size": [96, 96]}})
    run = comparison.model_copy(update={"comparisons": [elsewhere, raced]})
    assert said in " ".join(summary(run, main_table(run)))
