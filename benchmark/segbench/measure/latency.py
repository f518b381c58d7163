"""Latency: raw times per call of warmed-up contenders, released one at a time in shuffled rounds.

Warm-up lasts until the times stop falling (with a cap), the first call stands apart, every sample is kept. Rounds, not calls, are
the independent units: a round is one block of calls per contender, in an order drawn anew each time, so that heat and other load hit
all alike. A block's first calls find caches and clock as the contender before left them: they are kept apart as its lead-in.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from segbench.analysis.statistics.timing import is_falling, quantile_intervals, quantile_of
from segbench.measure.contender import Clock, Conditions, Contender, LocalContender, local_contender
from segbench.results.records import Latency

WARMUP_BLOCK = 5
WARMUP_WINDOW = 10


@dataclass(frozen=True)
class TimingBudget:
    """How long to measure: a block has ``min_calls`` or more, until it lasts ``min_round_seconds`` or has ``max_calls``.

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
    """What :func:`race` found: latencies by name, why others fell out, and the order in which each round went.

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
    """One contender on its way: what it has done so far."""

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
    pace: TimingBudget = TimingBudget(),
    clock: Clock | None = None,
) -> Latency:
    """Time one call in this process; ``input_size`` is (height, width). What the call raises is raised.

    ``clock`` replaces the clock that fits the device (CUDA events, or ``perf_counter``).
    """
    contender = local_contender("call", call, batch_size=batch_size, input_size=input_size, device=device, threads=threads)
    if clock is not None:
        conditions = Conditions(batch_size, input_size, device, threads, clock="injected")
        contender = LocalContender("call", call, conditions, clock=clock)
    lane = _TimedContender(contender)
    _warm_up(lane, pace, clock or time.perf_counter)
    for _ in range(pace.rounds):
        _run_block(lane, clock or time.perf_counter)
    return _latency(lane, seed=0)


def race(
    contenders: Sequence[Contender],
    *,
    seed: int,
    pace: TimingBudget = TimingBudget(),
    clock: Clock = time.perf_counter,
) -> Race:
    """Time several contenders side by side: all are warmed up, then each round lets every one run a block, in shuffled order.

    A contender that raises falls out with its reason; the others go on. ``clock`` (seconds) times blocks as the host sees them.
    """
    lanes = {contender.name: _TimedContender(contender) for contender in contenders}
    if len(lanes) != len(contenders):
        raise ValueError("contenders need different names: " + ", ".join(c.name for c in contenders))
    errors: dict[str, str] = {}
    for lane in lanes.values():
        _attempt(lambda lane: _warm_up(lane, pace, clock), lane, errors)
    order = []
    shuffler = random.Random(seed)
    start = clock()
    for _ in range(pace.rounds):
        turn = [name for name in lanes if name not in errors]
        shuffler.shuffle(turn)
        order.append(turn)
        for name in turn:
            _attempt(lambda lane: _run_block(lane, clock), lanes[name], errors)
    seconds = clock() - start
    latencies = {name: _latency(lane, seed=seed) for name, lane in lanes.items() if name not in errors}
    return Race(latencies, errors, order, seed, seconds, sum(lane.call_seconds for lane in lanes.values()))


def joined(starts: Sequence[Latency], *, seed: int = 0) -> Latency:
    """One contender's times over several starts of its process: all rounds together, the first call that of the first start.

    Two starts of one program differ by a per cent or more, by where its memory happens to lie. Within one start no number of rounds shows
    that; over several it makes neighbouring rounds alike, for which intervals allow.
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
            "notes": list(dict.fromkeys(note for start in starts for note in start.notes)),
        }
    )


def _attempt(step: Callable[[_TimedContender], None], lane: _TimedContender, errors: dict[str, str]) -> None:
    try:
        step(lane)
    except Exception as error:  # a contender is foreign code, often behind a pipe: its fault must cost only itself
        errors[lane.contender.name] = f"{type(error).__name__}: {error}"


def _warm_up(lane: _TimedContender, pace: TimingBudget, clock: Clock) -> None:
    """Call until the last times show no downward trend; sets how many calls make a block. The times themselves are dropped."""
    lane.first_ms = lane.contender.block(1)[0]
    start, times = clock(), []
    while True:
        times += lane.contender.block(WARMUP_BLOCK)
        lane.steady = len(times) >= WARMUP_WINDOW and not is_falling(times[-WARMUP_WINDOW:])
        if lane.steady or len(times) >= pace.max_warmup_calls or clock() - start >= pace.max_warmup_seconds:
            break
    lane.warmup_calls = len(times)
    typical = max(statistics.median(times[-WARMUP_BLOCK:]), 1e-6)
    # a little more, as the last calls of the warm-up may have been slow ones
    lane.calls = min(max(pace.min_calls, math.ceil(1.05 * pace.min_round_seconds * 1e3 / typical)), pace.max_calls)
    lane.lead_in = min(max(pace.lead_in_calls, math.ceil(pace.lead_in_seconds * 1e3 / typical)), pace.max_calls)


def _run_block(lane: _TimedContender, clock: Clock) -> None:
    asked = lane.lead_in + lane.calls
    start = clock()
    samples = lane.contender.block(asked)
    lane.wall_ms.append((clock() - start) * 1e3 / asked)
    if len(samples) != asked:
        raise RuntimeError(f"asked for {asked} calls, got {len(samples)} times")
    lane.lead_ins.append(samples[: lane.lead_in])
    lane.rounds.append(samples[lane.lead_in :])


def _latency(lane: _TimedContender, *, seed: int) -> Latency:
    conditions = lane.contender.conditions
    return Latency(
        batch_size=conditions.batch_size,
        input_size=conditions.input_size,
        device=conditions.device,
        threads=conditions.threads,
        first_ms=lane.first_ms,
        warmup_calls=lane.warmup_calls,
        host_p50_ms=statistics.median(lane.wall_ms) if conditions.clock == "cuda_event" else None,
        lead_in_ms=lane.lead_ins,
        start_rounds=[len(lane.rounds)],
        clock=conditions.clock,
        notes=_notes(lane),
        **_figures(lane.rounds, conditions.batch_size, starts=[len(lane.rounds)], seed=seed),
    )


def _figures(rounds: Sequence[Sequence[float]], batch_size: int, *, starts: Sequence[int], seed: int) -> dict[str, Any]:
    """The rounds and what is worked out from them, by the names of :class:`~segbench.results.records.Latency`."""
    samples = [sample for block in rounds for sample in block]
    mean = statistics.fmean(samples)
    intervals = quantile_intervals(rounds, (0.5, 0.9, 0.99), starts=starts, seed=seed)
    return {
        "p50_ms": statistics.median(samples),
        "p90_ms": quantile_of(samples, 0.9),
        "p99_ms": quantile_of(samples, 0.99),
        "mean_ms": mean,
        "ci95_ms": intervals[0],
        "p90_ci95_ms": intervals[1],
        "p99_ci95_ms": intervals[2],
        "images_per_second": batch_size * 1e3 / mean if mean > 0 else None,
        "samples_ms": samples,
        "rounds_ms": [list(block) for block in rounds],
    }


def _notes(lane: _TimedContender) -> list[str]:
    return [] if lane.steady else [f"still getting faster after {lane.warmup_calls} warm-up calls"]
