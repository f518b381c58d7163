"""How far a measured figure can be trusted: the interval that a claim is held against, in the claim's own reading.

Counts are exact. Times come from a race (subject and baseline round by round), training speed from its epochs, scores from seeds or, with
fewer than three, from the images of the very checkpoints that were scored; memory is read to what its meter resolves. A figure that is
none of these has no interval, and a noisy figure without one supports no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from segbench.analysis.claims.values import read
from segbench.analysis.comparisons.confusions import Images, same_images
from segbench.analysis.statistics.bootstrap import LEAST_SEEDS, Interval, Resampled, mean_interval, mean_of, resample, sampling
from segbench.analysis.statistics.scores import statistic_of
from segbench.analysis.statistics.student_t import student_quantile
from segbench.analysis.statistics.timing import LEAST_ROUNDS, ratio_of
from segbench.plugin.specs import Claim
from segbench.results.metrics import Metric, MetricReading, MetricValue
from segbench.results.records import CellResult

Matrices = Callable[[CellResult], Images | None]
"""The images of a scored cell with their confusion matrices, None where they are not there."""

LEAST_EPOCHS = 3
MEMORY_RESOLUTION_MB = 3.0
"""What the process meter is tested to resolve; CUDA's allocator counts bytes."""


@dataclass(frozen=True)
class MeasuredValue:
    """A value in the claim's reading; ``how`` its interval was made, or ``why`` there is none. ``exact`` needs none."""

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ""
    why: str = ""
    exact: bool = False


def figure(
    claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], matrices: Matrices
) -> MeasuredValue:
    """The claim's value as measured, with what is known of its uncertainty. All samples have a value."""
    value = read(claim, quantity, _mean(subjects), _mean(baselines) if baselines else 0.0)
    if quantity.noise == "none":
        return MeasuredValue(value, exact=True)
    if quantity.noise == "memory":
        return _memory(claim, quantity, subjects, baselines, value)
    if quantity.noise == "calls":
        return _race(claim, quantity, subjects, baselines, value) if baselines else _timed(quantity, subjects, value)
    if quantity.noise == "epochs":
        return _epochs(claim, quantity, subjects, baselines, value)
    return _scores(claim, quantity, subjects, baselines, value, matrices)


def _memory(
    claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float
) -> MeasuredValue:
    if subjects[0].reading.circumstances.get("device") == "cuda":
        return MeasuredValue(value, exact=True)
    step = MEMORY_RESOLUTION_MB
    ours = [_mean(subjects) - step, _mean(subjects) + step]
    theirs = [_mean(baselines) - step, _mean(baselines) + step] if baselines else [0.0]
    if min(*ours, *(theirs if baselines else ours)) <= 0:
        return MeasuredValue(value, why=f"memory is read to {step:g} MB, and this is less")
    ends = [read(claim, quantity, one, other) for one in ours for other in theirs]
    return MeasuredValue(value, min(ends), max(ends), how=f"memory is read to {step:g} MB")


def _race(claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float) -> MeasuredValue:
    pair = next(_raced_pairs(subjects, baselines), None)
    if pair is None:
        return MeasuredValue(value, why="the two were not timed in the rounds of one race")
    if claim.reading == "points":
        return MeasuredValue(value, why="a race bounds ratios of times, not differences")
    ours, theirs = pair
    found = ratio_of(ours.rounds_ms, theirs.rounds_ms, starts=ours.start_rounds)

    def told(time_ratio: float) -> float:
        return read(claim, quantity, 1 / time_ratio if quantity.rate else time_ratio, 1.0)

    if found.low is None or found.high is None:
        return MeasuredValue(told(found.value), why=f"an interval takes {LEAST_ROUNDS} rounds, these are {found.rounds}")
    return _between(MeasuredValue(told(found.value), how=f"{found.rounds} rounds of one race"), told(found.low), told(found.high))


