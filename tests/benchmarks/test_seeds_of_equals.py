"""One network under two names, trained with twenty times three seeds (about ten minutes):
``pytest tests/benchmarks/test_seeds_of_equals.py --benchmark-only -s``.

One network is trained with 120 seeds; half of the trainings get another name, and its seeds count from zero again. Whatever a comparison
over three seeds says of the two is an accident, which happens once in twenty comparisons.

Seen: 0 of 20 told apart; differences of -7.8 to +3.8 points.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from segbench.analysis.comparisons import compare_quality
from segbench.results.records import Comparison, RunResult

PAIRS, SEEDS = 20, 3
MOST_FALSE = 3
MODEL = "dot"


def _pair(whole: RunResult, first: int, directory: Path) -> list[Comparison]:
    """The comparison of three trainings from ``first`` with three of the other half."""
    seeds = range(first, first + SEEDS)
    ours = [cell for cell in whole.cells if cell.seed in seeds]
    theirs = [cell for cell in whole.cells if cell.seed is not None and cell.seed - PAIRS * SEEDS in seeds]
    twins = [cell.model_copy(update={"model": "twin", "seed": (cell.seed or 0) - PAIRS * SEEDS}) for cell in theirs]
    run = whole.model_copy(update={"cells": [*ours, *twins]})
    return [pair for pair in compare_quality(run, directory) if pair.quantity == "miou"]


def test_twenty_pairs_of_equal_networks(segbench: Any, benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    def compared() -> list[Comparison]:
        seeds = ",".join(map(str, range(2 * PAIRS * SEEDS)))
        settings = ("--set", "train.epochs=3", "--set", "measure.latency=false", "--set", "measure.memory=false")
        dataset = ("--dataset", "shapes[size=32,train=64,val=16,test=40]")
        answer = segbench("run", "--models", MODEL, "--seeds", seeds, "--device", "cpu", "--out", "run", *dataset, *settings)
        assert answer.code == 0, answer.err
        whole = RunResult.model_validate(json.loads((tmp_path / "run" / "run.json").read_text()))
        return [pair for first in range(0, PAIRS * SEEDS, SEEDS) for pair in _pair(whole, first, tmp_path / "run")]

    pairs = benchmark.pedantic(compared, rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    assert [pair.n for pair in pairs] == [SEEDS] * PAIRS
    wrong = [pair for pair in pairs if pair.verdict != "no difference shown"]
    values = sorted(100 * pair.value for pair in pairs if pair.value is not None)
    print(f"\n{len(wrong)} of {PAIRS} pairs of equal networks told apart; differences {values[0]:.1f} to {values[-1]:.1f} points")
    assert len(wrong) <= MOST_FALSE
