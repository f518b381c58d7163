"""The main table: ratios, best values, means over seeds, dropped columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.reports.made_comparisons import even, no_interval, with_comparisons

from segbench import CellResult, RunResult
from segbench_reports.view.main_table import Table, main_table

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _texts(table: Table, key: str) -> list[str]:
    column = next(column for column in table.columns if column.key == key)
    return [column.text(row.figures.get(key)) for row in table.rows]


def _best(table: Table, key: str) -> list[int]:
    return [i for i, row in enumerate(table.rows) if row.marks.get(key) == "best"]


def test_ratios_and_points_are_those_of_the_comparisons(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = with_comparisons(make_run([make_cell(miou=0.5), make_cell("small", miou=0.488, millions=1.0, milliseconds=8.0)]))
    table = main_table(run)
    assert table.rows[0].relative == {}
    relative = table.rows[1].relative
    assert relative == {"params": "×0.25", "macs": "×0.25", "latency_ms": "×0.40", "images_per_second": "×2.50", "miou": "−1.2"}
    moved = [c.model_copy(update={"value": 0.9, "low": 0.8, "high": 1.1, "verdict": "no difference shown"}) for c in run.comparisons]
    other = main_table(run.model_copy(update={"comparisons": [c for c in moved if c.quantity == "latency_ms"]}))
    assert other.rows[1].relative == {"params": "×0.25", "macs": "×0.25", "latency_ms": "×0.90 n.s."}


def test_nothing_stands_below_a_figure_that_was_not_compared_or_cannot_be_told(make_cell: CellMaker, make_run: RunMaker) -> None:
    bare = make_run([make_cell(miou=0.5), make_cell("small", miou=0.2, milliseconds=8.0)])
    for run in (bare, with_comparisons(bare, score=no_interval, speed=no_interval)):
        table = main_table(run)
        assert not {"miou", "latency_ms", "images_per_second"} & table.rows[1].relative.keys()
        assert not {"miou", "latency_ms", "images_per_second"} & {key for row in table.rows for key in row.marks}


def test_units_are_those_of_the_headings(make_cell: CellMaker, make_run: RunMaker) -> None:
    table = main_table(make_run([make_cell(miou=0.512, millions=6.831509, milliseconds=12.3)]))
    shown = {column.title: (_texts(table, column.key)[0], column.unit) for column in table.columns}
    assert shown["mIoU"] == ("51.2", "%, 2 of 3 classes")
    assert shown["params"] == ("6.83", "M")
    assert shown["size"] == ("26.1", "MB")
    assert shown["latency"] == ("12.3 ±0.2", "ms, batch 1")
    assert shown["throughput"] == ("108", "img/s, batch 8")


def test_the_best_is_the_highest_score_and_the_lowest_cost(make_cell: CellMaker, make_run: RunMaker) -> None:
    table = main_table(with_comparisons(make_run([make_cell(miou=0.6), make_cell("small", miou=0.5, millions=1.0, milliseconds=8.0)])))
    assert _best(table, "miou") == [0]
    assert _best(table, "params") == [1]
    assert _best(table, "images_per_second") == [1]


def test_rows_that_are_not_told_apart_share_a_mark(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [
        make_cell(milliseconds=10.0),
        make_cell("b", milliseconds=10.1),
        make_cell("c", milliseconds=30.0),
        make_cell("d", milliseconds=50),
    ]
    table = main_table(with_comparisons(make_run(cells)))
    assert _best(table, "latency_ms") == [0, 1]
    assert [row.marks.get("latency_ms") for row in table.rows] == ["best", "best", "second", None]
    doubtful = main_table(with_comparisons(make_run(cells), speed=even(5.0)))
    assert _best(doubtful, "latency_ms") == []


def test_nothing_is_best_where_all_are_alike_or_alone(make_cell: CellMaker, make_run: RunMaker) -> None:
    alike = main_table(with_comparisons(make_run([make_cell(), make_cell("b")])))
    alone = main_table(make_run([make_cell()]))
    assert all(not row.marks for row in (*alike.rows, *alone.rows))
    assert alone.reference is None


def test_lopsided_intervals_are_printed_from_low_to_high(make_cell: CellMaker, make_run: RunMaker) -> None:
    cell = make_cell(milliseconds=30.2)
    cell.deployments[0].latency[0].ci95_ms = (28.0, 297.3)
    table = main_table(make_run([cell, make_cell("b")]))
    column = next(column for column in table.columns if column.key == "latency_ms")
    figure = table.rows[0].figures["latency_ms"]
    assert (column.text(figure), column.interval_text(figure)) == ("30.2", "28.0 to 297.3")
    even_one = table.rows[1].figures["latency_ms"]
    assert (column.text(even_one), column.interval_text(even_one)) == ("20.0 ±0.4", "")


def test_seeds_get_a_mean_row_with_sample_deviation_and_only_that_is_ranked(make_cell: CellMaker, make_run: RunMaker) -> None:
    big = [make_cell(seed=seed, miou=miou) for seed, miou in enumerate((0.50, 0.52, 0.54))]
    small = [make_cell("small", seed=seed, miou=miou) for seed, miou in enumerate((0.60, 0.40, 0.50))]
    table = main_table(with_comparisons(make_run([*big, *small])))
    assert [row.kind for row in table.rows] == ["cell", "cell", "cell", "mean"] * 2
    # deviation of 0.50, 0.52, 0.54 with n - 1 = 2: sqrt(0.0008 / 2) = 0.02; of 0.6, 0.4, 0.5: 0.1
    assert _texts(table, "miou")[3::4] == ["52.0 ±2.0", "50.0 ±10.0"]
    assert _best(table, "miou") == [3]
    assert table.rows[7].relative["miou"] == "−2.0"
    assert _best(main_table(with_comparisons(make_run([*big, *small]), score=even(0.1))), "miou") == []
    assert table.rows[7].labels["seed"] == "mean of 3"
    assert table.reference is table.rows[3]


def test_columns_that_nothing_fills_are_dropped(make_cell: CellMaker, make_run: RunMaker) -> None:
    table = main_table(make_run([make_cell(quality=None, training=None, deployments=[])]))
    assert [column.key for column in table.columns] == ["params", "size_mb", "macs"]


def test_a_training_score_is_a_column_of_its_own_and_never_best(make_cell: CellMaker, make_run: RunMaker) -> None:
    def seen(value: float) -> dict[str, Any]:
        return {"split": "val", "miou": None, "training_score": value}

    table = main_table(make_run([make_cell(quality=seen(0.9)), make_cell("b", quality=seen(0.8))]))
    keys = [column.key for column in table.columns]
    assert "training_score" in keys
    assert "miou" not in keys
    assert _best(table, "training_score") == []
    assert all("training_score" not in row.relative for row in table.rows)


def test_the_headline_class_is_named(make_cell: CellMaker, make_run: RunMaker) -> None:
    quality = {"split": "test", "miou": 0.8, "headline_class": "water", "headline_iou": 0.67}
    table = main_table(make_run([make_cell(quality=quality)]))
    assert [(c.title, c.unit) for c in table.columns[:2]] == [("mIoU", "%"), ("IoU water", "%")]
    assert _texts(table, "headline_iou") == ["67.0"]


def test_only_what_differs_becomes_a_label(make_cell: CellMaker, make_run: RunMaker) -> None:
    same = main_table(make_run([make_cell(), make_cell("b")]))
    varied = main_table(make_run([make_cell(settings={"train.lr": 1e-3}), make_cell(settings={"train.lr": 1e-4})]))
    assert same.axes == ("model",)
    assert varied.axes == ("model", "settings")
    assert [row.labels["settings"] for row in varied.rows] == ["lr=1e-3", "lr=1e-4"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_counts_as_not_measured(value: float, make_cell: CellMaker, make_run: RunMaker) -> None:
    table = main_table(make_run([make_cell(quality={"split": "test", "miou": value}), make_cell("b")]))
    assert _texts(table, "miou") == ["–", "50.0"]


def test_a_lower_bound_is_shown_as_one_and_takes_no_part_in_comparisons(make_cell: CellMaker, make_run: RunMaker) -> None:
    bound = {"macs": None, "macs_at_least": 200_000_000, "macs_not_counted": ["operator a::b (1 call) has no formula"]}
    cells = [make_cell(), make_cell("small", millions=1.0), make_cell("custom").model_copy(update=bound)]
    table = main_table(make_run(cells))
    assert (_texts(table, "macs")[2], _best(table, "macs"), "macs" in table.rows[2].relative) == ("≥0.200", [1], False)


def test_weights_in_buffers_are_parameters_and_a_failed_cell_is_never_best(make_cell: CellMaker, make_run: RunMaker) -> None:
    buffers = {"params": 0, "params_in_buffers": 5_000_000}
    table = main_table(make_run([make_cell(), make_cell("small", millions=1.0), make_cell("buffers").model_copy(update=buffers)]))
    assert (_texts(table, "params")[2], _best(table, "params")) == ("5.00", [1])
    failed = main_table(make_run([make_cell(), make_cell("small", millions=2.0), make_cell("tiny", millions=1.0, status="failed")]))
    assert (_texts(failed, "params")[2], _best(failed, "params"), failed.rows[2].relative) == ("1.00", [1], {})