def _raced_pairs(subjects: Sequence[MetricValue], baselines: Sequence[MetricValue]) -> Iterator[tuple[MetricReading, MetricReading]]:
    for one in subjects:
        for other in baselines:
            ours, theirs = one.reading, other.reading
            if ours.raced and ours.raced == theirs.raced and len(ours.rounds_ms) == len(theirs.rounds_ms) > 0:
                yield ours, theirs


def _timed(quantity: Metric, subjects: Sequence[MetricValue], value: float) -> MeasuredValue:
    found = subjects[0].reading.interval
    if found is None or len({s.reading.value for s in subjects}) > 1:
        return MeasuredValue(value, why="the timing has too few rounds for an interval, or there are several timings")
    return _between(MeasuredValue(value, how="rounds of the race"), *found)


def _epochs(
    claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float
) -> MeasuredValue:
    """A t interval on logarithms, over seeds where there are three, else over epochs; each training's first epoch warms up."""
    seeds = [_log_mean(samples) for samples in _by_seed(subjects, baselines)] if baselines else []
    if len(seeds) >= LEAST_SEEDS and all(pair is not None for pair in seeds):
        found = mean_interval([pair[0] - pair[1] for pair in seeds if pair is not None])
        return _from_logs(claim, quantity, found, f"t interval over {found.n} seeds", value)
    ours, theirs = (_log_epochs(samples) for samples in (subjects, baselines))
    if len(ours) < LEAST_EPOCHS or (baselines and len(theirs) < LEAST_EPOCHS):
        return MeasuredValue(value, why=f"an interval takes {LEAST_EPOCHS} epochs after the first one")
    if baselines:
        how = f"t interval over {len(ours)} and {len(theirs)} epochs, trained one after the other; the first of each warms up"
        return _from_logs(claim, quantity, _welch(ours, theirs), how, value)
    found = mean_interval(ours)
    if claim.reading != "value" or found.low is None or found.high is None:
        return MeasuredValue(value, why="its epochs do not vary")
    ends = (value * math.exp(end - found.value) for end in (found.low, found.high))
    return _between(MeasuredValue(value, how=f"t interval over {len(ours)} epochs"), *ends)


def _from_logs(claim: Claim, quantity: Metric, found: Interval, how: str, value: float) -> MeasuredValue:
    if claim.reading == "points":
        return MeasuredValue(value, why="epochs bound ratios of speeds, not differences")
    told = read(claim, quantity, math.exp(found.value), 1.0)
    if found.low is None or found.high is None:
        return MeasuredValue(told, why="its epochs do not vary")
    return _between(MeasuredValue(told, how=how), *(read(claim, quantity, math.exp(end), 1.0) for end in (found.low, found.high)))


def _log_epochs(samples: Sequence[MetricValue]) -> list[float]:
    return [math.log(x) for sample in samples for x in sample.reading.epochs[1:] if x > 0]


def _log_mean(pair: tuple[MetricValue, MetricValue]) -> tuple[float, float] | None:
    ours, theirs = (_log_epochs([sample]) for sample in pair)
    return (fmean(ours), fmean(theirs)) if ours and theirs else None


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Difference of two means with unequal variances (Welch, Biometrika 34, 1947)."""
    errors = [stdev(side) ** 2 / len(side) for side in (ours, theirs)]
    value, total = fmean(ours) - fmean(theirs), sum(errors)
    if total == 0:
        return Interval(value, value, value, None, len(ours))
    freedom = total**2 / sum(error**2 / (len(side) - 1) for error, side in zip(errors, (ours, theirs), strict=True))
    # whole degrees of freedom, rounded to the wider side; scipy.stats.ttest_ind takes fractions and would give narrower intervals
    half = student_quantile(0.975, max(1, math.floor(freedom))) * math.sqrt(total)
    return Interval(value, value - half, value + half, None, len(ours))


def _scores(
    claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float, matrices: Matrices
) -> MeasuredValue:
    pairs = list(_by_seed(subjects, baselines)) if baselines else []
    single = [s.reading.value for s in subjects if s.reading.value is not None]
    if len(pairs) >= LEAST_SEEDS or (not baselines and len(single) >= LEAST_SEEDS):
        return _over_seeds(claim, quantity, pairs, single, value)
    return _over_images(claim, quantity, subjects, baselines, value, matrices)


def _over_seeds(
    claim: Claim, quantity: Metric, pairs: Sequence[tuple[MetricValue, MetricValue]], single: list[float], value: float
) -> MeasuredValue:
    """Student's t: on the figure of each seed, which for two models is the one that the claim reads off that pair."""
    each = [read(claim, quantity, _mean([one]), _mean([other])) for one, other in pairs] if pairs else single
    found = mean_interval(each)
    how = f"t interval over {found.n} seeds"
    if found.low is None or found.high is None:
        return MeasuredValue(value, why="all seeds gave the same score")
    return _between(MeasuredValue(found.value, how=how), found.low, found.high)


