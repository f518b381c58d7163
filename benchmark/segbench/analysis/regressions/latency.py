"""Time of a network in two runs, compared where both were raced together, or each against the same reference network on a like machine.

Milliseconds of two days are not comparable: clocks, heat and neighbours differ by more than most changes do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.analysis.regressions.environment import unlike_machines
from segbench.analysis.regressions.pairing import NetworkPair
from segbench.analysis.regressions.verdicts import judged
from segbench.analysis.statistics.families import CONFIDENCE
from segbench.analysis.statistics.starts import LEAST_STARTS
from segbench.analysis.statistics.timing import Ratio, ratio_method, ratio_of
from segbench.results.deployments import deployment_of
from segbench.results.metrics import metric
from segbench.results.records import Deployment, Latency, ReferenceRecord, RunResult
from segbench.results.run_comparison import Change
from segbench.util.image_size import format_size

APART = "timed apart"

_START = 0.01
"""Deviation of a network's time from start to start: seventeen races of one with itself varied by 2.3 %, 2.0 % of it by their rounds."""
_OF_FOUR_STARTS = 1.96 * 2 * _START


@dataclass(frozen=True)
class Retimed:
    """Both networks' times from one race, or why there was none."""

    baseline: Latency | None = None
    new: Latency | None = None
    machine: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()


Key = tuple[tuple[str, ...], str]
"""Network and form."""


def latency_rows(
    network: NetworkPair, runs: tuple[RunResult, RunResult], retimed: Mapping[Key, Retimed], margin: float
) -> Iterator[Change]:
    """Time of single calls in each form that both runs timed at the same size."""
    for name, old, new in _forms(network):
        for one, other in timings(old, new):
            row = network.row(metric("latency_ms"), form=name, margin=margin, baseline=one.p50_ms, new=other.p50_ms, scope="this machine")
            row = row.model_copy(update={"context": _context(other)})
            times = retimed.get((network.key, name))
            if times is not None and times.baseline and times.new and times.new.input_size == other.input_size:
                yield _raced_again(row, times)
            else:
                yield _of_two_races(row, (old, one), (new, other), runs, times.error if times else "")


def throughput_rows(network: NetworkPair, runs: tuple[RunResult, RunResult], margin: float) -> Iterator[Change]:
    """Images per second in whole batches, compared through the reference network only: batches are not raced again."""
    for name, old, new in _forms(network):
        for one, other in timings(old, new, single=False):
            values = {"baseline": one.rate, "new": other.rate, "margin": margin}
            row = network.row(metric("throughput"), form=name, scope="this machine", **values)
            row = row.model_copy(update={"context": {**_context(other), "batch_size": other.batch_size}})
            yield _of_two_races(row, (old, one), (new, other), runs, "")


def _forms(network: NetworkPair) -> Iterator[tuple[str, Deployment, Deployment]]:
    """Each form that both runs have, in the baseline and in the new run."""
    for name in network.forms:
        old, new = deployment_of(network.baseline, name), deployment_of(network.new, name)
        assert old is not None
        assert new is not None
        yield name, old, new


def timings(old: Deployment, new: Deployment, *, single: bool = True) -> list[tuple[Latency, Latency]]:
    """Single calls, or whole batches, that both forms were timed at: those of one size, batch and device together."""

    def by_conditions(form: Deployment) -> dict[tuple[object, ...], Latency]:
        return {(each.input_size, each.batch_size, each.device): each for each in form.latency if (each.batch_size == 1) is single}

    theirs = by_conditions(old)
    return [(theirs[key], each) for key, each in by_conditions(new).items() if key in theirs]


def reference_ratio(old: tuple[Latency, Latency], new: tuple[Latency, Latency]) -> Ratio:
    """(new / its reference) / (baseline / its reference); each pair is of one race, the reference is the reference network.

    The limits of both logarithms are put together as if independent (recovered variances: Zou and Donner, Statistics in Medicine 27, 2008),
    with an allowance for how four starts of programs differ, where a race started them only once or twice and its rounds cannot tell.
    """
    starts = min(len(entry.start_rounds) for entry in (*old, *new))
    known = starts >= LEAST_STARTS
    one, other = (ratio_of(a.rounds_ms, b.rounds_ms, starts=a.start_rounds if known else ()) for a, b in (old, new))
    allowance = 0.0 if known else _OF_FOUR_STARTS
    value, rounds = other.value / one.value, min(one.rounds, other.rounds)
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Ratio(value, None, None, None, rounds, why=one.why or other.why)
    down = math.hypot(math.log(other.value / other.low), math.log(one.high / one.value), allowance)
    up = math.hypot(math.log(other.high / other.value), math.log(one.value / one.low), allowance)
    return Ratio(value, value * math.exp(-down), value * math.exp(up), None, rounds)


