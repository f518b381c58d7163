"""Equal networks under different names, raced as a run races them: ``pytest tests/benchmarks/test_race_of_equals.py --benchmark-only -s``
(about three minutes).

Dropout does nothing at inference, so that networks which differ in its rate only are equal: whatever a race says of their speed is an
accident. Six of them are raced at 128 x 128 in twenty rounds; of the 15 intervals of their ratios about one in twenty may miss 1, and
corrected for being fifteen none may call one of them faster.

Seen on two cores of a virtual machine: 0 of 15, ratios 0.975 to 1.019.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.results.records import Comparison, RunResult

RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
ROUNDS = 20


@pytest.fixture
def pairs(segbench: Any, benchmark: BenchmarkFixture, tmp_path: Path) -> list[Comparison]:
    """Every pair of them, at batch 1."""
    models = ",".join(f"deeplab-optimized[aspp_dropout={rate}]" for rate in RATES)
    asked = ("--input-size", "128", "--batch-size", "2", "--rounds", str(ROUNDS), "--num-classes", "11", "--device", "cpu", "--out", "run")
    answer = benchmark.pedantic(lambda: segbench("profile", "--models", models, *asked), rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    assert answer.code == 0, answer.err
    result = RunResult.model_validate(json.loads((tmp_path / "run" / "run.json").read_text()))
    return [found for found in result.comparisons if found.quantity == "latency_ms" and not found.headline]


def test_equal_networks_are_not_told_apart(pairs: list[Comparison]) -> None:
    bounds = [(found.low, found.high) for found in pairs if found.low is not None and found.high is not None]
    assert len(bounds) == len(pairs) == len(RATES) * (len(RATES) - 1) // 2
    apart = sum(not low <= 1 <= high for low, high in bounds)
    ratios = sorted(found.value for found in pairs if found.value is not None)
    told = [found.verdict for found in pairs if found.verdict != "no difference shown"]
    print(f"\nratios {ratios[0]:.3f} to {ratios[-1]:.3f}; {apart} of {len(pairs)} intervals miss 1; corrected verdicts: {told or 'none'}")
    assert apart <= 3
    assert not told
