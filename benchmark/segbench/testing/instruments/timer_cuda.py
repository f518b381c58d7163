"""CUDA events against the host's clock, on work so long that launching it is nothing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch

from segbench.measure import latency
from segbench.testing.check import CheckResult, skipped
from segbench.testing.instruments.timer_torch import compare

PAIRS = 25
SIZE = 4096
PRODUCTS = 8

_BUDGET = latency.TimingBudget(rounds=1, min_calls=5, max_calls=5, min_round_seconds=0.0, max_warmup_calls=10)


def check() -> Iterator[CheckResult]:
    """One row: the median of 25 ratios, events over the host's clock around the same matrix products."""
    if not torch.cuda.is_available():
        yield skipped("events against the host's clock", "no usable CUDA device")
        return
    call = _workload()
    pairs = [(_events(call), _host(call)) for _ in range(PAIRS + 1)][1:]
    yield compare(
        [events / host for events, host in pairs],
        subject=f"{PAIRS} interleaved pairs, median ratio",
        source=f"perf_counter around the same work, synchronised, {statistics.median(host for _, host in pairs):.2f} ms",
    )


def _workload() -> Callable[[], object]:
    """Matrix products of tens of milliseconds or more."""
    matrix = torch.rand(SIZE, SIZE, device="cuda")

    def call() -> object:
        return [matrix @ matrix for _ in range(PRODUCTS)]

    return call


def _events(call: Callable[[], object]) -> float:
    timed = latency.measure_latency(call, batch_size=1, input_size=(SIZE, SIZE), device="cuda", budget=_BUDGET)
    return timed.p50_ms if timed.p50_ms is not None else float("nan")


def _host(call: Callable[[], object]) -> float:
    """Milliseconds: the median of five."""
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)
