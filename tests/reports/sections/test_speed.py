"""The section on speed: two tables, verdicts, sweeps, disturbances."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from segbench import CellResult, Comparison, RaceRecord, ReportTarget, RunResult
from segbench_reports.charts.cost_against_size import cost_against_size
from segbench_reports.formats import markdown, terminal
from segbench_reports.sections.speed import speed

RACE = {"rounds": 10, "disturbances": [], "machine_state": [{"other_load_cores": 0.02}], "overhead": 0.031}


def _latency(batch: int, milliseconds: float, size: int = 64) -> dict[str, Any]:
    return {
        "batch_size": batch,
        "input_size": [size, size],
        "device": "cpu",
        "threads": 2,
        "first_ms": 99.0,
        "p50_ms": milliseconds,
        "ci95_ms": [milliseconds * 0.9, milliseconds * 1.1],
        "p90_ms": milliseconds * 1.2,
        "images_per_second": 1000 * batch / milliseconds,
    }


def _cell(make_cell: Any, model: str, milliseconds: float, *, sizes: tuple[int, ...] = (64,), **changes: Any) -> CellResult:
    entries = [_latency(batch, milliseconds * batch * (size / 64) ** 2, size) for size in sizes for batch in (1, 8)]
    forms = [{"backend": "eager", "raced": "now", "latency": entries}]
    macs = {str(size): size * size * 1000 for size in sizes} if len(sizes) > 1 else {}
    return CellResult.model_validate(make_cell(model, deployments=forms, macs_at_sizes=macs).model_dump() | changes)


def _comparison(quantity: str, batch: int, verdict: str, value: float | None, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "quantity": quantity, "subject": "small", "baseline": "big", "subject_cells": ["small-ce-0"], "baseline_cells": ["big-ce-0"],
        "subject_backend": "eager", "baseline_backend": "eager", "reading": "ratio", "value": value, "verdict": verdict,
        "low": value and value - 0.01, "high": value and value + 0.02, "scope": "this machine", "method": "the median of ratios",
        "context": {"batch_size": batch, "input_size": [64, 64], "device": "cpu", "threads": 2},
    }  # fmt: skip
    return Comparison.model_validate(values | changes).model_dump()


@pytest.fixture
def raced(make_cell: Any, make_run: Any) -> RunResult:
    cells = [_cell(make_cell, "big", 20.0), _cell(make_cell, "small", 10.0)]
    said = [_comparison("latency_ms", 1, "faster", 0.512), _comparison("throughput", 8, "no difference shown", 1.003)]
    run: RunResult = make_run(cells, comparisons=said, race=RACE)
    return run


def _section(run: RunResult, folder: Path) -> str:
    return speed(run, ReportTarget(directory=folder))


def test_single_images_and_whole_batches_stand_apart_each_with_its_verdict(raced: RunResult, tmp_path: Path) -> None:
    text = _section(raced, tmp_path)
    single, batches = text.split("**Whole batches**")
    assert "| small | eager | 64 | 10.0 (9.0 to 11.0) | 12.0 | 99.0 | ×0.51 (0.50 to 0.53) | faster |" in single
    assert "| big | eager | 64 | 20.0 (18.0 to 22.0) | 24.0 | 99.0 | – | – |" in single
    assert "| small | eager | 64 | 8 | 100 (91 to 111) | 80.0 (72.0 to 88.0) | ×1.00 (0.99 to 1.02) | no difference shown |" in batches
    assert "host p50" not in text, "columns that nothing fills are left out"
    assert "p99" not in text
    assert "## Speed" in markdown.render(raced, ReportTarget(directory=tmp_path))


def test_what_disturbed_is_said_and_that_nothing_did(raced: RunResult, tmp_path: Path) -> None:
    assert "Nothing that disturbs was seen while the models were timed (other programs used 0.02 cores)." in _section(raced, tmp_path)
    assert "No network was computing in 3.1 % of the race" in _section(raced, tmp_path)
    disturbed = {**RACE, "disturbances": ["Other programs used 1.0 of 2 cores while the models were timed."]}
    loud = raced.model_copy(update={"race": RaceRecord.model_validate(disturbed)})
    assert "- Other programs used 1.0 of 2 cores while the models were timed." in _section(loud, tmp_path)
    shown = terminal.render(loud, ReportTarget(directory=tmp_path, width=100))
    assert "Other programs used 1.0 of 2 cores" in " ".join(shown.split())


def test_a_reason_stands_where_nothing_can_be_told(raced: RunResult, tmp_path: Path) -> None:
    said = [_comparison("latency_ms", 1, "cannot tell", None, reason="it takes 6 rounds, these are 2")]
    text = _section(raced.model_copy(update={"comparisons": [Comparison.model_validate(c) for c in said]}), tmp_path)
    assert "| cannot tell: it takes 6 rounds, these are 2 |" in text


def test_all_pairs_are_folded_with_their_corrected_p_values(raced: RunResult, tmp_path: Path) -> None:
    pair = Comparison.model_validate(_comparison("latency_ms", 1, "faster", 0.5, headline=False, p_adjusted=0.0123, subject_backend="twin"))
    text = _section(raced.model_copy(update={"comparisons": [*raced.comparisons, pair]}), tmp_path)
    assert "<summary>Other pairs</summary>" in text
    assert "| small (twin) | big | 64, batch 1 | ×0.50 (0.49 to 0.52) | 0.012 | **faster** |" in text


def test_cost_is_drawn_against_size_where_sizes_were_swept(make_cell: Any, make_run: Any, tmp_path: Path, raced: RunResult) -> None:
    pytest.importorskip("altair")
    assert cost_against_size(raced) is None
    cells = [_cell(make_cell, name, ms, sizes=(64, 128, 256)) for name, ms in (("big", 20.0), ("small", 10.0))]
    run = make_run(cells, race=RACE)
    assert "![Latency at batch 1" in _section(run, tmp_path)
    assert (tmp_path / "cost-against-size.svg").read_text().startswith("<svg")
    chart = cost_against_size(run)
    assert chart is not None
    drawn = chart.to_dict()
    latency, macs = (drawn["datasets"][panel["data"]["name"]] for panel in drawn["hconcat"])
    assert [(r["model"], r["size"], r["value"]) for r in latency][:3] == [
        ("big", "64×64", 20),
        ("big", "128×128", 80),
        ("big", "256×256", 320),
    ]
    assert [r["value"] for r in macs if r["model"] == "small"] == [size * size / 1e6 for size in (64, 128, 256)]
    assert latency[0]["megapixels"] == pytest.approx(0.004096)


def test_a_run_that_compares_no_times_has_no_such_section(make_cell: Any, make_run: Any, tmp_path: Path) -> None:
    assert _section(make_run([make_cell("big"), make_cell("small")]), tmp_path) == ""
    assert _section(make_run([make_cell("big", deployments=[])]), tmp_path) == ""


def test_how_much_starts_differ_is_said_or_that_there_was_one(raced: RunResult, tmp_path: Path) -> None:
    assert "Every process was started once: another start may be some per cent faster or slower" in _section(raced, tmp_path)
    moods = (1.0, 1.5, 0.8)
    for cell, own in zip(raced.cells, ((20.0, 20.0, 20.0), (10.0, 10.2, 9.6)), strict=True):
        entry = cell.deployments[0].latency[0]
        rounds = [[time * mood] * 5 for time, mood in zip(own, moods, strict=True) for _ in range(2)]
        cell.deployments[0].latency[0] = entry.model_copy(update={"rounds_ms": rounds, "start_rounds": [2, 2, 2]})
    half = statistics.stdev([math.log(10.0), math.log(10.2), math.log(9.6)]) / 2  # the mean of two moves half as much as the one that moved
    text = _section(raced, tmp_path)
    assert "Every process was started 3 times: a network's time beside the others' varied by 1.5 % (standard deviation)" in text
    assert "All starts inherited one layout of memory" in text
    drawn = _section(raced.model_copy(update={"race": RaceRecord.model_validate({**RACE, "layout": "drawn"})}), tmp_path)
    assert "was started 3 times, its memory laid out by chance: a network's time" in drawn
    assert "inherited" not in drawn
    assert f"{100 * half:.1f}" == "1.5"
    assert "started once" not in text
