"""What the program itself costs: run with ``pytest tests/benchmarks --benchmark-enable --benchmark-only``.

Help is compared with the imports that it cannot do without, in interleaved pairs; a cell's overhead is what its wall time has beside
training, validation and evaluation, process start included, seen from outside.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from segbench.config.run_config import load_config
from segbench.execution.events import CellEnded, CellStarted, Event
from segbench.execution.plan.plan import Plan, make_plan
from segbench.plugin.registry import load_catalog

PAIRS = 15


def test_help_takes_less_than_twice_its_imports(benchmark: BenchmarkFixture) -> None:
    ours = [sys.executable, "-m", "segbench", "--help"]
    imports = [sys.executable, "-c", "import click, rich, pluggy, pydantic"]
    _seconds(ours), _seconds(imports)
    benchmark.pedantic(_seconds, args=(ours,), rounds=1)  # type: ignore[no-untyped-call]
    ratios = [_seconds(ours) / _seconds(imports) for _ in range(PAIRS)]
    benchmark.extra_info[f"help / imports, median of {PAIRS} pairs"] = statistics.median(ratios)
    assert statistics.median(ratios) < 2


def test_a_thousand_cells_are_planned_in_half_a_second(benchmark: BenchmarkFixture) -> None:
    catalog = load_catalog()
    rates = ",".join(str(i / 10_000) for i in range(1, 51))
    flags = {"losses": "ce,focal", "vary": (f"train.lr={rates}",), "seeds": "0,1,2,3,4"}

    def plan() -> Plan:
        return make_plan(load_config(flags=flags), catalog)

    made = benchmark(plan)
    assert len(made.cells) == 1000
    started = time.perf_counter()
    plan()
    assert time.perf_counter() - started < 0.5


class _Stopwatch:
    """Seconds between a cell's first and last event, and when the last one ended."""

    def __init__(self) -> None:
        self.cells: dict[str, float] = {}
        self.started = 0.0

    def on(self, event: Event) -> None:
        if isinstance(event, CellStarted):
            self.started = time.perf_counter()
        elif isinstance(event, CellEnded):
            self.cells[event.cell["id"]] = time.perf_counter() - self.started


def test_a_cell_after_the_first_costs_less_than_two_seconds(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    from segbench.execution.runner import run

    watch = _Stopwatch()
    sets = [
        "train.epochs=1",
        "train.image_size=64",
        "measure.latency=false",
        "measure.memory=false",
        f"data.cache_dir={tmp_path / 'cache'}",
    ]
    flags = {"dataset": "shapes[train=16,val=4,test=4]", "losses": "ce,focal", "device": "cpu", "out": str(tmp_path / "run")}
    result = benchmark.pedantic(  # type: ignore[no-untyped-call]
        run, args=(load_config(sets=sets, flags=flags),), kwargs={"listener": watch}, rounds=1
    )
    overheads = {}
    for cell in result.cells:
        assert cell.status == "ok"
        work = cell.training.seconds + cell.training.validation_seconds + cell.quality.seconds
        overheads[cell.id] = watch.cells[cell.id] - work
    benchmark.extra_info["overhead per cell in seconds"] = overheads
    assert max(list(overheads.values())[1:]) < 2


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
