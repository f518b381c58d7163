"""The folds of one dataset: each contender's mean mIoU over them, and paired differences, with the corrected interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from segbench.analysis.comparisons.judging import Candidate, judged
from segbench.analysis.comparisons.matching import pairs_of
from segbench.analysis.several_runs.contenders import QUANTITY, ScoresBySeed, dataset_of, fold_of, names, scores, varied_axes
from segbench.analysis.statistics.bootstrap import Interval
from segbench.analysis.statistics.folds import fold_interval
from segbench.results.metrics import metric
from segbench.results.records import Comparison, RunResult
from segbench.util.folds import parse_fold

METHOD = "t interval over folds, the variance corrected for trainings that share images (Nadeau and Bengio 2003)"

_Scores = Mapping[str, ScoresBySeed]


@dataclass(frozen=True)
class FoldSummary:
    """One dataset in folds.

    parts          into how many it is divided; ``done`` are the numbers of those that have a score
    by_fold        for each contender its mIoU (share, mean over seeds) in each fold of ``done``; None where it has none
    means          over the folds, with the 95 % interval
    comparisons    differences within folds, one family; verdicts are about training on data like these, not about given checkpoints
    test_per_train scored images over training images in a fold
    classes        smallest and largest number of classes with label pixels in a fold, over which its mIoU is taken
    """

    dataset: str
    parts: int
    done: tuple[int, ...]
    by_fold: Mapping[str, tuple[float | None, ...]]
    means: Mapping[str, Interval]
    comparisons: tuple[Comparison, ...]
    test_per_train: float
    classes: tuple[int, int] | None


def across_folds(runs: Sequence[RunResult]) -> list[FoldSummary]:
    """A summary for each dataset (and number of parts) of which some of the runs are folds; other runs are left out."""
    divided: dict[tuple[str, int], dict[int, RunResult]] = {}
    for run in runs:
        if (text := fold_of(run)) is not None:
            fold = parse_fold(text)
            divided.setdefault((dataset_of(run), fold.parts), {}).setdefault(fold.part, run)
    return [_summary(dataset, parts, dict(sorted(folds.items()))) for (dataset, parts), folds in divided.items()]


def _summary(dataset: str, parts: int, folds: Mapping[int, RunResult]) -> FoldSummary:
    axes = varied_axes(list(folds.values()))
    scored = {part: found for part, run in folds.items() if (found := scores(run, axes))}
    by_fold = {name: tuple(_mean(found.get(name)) for found in scored.values()) for name in names(list(folds.values()), axes)}
    ratio = _test_per_train([folds[part] for part in scored], parts)
    known = {name: [value for value in values if value is not None] for name, values in by_fold.items()}
    means = {name: fold_interval(values, test_per_train=ratio) for name, values in known.items() if values}
    compared = judged(list(_candidates(list(by_fold), list(scored.values()), ratio, dataset)))
    classes = _classes([folds[part] for part in scored])
    return FoldSummary(dataset, parts, tuple(scored), by_fold, means, tuple(compared), ratio, classes)


def _candidates(contenders: Sequence[str], folds: Sequence[_Scores], ratio: float, dataset: str) -> Iterator[Candidate]:
    """All pairs of contenders, those with the first planned."""
    for pair in pairs_of(contenders, contenders[0] if contenders else None):
        differences = [d for fold in folds if (d := _difference(fold.get(pair.subject), fold.get(pair.baseline))) is not None]
        record = Comparison(
            quantity=QUANTITY,
            axis="variant",
            subject=pair.subject,
            baseline=pair.baseline,
            headline=pair.headline,
            unit=metric(QUANTITY).stored_unit,
            scope="training on data like these",
            method=METHOD,
            context={"dataset": dataset, "folds": len(differences)},
        )
        if not differences:
            yield Candidate(record.model_copy(update={"reason": "no fold in which both were scored with one seed"}), planned=pair.planned)
            continue
        interval = fold_interval(differences, test_per_train=ratio)
        yield Candidate(record.model_copy(update={"reason": interval.why}), interval.estimate, pair.planned)


def _difference(subject: ScoresBySeed | None, baseline: ScoresBySeed | None) -> float | None:
    """Mean over shared seeds of subject minus baseline."""
    shared = [seed for seed in subject or {} if seed in (baseline or {})]
    if subject is None or baseline is None or not shared:
        return None
    return fmean(subject[seed] - baseline[seed] for seed in shared)


def _mean(by_seed: ScoresBySeed | None) -> float | None:
    return fmean(by_seed.values()) if by_seed else None


def _test_per_train(folds: Sequence[RunResult], parts: int) -> float:
    """From the counted images where all folds are there, else that of equal parts."""
    counts = [next((cell.quality.images for cell in run.cells if cell.quality and cell.quality.images), None) for run in folds]
    known = [count for count in counts if count is not None]
    if len(known) < parts:
        return 1 / (parts - 1)
    return fmean(count / (sum(known) - count) for count in known)


def _classes(folds: Sequence[RunResult]) -> tuple[int, int] | None:
    counts = [sum(n > 0 for n in cell.quality.label_pixels_per_class) for run in folds for cell in run.cells if cell.quality]
    known = [count for count in counts if count]
    return (min(known), max(known)) if known else None
