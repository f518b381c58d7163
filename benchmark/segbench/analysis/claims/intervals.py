"""Uncertainty of a measured figure: the interval by which a claim is judged, in the claim's own reading.

Counts are exact. Times come from a race (subject and baseline round by round), training speed from its epochs, scores from seeds or, with
fewer than three, from the images of the very checkpoints that were scored; memory comes from several fresh processes. A figure that is
none of these has no interval, and a noisy figure without one supports no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from segbench.analysis.claims.values import read
from segbench.analysis.comparisons import plugin_metrics
from segbench.analysis.comparisons.confusions import Images, same_images
from segbench.analysis.comparisons.scored_cells import columns_and_statistic
from segbench.analysis.comparisons.training_speed import LEAST_EPOCHS, allowing, disturbed_cell, ratio_over_epochs
from segbench.analysis.statistics.bootstrap import LEAST_SEEDS, Interval, Resampled, mean_interval, mean_of, resample
from segbench.analysis.statistics.memory import memory_difference, memory_interval, memory_ratio, why_no_interval
from segbench.analysis.statistics.timing import ratio_of
from segbench.plugin.specs import Claim
from segbench.results.metrics import Metric
from segbench.results.readings import MetricReading, MetricValue
from segbench.results.records import CellResult

Matrices = Callable[[CellResult], Images | None]
"""The images of a scored cell with their confusion matrices, None where they are not there."""

_FEW_EPOCHS = f"an interval takes {LEAST_EPOCHS} epochs after the first one"


@dataclass(frozen=True)
class MeasuredValue:
    """A value in the claim's reading; ``method`` of its interval, or ``why`` there is none. ``exact`` needs none."""

    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""
    why: str = ""
    exact: bool = False


def figure(
    claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], matrices: Matrices
) -> MeasuredValue:
    """The claim's value as measured, with what is known of its uncertainty. All samples have a value."""
    value = read(claim, metric, mean_value(subjects), mean_value(baselines) if baselines else 0.0)
    if metric.noise == "none":
        return MeasuredValue(value, exact=True)
    if metric.noise == "memory":
        return _memory(claim, metric, subjects, baselines, value)
    if metric.noise == "calls":
        return _race(claim, metric, subjects, baselines, value) if baselines else _timed(metric, subjects, value)
    if metric.noise == "epochs":
        return _epochs(claim, metric, subjects, baselines, value)
    return _scores(claim, metric, subjects, baselines, value, matrices)


def _memory(claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float) -> MeasuredValue:
    """Over fresh processes on a CPU; the allocator of CUDA counts bytes, which needs no interval."""
    if subjects[0].reading.circumstances.get("device") == "cuda":
        return MeasuredValue(value, exact=True)
    sides = [_processes(side) for side in (subjects, baselines) if side]
    why = why_no_interval(*sides)
    if why:
        return MeasuredValue(value, why=why)
    method = f"medians over {' and '.join(str(len(side)) for side in sides)} fresh processes"
    if len(sides) == 1:
        return _between(MeasuredValue(median(sides[0]), method=method), *(memory_interval(sides[0]) or ()))
    estimate = memory_difference(*sides) if claim.reading == "points" else memory_ratio(*sides)

    def in_reading(one: float) -> float:
        return one if claim.reading == "points" else read(claim, metric, math.exp(one), 1.0)

    return _between(MeasuredValue(in_reading(estimate.value), method=method), *map(in_reading, estimate.interval() or ()))


def _processes(samples: Sequence[MetricValue]) -> list[float]:
    """The readings of all processes; cells of one network share one measurement, which counts once."""
    measurements = dict.fromkeys(tuple(sample.reading.processes) for sample in samples)
    return [] if () in measurements else [reading for measurement in measurements for reading in measurement]


