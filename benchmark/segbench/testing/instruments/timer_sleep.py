"""The timer against a sleep of known length."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from segbench.measure import latency
from segbench.testing.check import CheckResult, Verdict

SLEEP_MS = 20.0
AGREES_WITHIN = 0.02
OVERSLEPT = 1.10

_BUDGET = latency.TimingBudget(rounds=10, min_calls=5, max_calls=5, min_round_seconds=0.0, max_warmup_calls=10)


def check() -> Iterator[CheckResult]:
    """One row: the median of 50 timed sleeps of 20 ms.

    A sleep never ends early, but a busy machine wakes late. So each sleep is also timed by another clock from within: the timer has
    failed where it says less than was slept, or disagrees with that clock by 2 %; sleeps more than a tenth too long are no standard.
    """
    slept: list[float] = []

    def sleep() -> None:
        start = _second_clock()
        time.sleep(SLEEP_MS / 1e3)
        slept.append((_second_clock() - start) / 1e6)

    timed = latency.measure_latency(sleep, batch_size=1, input_size=(1, 1), device="cpu", budget=_BUDGET)
    samples = timed.samples_ms
    truth = statistics.median(slept[-len(samples) :])
    verdict, reason = _judge(timed.p50_ms, truth)
    yield CheckResult(
        subject=f"{len(samples)} sleeps of {SLEEP_MS:g} ms, median",
        expected=f"{truth:.2f} ms +- {AGREES_WITHIN:.0%}",
        measured="none" if timed.p50_ms is None else f"{timed.p50_ms:.2f} ms",
        verdict=verdict,
        message=reason,
        source="the system's sleep, timed from within by its raw clock",
    )


def _second_clock() -> int:
    """Nanoseconds of a clock that is not ``perf_counter``, where the system has one: the raw hardware counter."""
    raw = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    return time.monotonic_ns() if raw is None else time.clock_gettime_ns(raw)


def _judge(measured: float | None, truth: float) -> tuple[Verdict, str]:
    if measured is None:
        return "FAILED", "no median was given"
    if abs(measured / truth - 1) > AGREES_WITHIN:
        return "FAILED", f"the timer says {measured / truth - 1:+.1%} against a second clock"
    if measured < SLEEP_MS * (1 - 1e-3):
        return "FAILED", "the timer says less than was slept"
    if measured > SLEEP_MS * OVERSLEPT:
        return "cannot tell", "the machine wakes so late that a sleep is no standard: try again when it is quiet"
    return "ok", ""
