from __future__ import annotations

from typing import Any

import pytest

from segbench import CellResult, Deployment, Quality, RunResult
from segbench_reports.view.main_table import main_table
from segbench_reports.view.notes import protocol_line, table_notes


def cell(train: dict[str, Any], scored_at: tuple[int, int] | None) -> CellResult:
    quality = Quality(split="val", image_size=scored_at) if scored_at else None
    return CellResult(id="a", model="m", resolved={"train": train}, quality=quality)


@pytest.mark.parametrize(
    ("trained", "scored", "line"),
    [
        ("60x80", (60, 80), "size 60x80"),
        ("60x80", (90, 120), "trained at 60x80 · scored at 90x120"),
        (64, (64, 64), "size 64"),
        (64, (96, 96), "trained at 64 · scored at 96"),
        ("32@0,64@0.5", (64, 64), "size 32@0,64@0.5"),
        ("60x80", None, "size 60x80"),
        ([60, 80], (60, 80), "size 60x80"),
    ],
)
def test_the_header_names_both_sizes_where_they_differ(trained: Any, scored: tuple[int, int] | None, line: str) -> None:
    assert protocol_line(RunResult(cells=[cell({"image_size": trained}, scored)])) == line


@pytest.mark.parametrize(("epochs", "words"), [(1, "1 epoch"), (2, "2 epochs")])
def test_one_epoch_is_singular(epochs: int, words: str) -> None:
    assert protocol_line(RunResult(cells=[cell({"epochs": epochs}, None)])) == words


def test_a_cost_that_failed_is_named_below_the_table() -> None:
    failed = CellResult(id="a", model="m", deployments=[Deployment(backend="eager", error="the process was killed")])
    run = RunResult(cells=[failed])
    assert table_notes(run, main_table(run)) == ["m: its cost was not measured: the process was killed"]
