"""The table of IoU per class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segbench import CellResult, RunResult
from segbench_reports.sections.classes import per_class
from segbench_reports.view.main_table import main_table

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _scores(first: float, second: float, *, trained_on: bool = False) -> dict[str, Any]:
    mean = (first + second) / 2
    return {
        "split": "val",
        "miou": None if trained_on else mean,
        "training_score": mean if trained_on else None,
        "class_names": ["ground", "square"],
        "iou_per_class": [first, second],
    }


def _rows(result: RunResult) -> list[list[str]]:
    lines = per_class(result, main_table(result)).splitlines()
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def test_no_class_has_a_best_without_a_verdict(make_cell: CellMaker, make_run: RunMaker) -> None:
    rows = _rows(make_run([make_cell(quality=_scores(0.5, 0.4)), make_cell("small", quality=_scores(0.6, 0.3))]))
    assert rows[2:] == [["ground", "50.0", "60.0"], ["square", "40.0", "30.0"]]


def test_scores_on_images_that_were_trained_on_are_named_(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [
        make_cell(quality=_scores(0.5, 0.4)),
        make_cell("small", quality=_scores(0.6, 0.3)),
        make_cell("cheat", quality=_scores(0.9, 0.95, trained_on=True)),
    ]
    rows = _rows(make_run(cells))
    assert rows[0] == ["class", "big", "small", "cheat (training score)"]
    assert rows[2:] == [["ground", "50.0", "60.0", "90.0"], ["square", "40.0", "30.0", "95.0"]]
    alone = _rows(make_run([make_cell(m, quality=_scores(s, s, trained_on=True)) for m, s in (("big", 0.9), ("small", 0.8))]))
    assert alone[2:] == [["ground", "90.0", "80.0"], ["square", "90.0", "80.0"]]
