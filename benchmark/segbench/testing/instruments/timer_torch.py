"""The timer against ``torch.utils.benchmark``, in turns on one small convolution."""

from __future__ import annotations

import logging
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from segbench.measure import latency
from segbench.testing.check import CheckResult, Verdict

LOOKS = (50, 100, 200)
"""After how many pairs it is asked whether they suffice."""
PATIENCE_SECONDS = 20.0
CALLS = 20
SIZE = 48

_BUDGET = latency.TimingBudget(rounds=1, min_calls=CALLS, max_calls=CALLS, min_round_seconds=0.0, max_warmup_calls=10)


def check() -> Iterator[CheckResult]:
    """One row: the median of 50 ratios or more, segbench's mean of 20 calls over that of ``torch.utils.benchmark``.

    Both use one thread; which goes first is drawn for each pair, so that what disturbs the machine hits both alike. A busy machine
    gets more pairs, up to 200 or 20 seconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield _compare(_workload())
    finally:
        torch.set_num_threads(threads)


def _compare(call: Callable[[], object]) -> CheckResult:
    order, start = random.Random(0), time.perf_counter()
    _pair(call, first=True)  # for the caches
    pairs: list[tuple[float, float]] = []
    for look in LOOKS:
        pairs += [_pair(call, first=order.random() < 0.5) for _ in range(look - len(pairs))]
        result = compare(
            [ours / theirs for ours, theirs in pairs],
            subject=f"{look} interleaved pairs, median ratio",
            source=f"torch.utils.benchmark.Timer on the same call, {statistics.median(theirs for _, theirs in pairs):.3f} ms",
        )
        if result.verdict == "ok" or time.perf_counter() - start > PATIENCE_SECONDS:
            break
    return result


def _workload() -> Callable[[], object]:
    """A 3x3 convolution: long against what a clock costs, short against the slices in which the system shares out its cores."""
    layer = nn.Conv2d(32, 32, 3, padding=1).eval()
    image = torch.rand(1, 32, SIZE, SIZE)

    def call() -> object:
        with torch.inference_mode():
            return layer(image)

    return call


def _pair(call: Callable[[], object], *, first: bool) -> tuple[float, float]:
    if first:
        ours = _ours(call)
        return ours, _theirs(call)
    theirs = _theirs(call)
    return _ours(call), theirs


def _ours(call: Callable[[], object]) -> float:
    timed = latency.measure_latency(call, batch_size=1, input_size=(SIZE, SIZE), device="cpu", threads=1, budget=_BUDGET)
    return timed.mean_ms if timed.mean_ms is not None else float("nan")


def _theirs(call: Callable[[], object]) -> float:
    """Milliseconds per call. It times calls as one block, which gives a mean: only with a mean can it be compared.

    It gets the lead-in that ours has: on a busy machine calls after a pause meet another share of the core than calls in full swing.
    """
    timer = _peer().Timer(stmt="call()", globals={"call": call}, num_threads=1)
    start = time.perf_counter()
    while time.perf_counter() - start < _BUDGET.lead_in_seconds:
        call()
    return float(timer.timeit(CALLS).median) * 1e3


def _peer() -> Any:
    """``torch.utils.benchmark``, imported without the warnings about CUDA compilers that its import logs."""
    log = logging.getLogger("torch.utils.cpp_extension")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        from torch.utils import benchmark
    finally:
        log.setLevel(level)
    return benchmark


TOLERANCE = 0.05


CONFIDENCE = 0.95


def compare(ratios: Sequence[float], *, subject: str, source: str) -> CheckResult:
    """``ok`` where the median's 95 % interval lies within 1 +- 5 %, ``FAILED`` where all of it lies outside, else ``cannot tell``.

    An interval that crosses the bound is a busy machine's, not a broken instrument's.

    >>> compare([1.0] * 25, subject="s", source="w").verdict, compare([1.2] * 25, subject="s", source="w").verdict
    ('ok', 'FAILED')
    >>> compare([0.9, 1.1] * 12, subject="s", source="w").verdict
    'cannot tell'
    """
    low, high = median_interval(ratios)
    verdict, reason = _judge(low, high)
    return CheckResult(
        subject=subject,
        expected=f"1 +- {TOLERANCE:.0%}",
        measured=f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})",
        verdict=verdict,
        message=reason,
        source=source,
    )


def _judge(low: float, high: float) -> tuple[Verdict, str]:
    least, most = 1 - TOLERANCE, 1 + TOLERANCE
    if least <= low and high <= most:
        return "ok", ""
    if high < least or low > most:
        return "FAILED", f"the whole 95 % interval lies outside {least:.2f} to {most:.2f}"
    return "cannot tell", f"the 95 % interval crosses {least:.2f} to {most:.2f}: is the machine busy? Try again when it is quiet"


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The order statistics between which the true median lies with at least 95 % confidence, whatever the distribution.

    Conover, Practical Nonparametric Statistics (3rd ed. 1999), section 3.2. Six values are the least; fewer raise ValueError.
    Written here anew: what calibrates an instrument must not be made of it.

    >>> median_interval(range(1, 26))
    (8.0, 18.0)
    """
    n = len(values)
    tail, rank = 0.0, 0
    while tail + math.comb(n, rank) / 2**n <= (1 - CONFIDENCE) / 2:
        tail += math.comb(n, rank) / 2**n
        rank += 1
    if rank == 0:
        raise ValueError(f"{n} values have no 95 % interval of the median: six are the least")
    ordered = sorted(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])