def _raced_again(row: Change, times: Retimed) -> Change:
    assert times.baseline is not None
    assert times.new is not None
    ratio = ratio_of(times.new.rounds_ms, times.baseline.rounds_ms, starts=times.new.start_rounds)
    update = {
        "baseline": times.baseline.p50_ms,
        "new": times.new.p50_ms,
        "method": f"raced again, side by side in shuffled rounds: {ratio_method(ratio, times.new.start_rounds)}",
        "notes": [*row.notes, *times.notes],
        "context": {**row.context, "threads": times.new.threads, "machine": times.machine},
    }
    return _from_ratio(row.model_copy(update=update), ratio)


def _of_two_races(
    row: Change, old: tuple[Deployment, Latency], new: tuple[Deployment, Latency], runs: tuple[RunResult, RunResult], why: str
) -> Change:
    """The row compared through the reference network, unless both runs hold the very same measurement."""
    if old[0].raced and old[0].raced == new[0].raced and old[1].rounds_ms == new[1].rounds_ms:
        same = {"change": 1.0, "low": 1.0, "high": 1.0, "method": "the same measurement", "n": len(old[1].rounds_ms)}
        return judged(row, same)
    return _by_reference(row, old, new, runs, why)


def _by_reference(
    row: Change, old: tuple[Deployment, Latency], new: tuple[Deployment, Latency], runs: tuple[RunResult, RunResult], why: str
) -> Change:
    references = [reference_times(run, form, entry) for run, (form, entry) in zip(runs, (old, new), strict=True)]
    reason = _reference_unusable(references, old, new, runs)
    if reason:
        return row.model_copy(update={"reason": "; ".join([f"{APART}: {reason}", *([why] if why else [])])})
    one, other = references
    assert one is not None
    assert other is not None
    ratio = reference_ratio((old[1], one), (new[1], other))
    name = _reference_record(runs[1]).name or "an anchor"
    method = f"ratio to {name} in each race" + ("" if ratio.low is None else f"; both {CONFIDENCE:.0%} intervals put together")
    notes = [*row.notes, "two races: an anchor cancels the machine's speed only as far as both networks feel it alike"]
    return _from_ratio(row.model_copy(update={"method": method, "notes": notes}), ratio)


def _from_ratio(row: Change, ratio: Ratio) -> Change:
    """``ratio`` is one of times; where more is better, the change is that of the reciprocal."""
    few = f"too few samples: {ratio.why}" if ratio.low is None else ""
    value, low, high = ratio.value, ratio.low, ratio.high
    if row.better == "higher":
        value, low, high = 1 / value, None if high is None else 1 / high, None if low is None else 1 / low
    return judged(row, {"change": value, "low": low, "high": high, "n": ratio.rounds, "reason": few})


def reference_times(run: RunResult, form: Deployment, entry: Latency) -> Latency | None:
    """The reference network's times in the same rounds as a timing."""
    for timed in _reference_record(run).latency:
        same_rounds = timed.raced == form.raced and timed.batch_size == entry.batch_size
        if same_rounds and timed.input_size == entry.input_size and len(timed.rounds_ms) == len(entry.rounds_ms) > 0:
            return timed
    return None


def _reference_record(run: RunResult) -> ReferenceRecord:
    return (run.race and run.race.anchor) or ReferenceRecord()


def _disturbances(run: RunResult) -> list[str]:
    """Disturbances of a run's races. Other load does not slow all networks alike: short calls fit between its time slices.

    Measured on two cores, of which others used 1.0 and then 1.5: a network of 8 ms took 4.3 times as long, the reference network
    of 0.8 ms 1.9 times.
    """
    return [sentence.rstrip(".") for sentence in (run.race and run.race.disturbances) or ()]


def _reference_unusable(
    references: Sequence[Latency | None],
    old: tuple[Deployment, Latency],
    new: tuple[Deployment, Latency],
    runs: tuple[RunResult, RunResult],
) -> str:
    machines = unlike_machines(old[0].machine, new[0].machine)
    if machines:
        return machines
    if old[1].threads != new[1].threads:
        return f"another number of threads: {old[1].threads} -> {new[1].threads}"
    names = [_reference_record(run).name for run in runs]
    if all(names) and names[0] != names[1]:
        return f"another anchor: {names[0]} -> {names[1]}"
    if any(value <= 0 for each in (old[1], new[1], *references) if each for block in each.rounds_ms for value in block):
        return "there are times of zero"
    missing = [which for which, reference in zip(("baseline", "new run"), references, strict=True) if reference is None]
    if missing:
        return f"no anchor was raced along in the {' and the '.join(missing)}"
    disturbed = [f"{which}: {notes[0]}" for which, run in zip(("baseline", "new run"), runs, strict=True) if (notes := _disturbances(run))]
    if disturbed:
        return f"a disturbed race is not related to another by its anchor ({'; '.join(disturbed)})"
    return ""


def _context(entry: Latency) -> dict[str, Any]:
    return {"input_size": format_size(entry.input_size), "device": entry.device, "threads": entry.threads}
