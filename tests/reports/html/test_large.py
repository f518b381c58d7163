"""A run of 200 cells: the page stays small and is made quickly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.html.page import render

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _large(make_cell: CellMaker, number: int) -> CellResult:
    """A hundred epochs, twenty classes, 200 calls at each of three settings."""
    chance = random.Random(number)
    cell = make_cell(
        f"model-{number // 4}[width={number}]", ("ce", "focal", "dice", "combined")[number % 4], miou=0.3 + chance.random() / 2
    )
    values = cell.model_dump()
    values["training"]["history"] = [
        {"epoch": e, "train_loss": 2 / e + chance.random() / 9, "val_miou": chance.random()} for e in range(1, 101)
    ]
    values["quality"] |= {
        "class_names": [f"class {n}" for n in range(20)],
        "iou_per_class": [chance.random() for _ in range(20)],
        "label_pixels_per_class": [1000] * 20,
        "reliability": [{"count": 10, "confidence": (n + 0.5) / 15, "accuracy": chance.random()} for n in range(15)],
    }
    for entry in values["deployments"][0]["latency"]:
        entry["samples_ms"] = [entry["p50_ms"] * (1 + chance.random() / 10) for _ in range(200)]
    return CellResult.model_validate(values)


@pytest.mark.clock
def test_two_hundred_cells_take_less_than_ten_seconds_and_two_megabytes(
    make_cell: CellMaker, make_run: RunMaker, run_target: ReportTarget
) -> None:
    result = make_run([_large(make_cell, number) for number in range(200)])
    started = time.process_time()
    text = render(result, run_target)
    # of the processor, so that a busy machine does not fail the test
    assert time.process_time() - started < 10
    assert len(text.encode()) < 2 * 2**20
