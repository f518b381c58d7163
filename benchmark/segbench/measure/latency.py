"""Latency: raw times per call of warmed-up contenders, released one at a time in shuffled rounds.

Warm-up lasts until the times stop falling (with a cap), the first call is recorded by itself, every sample is kept. A round is one block of
calls per contender, in an order drawn anew each time, so that heat and other load hit all alike. Calls of one round share the machine's
state and rounds of one start the pace of the process, so that starts are the independent units of all intervals. A block's first calls
run with caches and clock as the contender before left them: they are recorded apart, as its lead-in.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.statistics.starts import ALIKE, by_start, spread_of
from segbench.analysis.statistics.timing import interval_fields, is_falling, quantile_of
from segbench.measure.contender import Clock, Conditions, Contender, LocalContender, local_contender
from segbench.results.records import Latency

WARMUP_BLOCK = 5
WARMUP_WINDOW = 10


@dataclass(frozen=True)
class TimingBudget:
    """The amount of measuring: a block has ``min_calls`` or more, until it lasts ``min_round_seconds`` or has ``max_calls``.

    Its lead-in comes before that: ``lead_in_calls`` or more, until it lasts ``lead_in_seconds`` (a clock needs milliseconds to rise).
    """

    rounds: int = 10
    min_calls: int = 5
    max_calls: int = 2000
    min_round_seconds: float = 0.2
    lead_in_calls: int = 1
    lead_in_seconds: float = 0.04
    max_warmup_calls: int = 100
    max_warmup_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.min_calls < 1 or self.max_calls < self.min_calls or self.lead_in_calls < 0:
            raise ValueError(f"a race needs at least one round of at least one call: {self}")


@dataclass(frozen=True)
class Race:
    """The result of :func:`race`: latencies by name, the errors of contenders that failed, and the order of each round.

    ``seconds`` is how long all rounds took, of which the contenders' own calls were ``call_seconds``.
    """

    latencies: dict[str, Latency]
    errors: dict[str, str]
    order: list[list[str]]
    seed: int
    seconds: float = 0.0
    call_seconds: float = 0.0

    @property
    def overhead(self) -> float | None:
        """Share of the rounds in which no contender was computing; None before there was any."""
        return 1 - self.call_seconds / self.seconds if self.seconds > 0 else None


@dataclass
class _TimedContender:
    """A contender and its times so far."""

    contender: Contender
    first_ms: float = 0.0
    warmup_calls: int = 0
    lead_in: int = 0
    calls: int = 0
    steady: bool = True
    wall_ms: list[float] = field(default_factory=list)
    lead_ins: list[list[float]] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def call_seconds(self) -> float:
        return sum(map(sum, (*self.lead_ins, *self.rounds))) / 1e3


def measure_latency(
    call: Callable[[], object],
    *,
    batch_size: int,
    input_size: tuple[int, int],
    device: str,
    threads: int | None = None,
    budget: TimingBudget = TimingBudget(),
    clock: Clock | None = None,
) -> Latency:
    """Time one call in this process; ``input_size`` is (height, width). What the call raises is raised.

    ``clock`` replaces the clock that fits the device (CUDA events, or ``perf_counter``).
    """
    contender = local_contender("call", call, batch_size=batch_size, input_size=input_size, device=device, threads=threads)
    if clock is not None:
        conditions = Conditions(batch_size, input_size, device, threads, clock="injected")
        contender = LocalContender("call", call, conditions, clock=clock)
    timing = _TimedContender(contender)
    _warm_up(timing, budget, clock or time.perf_counter)
    for _ in range(budget.rounds):
        _run_block(timing, clock or time.perf_counter)
    return _latency(timing, seed=0)


def race(
    contenders: Sequence[Contender],
    *,
    seed: int,
    budget: TimingBudget = TimingBudget(),
    clock: Clock = time.perf_counter,
) -> Race:
    """Time several contenders side by side: all are warmed up, then each round lets every one run a block, in shuffled order.

    A contender that raises is left out and its error recorded; the others go on. ``clock`` (seconds) times blocks as the host sees them.
    """
    timings = {contender.name: _TimedContender(contender) for contender in contenders}
    if len(timings) != len(contenders):
        raise ValueError("contenders need different names: " + ", ".join(c.name for c in contenders))
    errors: dict[str, str] = {}
    for timing in timings.values():
        _attempt(lambda timing: _warm_up(timing, budget, clock), timing, errors)
    order = []
    shuffler = random.Random(seed)
    start = clock()
    for _ in range(budget.rounds):
        turn = [name for name in timings if name not in errors]
        shuffler.shuffle(turn)
        order.append(turn)
        for name in turn:
            _attempt(lambda timing: _run_block(timing, clock), timings[name], errors)
    seconds = clock() - start
    latencies = {name: _latency(timing, seed=seed) for name, timing in timings.items() if name not in errors}
    return Race(latencies, errors, order, seed, seconds, sum(timing.call_seconds for timing in timings.values()))


def join_starts(starts: Sequence[Latency], *, seed: int = 0) -> Latency:
    """One contender's times over several starts of its process: all rounds together, the first call that of the first start.

    Two starts of one program differ by a per cent or more, with the layout of its memory. Within one start no number of rounds shows
    that: intervals are from how several differ.
    """
    first, *others = starts
    if not others:
        return first
    rounds = [block for start in starts for block in start.rounds_ms]
    counts = [count for start in starts for count in start.start_rounds]
    hosts = [start.host_p50_ms for start in starts if start.host_p50_ms is not None]
    return first.model_copy(
        update={
            **_figures(rounds, first.batch_size, starts=counts, seed=seed),
            "lead_in_ms": [block for start in starts for block in start.lead_in_ms],
            "start_rounds": counts,
            "warmup_calls": max((start.warmup_calls for start in starts if start.warmup_calls is not None), default=None),
            "host_p50_ms": statistics.median(hosts) if hosts else None,
            "notes": [*dict.fromkeys(note for start in starts for note in start.notes), *_notes_on_starts(rounds, counts)],
        }
    )


def _attempt(step: Callable[[_TimedContender], None], timing: _TimedContender, errors: dict[str, str]) -> None:
    try:
        step(timing)
    except Exception as error:  # a contender is foreign code, often in another process, and may raise anything: only its own timing fails
        errors[timing.contender.name] = f"{type(error).__name__}: {error}"


def _warm_up(timing: _TimedContender, budget: TimingBudget, clock: Clock) -> None:
    """Call until the last times show no downward trend; sets how many calls make a block. The times themselves are dropped."""
    timing.first_ms = timing.contender.block(1)[0]
    start, times = clock(), []
    while True:
        times += timing.contender.block(WARMUP_BLOCK)
        timing.steady = len(times) >= WARMUP_WINDOW and not is_falling(times[-WARMUP_WINDOW:])
        if timing.steady or len(times) >= budget.max_warmup_calls or clock() - start >= budget.max_warmup_seconds:
            break
    timing.warmup_calls = len(times)
    typical = max(statistics.median(times[-WARMUP_BLOCK:]), 1e-6)
    # a little more, as the last calls of the warm-up may have been slow ones
    timing.calls = min(max(budget.min_calls, math.ceil(1.05 * budget.min_round_seconds * 1e3 / typical)), budget.max_calls)
    timing.lead_in = min(max(budget.lead_in_calls, math.ceil(budget.lead_in_seconds * 1e3 / typical)), budget.max_calls)


def _run_block(timing: _TimedContender, clock: Clock) -> None:
    calls = timing.lead_in + timing.calls
    start = clock()
    samples = timing.contender.block(calls)
    timing.wall_ms.append((clock() - start) * 1e3 / calls)
    if len(samples) != calls:
        raise RuntimeError(f"asked for {calls} calls, got {len(samples)} times")
    timing.lead_ins.append(samples[: timing.lead_in])
    timing.rounds.append(samples[timing.lead_in :])


def _latency(timing: _TimedContender, *, seed: int) -> Latency:
    conditions = timing.contender.conditions
    return Latency(
        batch_size=conditions.batch_size,
        input_size=conditions.input_size,
        device=conditions.device,
        threads=conditions.threads,
        first_ms=timing.first_ms,
        warmup_calls=timing.warmup_calls,
        host_p50_ms=statistics.median(timing.wall_ms) if conditions.clock == "cuda_event" else None,
        lead_in_ms=timing.lead_ins,
        start_rounds=[len(timing.rounds)],
        clock=conditions.clock,
        notes=_notes(timing),
        **_figures(timing.rounds, conditions.batch_size, starts=[len(timing.rounds)], seed=seed),
    )


def _figures(rounds: Sequence[Sequence[float]], batch_size: int, *, starts: Sequence[int], seed: int) -> dict[str, Any]:
    """The rounds and the figures computed from them, by the names of :class:`~segbench.results.records.Latency`."""
    samples = [sample for block in rounds for sample in block]
    median = statistics.median(samples)
    return {
        "p50_ms": median,
        "p90_ms": quantile_of(samples, 0.9),
        "p99_ms": quantile_of(samples, 0.99),
        "mean_ms": statistics.fmean(samples),
        **interval_fields(rounds, starts=starts, seed=seed),
        "images_per_second": batch_size * 1e3 / median if median > 0 else None,
        "samples_ms": samples,
        "rounds_ms": [list(block) for block in rounds],
    }


def _notes_on_starts(rounds: Sequence[Sequence[float]], starts: Sequence[int]) -> list[str]:
    """A warning where the times of neighbouring starts were alike: fewer of them than were run are independent."""
    medians = [statistics.median(calls) for calls in by_start(rounds, starts)]
    if min(medians) <= 0 or len(medians) < 2 or (stretch := spread_of([math.log(median) for median in medians]).stretch) < ALIKE:
        return []
    return [f"its times rose and fell slowly, over several starts: intervals are {stretch:.1f} times as wide because of it"]


def _notes(timing: _TimedContender) -> list[str]:
    return [] if timing.steady else [f"still getting faster after {timing.warmup_calls} warm-up calls"]