def _race(claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float) -> MeasuredValue:
    pair = next(_raced_pairs(subjects, baselines), None)
    if pair is None:
        return MeasuredValue(value, why=_why_not_paired(claim))
    if claim.reading == "points":
        return MeasuredValue(value, why="a race bounds ratios of times, not differences")
    ours, theirs = pair
    ratio = ratio_of(ours.rounds_ms, theirs.rounds_ms, starts=ours.start_rounds)

    def in_reading(time_ratio: float) -> float:
        return read(claim, metric, 1 / time_ratio if metric.is_rate else time_ratio, 1.0)

    if ratio.low is None or ratio.high is None:
        return MeasuredValue(in_reading(ratio.value), why=f"no interval: {ratio.why}")
    return _between(
        MeasuredValue(in_reading(ratio.value), method=f"{ratio.rounds} rounds of one race"), in_reading(ratio.low), in_reading(ratio.high)
    )


def _why_not_paired(claim: Claim) -> str:
    if not claim.modules:
        return "the two were not timed in the rounds of one race"
    names = dict.fromkeys("+".join(modules) for modules in (claim.modules, claim.baseline_modules) if modules)
    return f"the modules were not timed by themselves in one race: --set measure.race_modules={','.join(names)}"


def _raced_pairs(subjects: Sequence[MetricValue], baselines: Sequence[MetricValue]) -> Iterator[tuple[MetricReading, MetricReading]]:
    for one in subjects:
        for other in baselines:
            ours, theirs = one.reading, other.reading
            if ours.raced and ours.raced == theirs.raced and len(ours.rounds_ms) == len(theirs.rounds_ms) > 0:
                yield ours, theirs


def _timed(metric: Metric, subjects: Sequence[MetricValue], value: float) -> MeasuredValue:
    interval = subjects[0].reading.interval
    if interval is None or len({s.reading.value for s in subjects}) > 1:
        return MeasuredValue(value, why="the timing has too few rounds for an interval, or there are several timings")
    return _between(MeasuredValue(value, method="rounds of the race"), *interval)


def _epochs(claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float) -> MeasuredValue:
    """A t interval on logarithms, over seeds where there are three, else over epochs; none where the machine was not quiet."""
    cells = [sample.cell for sample in (*subjects, *baselines)]
    why = disturbed_cell(cells) or _other_lengths(metric, cells)
    if why:
        return MeasuredValue(value, why=why)
    if not baselines:
        return _epochs_of_one(claim, metric, subjects, value)
    pairs = [(one.reading.epochs, other.reading.epochs) for one, other in _by_seed(subjects, baselines)]
    ratio = ratio_over_epochs(pairs, [one.reading.epochs for one in subjects], [one.reading.epochs for one in baselines])
    if ratio is None:
        return MeasuredValue(value, why=_FEW_EPOCHS)
    return _from_logs(claim, metric, _allowing(metric, ratio.interval, subjects, baselines), ratio.method, value)


def _epochs_of_one(claim: Claim, metric: Metric, subjects: Sequence[MetricValue], value: float) -> MeasuredValue:
    """The same for a figure that is held against no other."""
    logs = [math.log(x) for sample in subjects for x in sample.reading.epochs]
    if len(logs) < LEAST_EPOCHS:
        return MeasuredValue(value, why=_FEW_EPOCHS)
    interval = _allowing(metric, mean_interval(logs), subjects, ())
    if claim.reading != "value" or interval.low is None or interval.high is None:
        return MeasuredValue(value, why="its epochs do not vary")
    ends = (value * math.exp(end - interval.value) for end in (interval.low, interval.high))
    return _between(MeasuredValue(value, method=f"t interval over {len(logs)} epochs"), *ends)


def _allowing(metric: Metric, logs: Interval, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue]) -> Interval:
    """The interval, wider by what other programs may have taken: it makes speeds lower and times longer."""
    ours, theirs = [one.cell for one in subjects], [one.cell for one in baselines]
    return allowing(logs, ours, theirs) if metric.is_rate else allowing(logs, theirs, ours)


def _other_lengths(metric: Metric, cells: Sequence[CellResult]) -> str:
    """The reason why epochs do not bound a whole training's duration; empty where they do, and for all other metrics."""
    lengths = {cell.training.epochs_run for cell in cells if cell.training}
    different = metric.name == "training_hours" and len(lengths) > 1
    return f"they were trained for different numbers of epochs: {', '.join(map(str, sorted(lengths)))}" if different else ""