def _over_images(
    claim: Claim, quantity: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float, matrices: Matrices
) -> MeasuredValue:
    samples = [*subjects, *baselines]
    there = {sample.cell.id: matrices(sample.cell) for sample in samples}
    known = [images for images in there.values() if images is not None]
    if len(known) < len(samples):
        return MeasuredValue(value, why=f"fewer than {LEAST_SEEDS} seeds, and the matrices of the images are not there to resample")
    unlike = same_images(there)
    if unlike:
        return MeasuredValue(value, why=unlike)
    columns, statistic = statistic_of(quantity.name, subjects[0].cell)
    ids, groups = known[0].ids, known[0].groups
    drawn = resample([columns(images.in_order_of(ids).matrices) for images in known], statistic, groups=groups)
    ours, theirs = drawn[: len(subjects)], drawn[len(subjects) :]
    found = _difference(claim, ours, theirs) if theirs else mean_of(ours).interval()
    if found.low is None or found.high is None:
        return MeasuredValue(value, why=f"{sampling(len(ids), groups)[1]} are too few for an interval")
    back = _from_log_ratio(claim) if theirs and claim.reading != "points" else (lambda x: x)
    how = f"bootstrap over {sampling(len(ids), groups)[1]}, of these checkpoints"
    return _between(MeasuredValue(value, how=how), back(found.low), back(found.high))


def _difference(claim: Claim, ours: Sequence[Resampled], theirs: Sequence[Resampled]) -> Interval:
    if claim.reading == "points":
        return (mean_of(ours) - mean_of(theirs)).difference_interval()
    return (_logged(mean_of(ours)) - _logged(mean_of(theirs))).difference_interval()


def _logged(one: Resampled) -> Resampled:
    with np.errstate(divide="ignore"):
        return Resampled(math.log(one.value) if one.value > 0 else math.nan, np.log(one.resamples), np.log(one.without))


def _from_log_ratio(claim: Claim) -> Callable[[float], float]:
    def back(x: float) -> float:
        ratio = math.exp(x)
        return {"ratio": ratio, "speedup": 1 / ratio, "reduction": 1 - ratio}[claim.reading]

    return back


def _by_seed(subjects: Sequence[MetricValue], baselines: Sequence[MetricValue]) -> Iterable[tuple[MetricValue, MetricValue]]:
    """Samples of both sides that were trained from the same seed."""
    theirs = {sample.cell.seed: sample for sample in baselines}
    for sample in subjects:
        if sample.cell.seed in theirs:
            yield sample, theirs[sample.cell.seed]


def _between(found: MeasuredValue, *ends: float) -> MeasuredValue:
    return replace(found, low=min(ends), high=max(ends))


def _mean(samples: Iterable[MetricValue]) -> float:
    """Mean of what was measured."""
    values = [s.reading.value for s in samples if s.reading.value is not None]
    return fmean(values) if values else 0.0
