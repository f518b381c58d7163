"""Runs at the edges: nothing measured, one cell, only failures, many cells, narrow screens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_rows
from segbench_reports.formats import json as json_text
from segbench_reports.formats import markdown, terminal

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]
RENDERERS = [terminal.render, markdown.render, csv_rows.render, json_text.render]


@pytest.mark.parametrize("render", RENDERERS)
def test_cells_without_any_value_render(render: Callable[[RunResult, ReportTarget], str], target: ReportTarget) -> None:
    empty = RunResult(cells=[CellResult(id="a", model="big"), CellResult(id="b", model="small", status="failed")])
    text = render(empty, target)
    assert "big" in text
    assert "None" not in text


@pytest.mark.parametrize("render", RENDERERS)
def test_a_run_without_cells_renders(render: Callable[[RunResult, ReportTarget], str], target: ReportTarget) -> None:
    assert render(RunResult(), target).endswith("\n")


def test_one_cell_is_shown_without_ratios_and_stars(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    text = terminal.render(make_run([make_cell()]), target)
    assert "50.0" in text
    assert not re.search(r"[×*]", text)


def test_failures_alone_say_what_happened_and_what_to_do(make_run: RunMaker, target: ReportTarget) -> None:
    error = {"stage": "train", "kind": "non-finite-loss", "message": "nan in epoch 2, step 7", "advice": "Lower train.lr."}
    failed = CellResult.model_validate({"id": "a", "model": "big", "status": "failed", "error": error})
    for render in (terminal.render, markdown.render):
        text = render(make_run([failed]), target)
        for words in ("non finite loss in train", "nan in epoch 2, step 7", "Lower train.lr.", "1 of 1 cell failed."):
            assert words in text


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("seeds", [1, 2])
def test_ten_cells_fit_every_width_and_no_number_is_broken(
    width: int, seeds: int, make_cell: CellMaker, make_run: RunMaker, target: ReportTarget
) -> None:
    cells = [
        make_cell(f"model-{i}[channels={i},rates=(1,6,12)]", seed=s, miou=0.4 + i / 100, millions=1.25 + i)
        for i in range(10)
        for s in range(seeds)
    ]
    text = terminal.render(make_run(cells), replace(target, width=width))
    assert max(map(cell_len, text.splitlines())) <= width
    for i in range(10):
        assert f"{40 + i}.0" in text
    assert "…" not in text


def test_important_columns_stay_on_a_narrow_screen(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    result = make_run([make_cell(), make_cell("small")])
    narrow = terminal.render(result, replace(target, width=60))
    for heading in ("mIoU", "params", "latency"):
        assert heading in narrow
    assert "Not shown at this width: size" in narrow
    assert "Not shown" not in terminal.render(result, replace(target, width=120))


def test_colour_only_where_asked_for(comparison: RunResult, target: ReportTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in terminal.render(comparison, target)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" in terminal.render(comparison, replace(target, color=True))


def test_csv_header_does_not_depend_on_the_run(comparison: RunResult, target: ReportTarget) -> None:
    header = csv_rows.render(RunResult(), target)
    assert csv_rows.render(comparison, target).startswith(header)
    assert header.count("\n") == 1


def test_an_incomplete_run_says_so_at_the_top(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    result = make_run([make_cell(), CellResult(id="b", model="small")], complete=False)
    text = markdown.render(result, target)
    assert text.index("> [!WARNING]\n> This run is incomplete: 1 of 2 cells is done.") < text.index("## Results")
    assert "This run is incomplete" in terminal.render(result, target)