def _from_logs(claim: Claim, metric: Metric, logs: Interval, method: str, value: float) -> MeasuredValue:
    if claim.reading == "points":
        return MeasuredValue(value, why="epochs bound ratios of speeds, not differences")
    centre = read(claim, metric, math.exp(logs.value), 1.0)
    if logs.low is None or logs.high is None:
        return MeasuredValue(centre, why="its epochs do not vary")
    return _between(MeasuredValue(centre, method=method), *(read(claim, metric, math.exp(end), 1.0) for end in (logs.low, logs.high)))


def _scores(
    claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float, matrices: Matrices
) -> MeasuredValue:
    pairs = list(_by_seed(subjects, baselines)) if baselines else []
    single = [s.reading.value for s in subjects if s.reading.value is not None]
    if len(pairs) >= LEAST_SEEDS or (not baselines and len(single) >= LEAST_SEEDS):
        return _over_seeds(claim, metric, pairs, single, value)
    if metric.noise == "seeds":
        return MeasuredValue(value, why=f"an interval takes {LEAST_SEEDS} seeds: {metric.words} cannot be taken of drawn images")
    return _over_images(claim, metric, subjects, baselines, value, matrices)


def _over_seeds(
    claim: Claim, metric: Metric, pairs: Sequence[tuple[MetricValue, MetricValue]], single: list[float], value: float
) -> MeasuredValue:
    """Student's t: on the figure of each seed, which for two models is the one that the claim reads off that pair."""
    each = [read(claim, metric, mean_value([one]), mean_value([other])) for one, other in pairs] if pairs else single
    interval = mean_interval(each)
    method = f"t interval over {interval.n} seeds"
    if interval.low is None or interval.high is None:
        return MeasuredValue(value, why="all seeds gave the same score")
    return _between(MeasuredValue(interval.value, method=method), interval.low, interval.high)


def _over_images(
    claim: Claim, metric: Metric, subjects: Sequence[MetricValue], baselines: Sequence[MetricValue], value: float, matrices: Matrices
) -> MeasuredValue:
    samples = [*subjects, *baselines]
    by_cell = {sample.cell.id: matrices(sample.cell) for sample in samples}
    known = [images for images in by_cell.values() if images is not None]
    if len(known) < len(samples):
        return MeasuredValue(value, why=f"fewer than {LEAST_SEEDS} seeds, and the matrices of the images are not there to resample")
    unlike = same_images(by_cell)
    if unlike:
        return MeasuredValue(value, why=unlike)
    cells = [sample.cell for sample in samples]
    why = plugin_metrics.of_other_code(metric.name, cells) or plugin_metrics.unlike_images(metric.name, cells, by_cell)
    why = why or next(
        (why for cell, one in zip(cells, known, strict=True) if (why := plugin_metrics.not_drawn(metric.name, cell, one))), ""
    )
    if why:
        return MeasuredValue(value, why=why)
    ids, groups = known[0].ids, known[0].groups
    tables, statistics = zip(
        *(columns_and_statistic(cell, images.in_order_of(ids), metric.name) for cell, images in zip(cells, known, strict=True)), strict=True
    )
    drawn = resample(tables, statistics[0], groups=groups, ids=ids)
    ours, theirs = drawn[: len(subjects)], drawn[len(subjects) :]
    interval = _difference(claim, ours, theirs) if theirs else mean_of(ours).interval()
    if interval.low is None or interval.high is None or interval.sampling is None:
        return MeasuredValue(value, why=interval.why)
    back = _from_log_ratio(claim) if theirs and claim.reading != "points" else (lambda x: x)
    method = f"bootstrap over {interval.sampling.words}, of these checkpoints"
    return _between(MeasuredValue(value, method=method), back(interval.low), back(interval.high))


def _difference(claim: Claim, ours: Sequence[Resampled], theirs: Sequence[Resampled]) -> Interval:
    if claim.reading == "points":
        return (mean_of(ours) - mean_of(theirs)).difference_interval()
    return (mean_of(ours).log() - mean_of(theirs).log()).difference_interval()


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


def _between(measured: MeasuredValue, *ends: float) -> MeasuredValue:
    return replace(measured, low=min(ends), high=max(ends))


def mean_value(samples: Iterable[MetricValue]) -> float:
    """Mean of what was measured."""
    values = [s.reading.value for s in samples if s.reading.value is not None]
    return fmean(values) if values else 0.0
