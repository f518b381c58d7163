"""The breakdown of cost in a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, RunResult
from segbench_reports.sections.costs import costs
from segbench_reports.sections.modules import cost_breakdown

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

MODULES: dict[str, Any] = {
    "device": "cpu", "total_ms": 10.0, "repeats": 9, "tick_overhead": 0.01, "rule": "marked slow: far above its MACs",
    "modules": [
        {"name": "encoder.conv", "kind": "Conv2d", "part": "encoder", "params": 1000, "macs": 90_000_000, "ms": 5.0},
        {"name": "encoder.bn", "kind": "BatchNorm2d", "part": "encoder", "params": 20, "macs": 0, "ms": 3.0, "mark": "memory-bound"},
        {"name": "head", "kind": "Conv2d", "part": "head", "params": 50, "macs": 10_000_000, "ms": 2.0},
    ],
}  # fmt: skip
STEP = {
    "batch_size": 8, "image_size": [64, 64], "precision": "bf16", "steps": 5, "step_ms": 100.0, "forward_ms": 30.0, "backward_ms": 60.0,
    "optimiser_ms": 9.0, "forward_mb": 50.0, "backward_mb": 70.0, "optimiser_mb": None, "memory_method": "allocator",
}  # fmt: skip


@pytest.fixture
def cell_with_modules(make_cell: CellMaker) -> CellResult:
    return CellResult.model_validate(make_cell().model_dump() | {"modules": MODULES, "training_cost": STEP, "cost_notes": ["no counter"]})


def test_parts_modules_kinds_and_step(cell_with_modules: CellResult, make_run: RunMaker) -> None:
    text = cost_breakdown(make_run([cell_with_modules]))
    assert "| big | 10.0 | 80.0, 90.0 | 20.0, 10.0 |" in text, "time and MACs of encoder and head"
    assert "| encoder.bn | BatchNorm2d | 20 | 0 | 3.00 | 30.0 | 0.0 | **memory-bound** |" in text
    assert text.index("| encoder.conv |") < text.index("| encoder.bn |") < text.index("| head |")
    assert "| Conv2d | 2 | 7.00 | 70.0 | 100.0 |" in text
    assert "| big | 8 | 64 | bf16 | 100 | 30.0 | 60.0 | 9.00 | 50.0 | 70.0 | – |" in text
    assert "costs 1.0 % of a call at most" in text
    assert "big: no counter." in text


def test_energy_that_was_not_counted_is_not_zero(cell_with_modules: CellResult, make_run: RunMaker) -> None:
    assert "**Energy per image**: not measured." in cost_breakdown(make_run([cell_with_modules]))
    values = cell_with_modules.model_dump()
    values["deployments"][0]["latency"][0] |= {"energy_j_per_image": 0.0345, "energy_method": "NVML, whole board"}
    counted = cost_breakdown(make_run([CellResult.model_validate(values)]))
    assert "(NVML, whole board)" in counted
    assert "| big | 0.0345 |" in counted


def test_a_reason_that_all_models_share_is_printed_once(cell_with_modules: CellResult, make_run: RunMaker) -> None:
    cells = [cell_with_modules.model_copy(update={"id": name, "model": name}) for name in ("a", "b", "c")]
    assert cost_breakdown(make_run(cells)).count("o counter") == 1
    assert "- No counter." in cost_breakdown(make_run(cells))
    others = [cells[0].model_copy(update={"cost_notes": ["no breakdown", "no counter"]}), cells[1], cells[2]]
    others[2] = others[2].model_copy(update={"cost_notes": []})
    assert cost_breakdown(make_run(others)).splitlines()[-2:] == ["- a: no breakdown.", "- a, b: no counter."]


def test_seeds_of_a_model_are_shown_once_and_a_run_without_it_has_none(
    cell_with_modules: CellResult, make_cell: CellMaker, make_run: RunMaker
) -> None:
    again = cell_with_modules.model_copy(update={"id": "other", "seed": 1})
    run = make_run([cell_with_modules, again])
    assert cost_breakdown(run).count("| encoder.conv |") == 1
    assert "### Where it sits" in costs(run)
    assert "### Where it sits" not in costs(make_run([make_cell()]))


def test_modules_that_were_raced_by_themselves_have_a_row_with_its_interval(make_cell: CellMaker, make_run: RunMaker) -> None:
    values = make_cell().model_dump()
    timing = values["deployments"][0]["latency"][0] | {"p50_ms": 3.21, "ci95_ms": [3.1, 3.4], "input_size": [256, 256]}
    values["deployments"][0]["module_latency"] = [
        {"name": "Attention", "latency": [timing]},
        {"name": "gone|away", "error": "the network has no module gone|away"},
    ]
    cell = CellResult.model_validate(values)
    text = cost_breakdown(make_run([cell, cell.model_copy(update={"id": "other", "seed": 1})]))
    assert text.count("| big | Attention | 256 | 3.21 | 3.10 to 3.40 |") == 1
    assert "- gone\\|away of big was not timed: the network has no module gone\\|away." in text
    assert "### Where it sits" in costs(make_run([cell]))
