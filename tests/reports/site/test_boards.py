"""Leaderboards: the scores that share a table, and their ranks, ratios and notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.reports.made_comparisons import even, with_comparisons

from segbench import CellResult, RaceRecord, RunResult
from segbench_reports.site.board_table import BoardTable, board_table
from segbench_reports.site.boards import Board, boards, left_out

RunMaker = Callable[..., RunResult]
Changed = Callable[..., CellResult]


def _only(runs: dict[str, RunResult]) -> Board:
    ((board,),) = boards(runs).values()
    return board


def _column(table: BoardTable, title: str) -> list[tuple[str, str, str]]:
    place = [column.title for column in table.columns].index(title)
    return [(row[place].text, row[place].small, row[place].mark) for row in table.rows]


def test_runs_under_the_same_conditions_share_a_table_from_the_highest_score_down(site_runs: dict[str, RunResult]) -> None:
    first, apart = boards(site_runs)["squares"]
    assert [(entry.run, entry.name) for entry in first.entries] == [("second", "medium"), ("first", "big"), ("first", "small")]
    assert [(entry.run, entry.name) for entry in apart.entries] == [("longer", "big")]
    assert apart.conditions.apart_from(first.conditions) == ["40 epochs instead of 4"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"epochs": 8}}, ["8 epochs instead of 4"]),
        ({"train": {"image_size": [96, 128]}}, ["trained at 96x128 instead of 48x64"]),
        ({"train": {"split": "trainval"}}, ["trained on trainval instead of train"]),
        ({"train": {"augmentation": "none"}}, ["none augmentation instead of standard"]),
        ({"quality": {"split": "val"}}, ["scored on val instead of test"]),
        ({"quality": {"images": 7}}, ["7 images scored instead of 20"]),
        ({"quality": {"image_size": [96, 128]}}, ["scored at 96x128 instead of 48x64"]),
        ({"quality": {"resize": "warp"}}, ["resized by warp instead of keep-aspect"]),
        ({"quality": {"label_pixels_per_class": [800, 100, 0]}}, ["other labels: 900 label pixels instead of 1000"]),
        ({"quality": {"label_pixels_per_class": [100, 900, 0]}}, ["other labels"]),
        ({"quality": {"class_names": ["a", "b"], "label_pixels_per_class": [900, 100]}}, ["2 classes instead of 3"]),
        ({"quality": {"selected_on": "test"}}, ["checkpoint chosen on the scored split itself"]),
        ({"eval": {"flip": True, "scales": [0.5, 1.0]}}, ["with its mirror image, at scales 0.5, 1 instead of one view"]),
        ({"dataset": "squares[size=9]"}, ["squares[size=9] instead of squares"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_makes_scores_incomparable_keeps_them_apart_and_is_said(
    change: dict[str, Any], said: list[str], changed: Changed, make_run: RunMaker
) -> None:
    runs = {"a": make_run([changed("big"), changed("small")]), "b": make_run([changed("other", **change)])}
    (page,) = boards(runs).values()
    assert len(page) == 2
    assert page[1].conditions.apart_from(page[0].conditions) == said


@pytest.mark.parametrize("tuned", [{"lr": 0.01}, {"batch_size": 4}, {"schedule": "poly"}])
def test_how_a_model_was_tuned_is_a_column_and_no_wall(tuned: dict[str, Any], changed: Changed, make_run: RunMaker) -> None:
    runs = {"a": make_run([changed("big")]), "b": make_run([changed("big", miou=0.4, train=tuned)])}
    table = board_table(_only(runs), runs)
    key = next(iter(tuned)).replace("_", " ")
    assert len({text for text, _, _ in _column(table, key)}) == 2


def test_settings_that_an_older_segbench_did_not_know_do_not_part_runs(changed: Changed, make_run: RunMaker) -> None:
    new = changed("new", eval={"flip": False, "scales": [1.0], "boundary": True})
    assert len(_only({"old": make_run([changed("old")]), "new": make_run([new])}).entries) == 2


def test_cells_without_a_score_are_left_out_with_the_reason(site_runs: dict[str, RunResult], make_cell: Any, make_run: RunMaker) -> None:
    failed = make_run([make_cell("bad", status="failed", quality=None)])
    assert [(one.run, one.name, one.why) for one in left_out(site_runs | {"failed": failed})] == [
        ("half", "seen", "scored on images that were trained on (train): a training score is never ranked"),
        ("half", "later", "not finished"),
        ("failed", "bad", "failed"),
    ]


def test_seeds_are_one_entry_with_their_mean_and_its_interval(changed: Changed, make_run: RunMaker) -> None:
    cells = [changed("big", id=f"s{seed}", seed=seed, miou=score) for seed, score in enumerate((0.4, 0.5, 0.6))]
    summary = {"quantity": "miou", "cells": ["s0", "s1", "s2"], "n": 3, "mean": 0.5, "deviation": 0.1, "low": 0.2516, "high": 0.7484}
    runs = {"a": make_run(cells, seeds=[summary])}
    table = board_table(_only(runs), runs)
    assert _column(table, "mIoU") == [("50.0 ±10.0", "[25.2, 74.8]", "")]
    assert _column(table, "seeds") == [("3", "", "")]


def test_ranks_differ_only_where_intervals_do_not_meet(changed: Changed, make_run: RunMaker) -> None:
    spans = {"a": (0.60, 0.55, 0.65), "b": (0.56, 0.52, 0.60), "c": (0.50, 0.48, 0.53), "d": (0.40, 0.38, 0.42)}
    cells = [changed(name, id=name, miou=score, interval=(low, high)) for name, (score, low, high) in spans.items()]
    runs = {cell.id: make_run([cell]) for cell in [*cells, changed("e", id="e", miou=0.58)]}
    board = _only(runs)
    # b meets a; c lies below a alone; d below all; e has no interval
    assert [(entry.name, board.rank(entry)) for entry in board.entries] == [("a", 1), ("e", None), ("b", 1), ("c", 2), ("d", 4)]
    assert [mark for _, _, mark in _column(board_table(board, runs), "mIoU")] == ["best", "", "best", "", ""]


def test_entries_of_one_run_are_ranked_by_its_comparisons(changed: Changed, make_run: RunMaker) -> None:
    """Intervals of single scores meet, and the paired ones tell them apart; or the other way round."""
    scores = {"a": 0.60, "b": 0.59, "c": 0.50}
    cells = [changed(name, id=name, miou=score, interval=(score - 0.03, score + 0.03)) for name, score in scores.items()]
    for half, ranks in ((0.001, [1, 2, 3]), (0.02, [1, 1, 3]), (0.5, [1, 1, 1])):
        board = _only({"run": with_comparisons(make_run(cells), score=even(half))})
        assert [board.rank(entry) for entry in board.entries] == ranks


def test_latencies_of_one_race_are_compared(site_runs: dict[str, RunResult]) -> None:
    runs = {"first": with_comparisons(site_runs["first"])}
    table = board_table(_only(runs), runs)
    assert _column(table, "latency") == [("20.0 ±0.4", "", ""), ("10.0 ±0.2", "×0.50", "best")]
    doubtful = {"first": with_comparisons(site_runs["first"], speed=even(2.0))}
    assert _column(board_table(_only(doubtful), doubtful), "latency")[1] == ("10.0 ±0.2", "×0.50 n.s.", "")
    assert next(column.sorts for column in table.columns if column.title == "latency")


def test_latencies_of_two_races_are_neither_ranked_nor_sorted(site_runs: dict[str, RunResult]) -> None:
    runs = {name: with_comparisons(site_runs[name]) for name in ("first", "second")}
    table = board_table(_only(runs), runs)
    assert _column(table, "latency") == [("15.0 ±0.3", "A", ""), ("20.0 ±0.4", "B", ""), ("10.0 ±0.2", "B ×0.50", "")]
    assert not next(column.sorts for column in table.columns if column.title == "latency")
    assert [note[:2] for note in table.notes if note[1:2] == ":"] == ["A:", "B:"]
    assert "B: run first, Fixture CPU, eager fp32, batch 1, 48x64, cpu, 2 threads, 2026-11-01 10:00." in table.notes


def test_a_reference_network_in_every_race_gives_the_ratios(site_runs: dict[str, RunResult]) -> None:
    """Round by round: a machine that is slower in some rounds is so for both."""
    moods = [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 3.0, 1.0]

    def anchored(run: RunResult, milliseconds: float) -> RunResult:
        raced = run.cells[0].deployments[0].raced
        record: dict[str, Any] = {"raced": raced, "batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2}
        record |= {"p50_ms": milliseconds}
        record |= {"rounds_ms": [[milliseconds * mood] for mood in moods]}
        for cell in run.cells:
            for entry in cell.deployments[0].latency:
                entry.rounds_ms = [[(entry.p50_ms or 0) * mood] for mood in moods]
        return run.model_copy(update={"race": RaceRecord.model_validate({"anchor": {"name": "anchor", "latency": [record]}})})

    runs = {"first": anchored(site_runs["first"], 5.0), "second": anchored(site_runs["second"], 10.0)}
    table = board_table(_only(runs), runs)
    assert [small for _, small, _ in _column(table, "latency")] == [
        "A ×1.50 (1.50 to 1.50)",
        "B ×4.00 (4.00 to 4.00)",
        "B ×2.00 (2.00 to 2.00)",
    ]


def test_macs_at_unlike_sizes_are_not_compared(changed: Changed, make_run: RunMaker) -> None:
    runs = {"a": make_run([changed("big"), changed("small", miou=0.4, macs=10**9, input_shape=[[1, 3, 24, 32]])])}
    table = board_table(_only(runs), runs)
    assert _column(table, "MACs") == [("2.00", "48x64", ""), ("1.00", "24x32", "")]
    assert not next(column.sorts for column in table.columns if column.title == "MACs")
