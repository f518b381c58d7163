"""Folds of a dataset, and several datasets, from made results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from segbench.analysis.several_runs import DatasetSummary, across_datasets, across_folds
from segbench.results.records import CellResult, Comparison, Quality, RunResult


def run(
    dataset: str,
    scores: Mapping[str, float | None],
    *,
    better: Sequence[tuple[str, str]] = (),
    equal: Sequence[tuple[str, str]] = (),
    **own: Any,
) -> RunResult:
    """A run of one row for each model; ``better`` are pairs with a verdict, ``equal`` those that are not told apart."""
    cells = [
        CellResult(
            id=name,
            model=name,
            dataset=dataset,
            loss="ce",
            recipe=f"recipe of {dataset}",
            seed=0,
            status="ok" if score is not None else "failed",
            quality=None if score is None else Quality(split="val", miou=score, images=10, label_pixels_per_class=[5, 5]),
            **own,
        )
        for name, score in scores.items()
    ]
    pairs = [(pair, "better") for pair in better] + [(pair, "no difference shown") for pair in equal]
    records = [
        Comparison(quantity="miou", subject=one, baseline=other, subject_cells=[one], baseline_cells=[other], verdict=verdict)
        for (one, other), verdict in pairs
    ]
    return RunResult(cells=cells, task={"dataset": dataset}, comparisons=records)


def summed(*runs: RunResult) -> DatasetSummary:
    summary = across_datasets(runs)
    assert summary is not None
    return summary


def test_places_follow_verdicts_and_not_means() -> None:
    # b has the higher mean in both, and a verdict in one only
    one = run("one", {"a": 0.50, "b": 0.60}, better=[("b", "a")])
    two = run("two", {"a": 0.50, "b": 0.59}, equal=[("b", "a")])
    a, b = summed(one, two).rows
    assert (a.ranks, b.ranks) == ({"one": 2.0, "two": 1.5}, {"one": 1.0, "two": 1.5})
    assert (a.mean_rank, b.mean_rank) == (1.75, 1.25)
    assert (a.wins, a.ties, a.losses, a.untold) == (0, 1, 1, 0)
    assert (b.wins, b.ties, b.losses, b.untold) == (1, 1, 0, 0)


def test_a_pair_without_a_record_is_no_tie() -> None:
    summary = summed(run("one", {"a": 0.1, "b": 0.9}), run("two", {"a": 0.1, "b": 0.9}))
    assert [(row.wins, row.ties, row.untold, row.mean_rank) for row in summary.rows] == [(0, 0, 2, 1.5)] * 2


def test_a_model_that_failed_somewhere_leaves_that_dataset_out_of_mean_ranks() -> None:
    runs = [run(name, {"a": 0.5, "b": 0.6}, better=[("b", "a")]) for name in ("one", "two")]
    summary = summed(*runs, run("three", {"a": 0.5, "b": None}))
    assert summary.ranked == ("one", "two")
    assert summary.rows[1].scores["three"] is None
    assert [row.mean_rank for row in summary.rows] == [2.0, 1.0]


@pytest.mark.parametrize(("count", "p_values"), [(5, []), (6, [0.03125])])
def test_a_test_across_datasets_takes_six(count: int, p_values: list[float]) -> None:
    runs = [run(f"d{i}", {"a": 0.5, "b": 0.51 + i / 100}, equal=[("b", "a")]) for i in range(count)]
    assert [test.p_value for test in summed(*runs).tests] == p_values


def test_p_values_are_times_the_number_of_pairs() -> None:
    runs = [run(f"d{i}", {"a": 0.5, "b": 0.51 + i / 100, "c": 0.6 + i / 50}) for i in range(6)]
    tests = summed(*runs).tests
    assert [test.p_adjusted for test in tests] == [3 * 0.03125] * 3
    assert not any(test.is_shown for test in tests)


def test_runs_on_one_dataset_have_no_summary_and_quick_tries_no_place() -> None:
    assert across_datasets([run("one", {"a": 0.5}), run("one", {"a": 0.6})]) is None
    assert across_datasets([run("one", {"a": 0.5}, limit=3), run("two", {"a": 0.5}, limit=3)]) is None


def test_folds_are_summed_by_paired_differences() -> None:
    scores = [(0.50, 0.50), (0.60, 0.61), (0.40, 0.42), (0.55, 0.58), (0.45, 0.49)]
    runs = [run("one", {"a": a, "b": b}, fold=f"{i}/5") for i, (a, b) in enumerate(scores, 1)]
    (summary,) = across_folds(runs)
    assert (summary.parts, summary.done, summary.test_per_train, summary.classes) == (5, (1, 2, 3, 4, 5), 0.25, (2, 2))
    (pair,) = summary.comparisons
    # the worked example of the statistic: differences 0 to 4 points
    assert pair.value == pytest.approx(0.02)
    assert pair.low == pytest.approx(0.02 - 0.0294486, abs=1e-7)
    assert pair.high == pytest.approx(0.02 + 0.0294486, abs=1e-7)
    assert pair.verdict == "no difference shown"


def test_more_models_ask_more_of_each_pair() -> None:
    def folds(*further: str) -> list[RunResult]:
        models = {"a": 0.5, "b": 0.52, **dict.fromkeys(further, 0.3)}
        scores = [{name: score + i * j / 500 for j, (name, score) in enumerate(models.items())} for i in range(1, 5)]
        return [run("one", each, fold=f"{i}/4") for i, each in enumerate(scores, 1)]

    def width(runs: list[RunResult]) -> float:
        pair = across_folds(runs)[0].comparisons[0]
        assert pair.low is not None
        assert pair.high is not None
        return pair.high - pair.low

    assert width(folds("c", "d")) > 1.3 * width(folds())


def test_a_missing_fold_is_said_and_not_filled_in() -> None:
    runs = [run("one", {"a": 0.5 + i / 100, "b": None if i == 1 else 0.6}, fold=f"{i}/4") for i in (1, 2, 4)]
    (summary,) = across_folds(runs)
    assert summary.done == (1, 2, 4)
    assert summary.by_fold["b"] == (None, 0.6, 0.6)
    assert summary.test_per_train == pytest.approx(1 / 3)
    assert summary.comparisons[0].n == 2
    assert "too few" in summary.comparisons[0].reason


def test_verdicts_over_folds_count_across_datasets() -> None:
    folded = [run("one", {"a": 0.5 + i / 100, "b": 0.9 + i / 90}, fold=f"{i}/3") for i in (1, 2, 3)]
    a, b = summed(*folded, run("two", {"a": 0.5, "b": 0.6}, better=[("b", "a")])).rows
    assert (a.losses, b.wins) == (2, 2)
