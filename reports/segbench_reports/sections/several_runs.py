"""Sections of the overview over several runs: mean ranks across datasets, and means over folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segbench import (
    Comparison,
    DatasetRow,
    DatasetSummary,
    FoldSummary,
    PairTest,
    RunResult,
    across_datasets,
    across_folds,
    not_comparable,
    only_class_of,
)
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.text.verdicts import bounds, effect, family_notes, in_words
from segbench_reports.view.learned import collapsed_words

_LEAST_DATASETS = 6


def datasets(runs: Iterable[RunResult]) -> str:
    """Each model on each dataset; empty for runs on one."""
    summary = across_datasets(list(runs))
    if summary is None:
        return ""
    headers = ["model", *(f"{markdown(name)}<br>mIoU % (place)" for name in summary.datasets), "mean rank", "wins", "ties", "losses"]
    untold = any(row.untold for row in summary.rows)
    rows = [_dataset_row(row, summary, untold=untold) for row in summary.rows]
    table = grid([*headers, *(["cannot tell"] if untold else [])], rows)
    parts = [table, bullets(map(markdown, _dataset_notes(summary)))]
    if summary.tests:
        parts.append(grid(["pair", "mean difference<br>points", "p", f"p, times {len(summary.tests)}"], map(_test_row, summary.tests)))
    return "\n\n".join(parts)


def folds(runs: Iterable[RunResult]) -> str:
    """Mean over the folds of each dataset, and the differences within folds; empty where no run is a fold."""
    return "\n\n".join(_folds(summary) for summary in across_folds(list(runs)) if summary.done)


def quick_tries(runs: Iterable[RunResult]) -> str:
    """The rows that are left out of ranks and comparisons, each with its reason."""
    reasons = dict.fromkeys(why for run in runs for cell in run.cells if (why := not_comparable(cell)))
    return bullets(markdown(f"Rows left out: {why}.") for why in reasons)


def collapsed(runs: Mapping[str, RunResult]) -> str:
    """The models that predict one class in every image, with the runs (by folder) in which they do."""
    where: dict[str, list[str]] = {}
    for name, run in runs.items():
        for cell in run.cells:
            if only_class_of(cell) is not None:
                where.setdefault(f"{cell.model} {collapsed_words([cell])}", []).append(name)
    return bullets(markdown(f"{text}, in {numbers.listed(list(dict.fromkeys(names)))}.") for text, names in where.items())


def _dataset_row(row: DatasetRow, summary: DatasetSummary, *, untold: bool) -> list[str]:
    cells = [_score_and_place(row.scores[name], row.ranks[name]) for name in summary.datasets]
    mean = numbers.NOT_MEASURED if row.mean_rank is None else f"{row.mean_rank:.2f}"
    counts = [row.wins, row.ties, row.losses, *([row.untold] if untold else [])]
    return [markdown(row.name), *cells, mean, *map(str, counts)]


def _score_and_place(score: float | None, place: float | None) -> str:
    return numbers.NOT_MEASURED if score is None or place is None else f"{numbers.percent(score)} ({place:g})"


def _dataset_notes(summary: DatasetSummary) -> list[str]:
    k = len(summary.ranked)
    notes = [
        "Scores are of models trained on that dataset alone; none is compared across datasets.",
        "Places and wins follow the verdicts within each dataset: a model is one place behind each that is shown to be better, and half a "
        "place behind each from which no verdict tells it apart.",
        "A rank says nothing about the size of a difference.",
    ]
    if k < len(summary.datasets):
        without = [name for name in summary.datasets if name not in summary.ranked]
        notes.append(f"Mean ranks are over {numbers.counted(k, 'dataset')}; not all models were scored on {numbers.listed(without)}.")
    if summary.repeated:
        notes.append(f"Of {numbers.listed(summary.repeated)} there are several runs, of which one counts here.")
    return [*notes, _how_many(summary)]


def _how_many(summary: DatasetSummary) -> str:
    k = len(summary.ranked)
    if k < _LEAST_DATASETS:
        return (
            f"{numbers.counted(k, 'dataset')}: too few for any test across datasets. Wilcoxon's signed-rank test cannot show a difference "
            f"with fewer than {_LEAST_DATASETS}, even where one model is ahead on all. Read the table as a description of these datasets."
        )
    shown = sum(test.is_shown for test in summary.tests)
    found = f"shows a difference in {shown} of {numbers.counted(len(summary.tests), 'pair')}" if shown else "shows no difference"
    return (
        f"{k} datasets are a small sample, and their choice is part of the result. Wilcoxon's signed-rank test (Demsar 2006) of mIoU on "
        f"them, p times the number of pairs, {found} at 5 %."
    )


def _test_row(test: PairTest) -> list[str]:
    pair = f"{markdown(test.subject)} against {markdown(test.baseline)}"
    return [pair, numbers.points(test.mean_difference), f"{test.p_value:.3f}", f"{test.p_adjusted:.3f}"]


def _folds(summary: FoldSummary) -> str:
    headers = ["model", "mean mIoU %", "95 % interval", *(f"fold {number}" for number in summary.done)]
    table = grid(headers, [_fold_row(name, summary) for name in summary.by_fold])
    compared = grid(["pair", "difference<br>points", "interval", "verdict"], map(_difference_row, summary.comparisons), ["left"])
    title = f"#### {markdown(summary.dataset)}"
    notes = [*_fold_notes(summary), *family_notes(summary.comparisons)]
    return "\n\n".join([title, table, *([compared] if summary.comparisons else []), bullets(map(markdown, notes))])


def _fold_row(name: str, summary: FoldSummary) -> list[str]:
    mean = summary.means.get(name)
    interval = numbers.NOT_MEASURED
    if mean is not None and mean.low is not None and mean.high is not None:
        interval = numbers.shares((max(0.0, mean.low), min(1.0, mean.high)))
    scores = [numbers.NOT_MEASURED if value is None else numbers.percent(value) for value in summary.by_fold[name]]
    return [markdown(name), numbers.NOT_MEASURED if mean is None else numbers.percent(mean.value), interval, *scores]


def _difference_row(comparison: Comparison) -> list[str]:
    pair = f"{markdown(comparison.subject)} against {markdown(comparison.baseline)}"
    return [pair, effect(comparison), bounds(comparison) or numbers.NOT_MEASURED, markdown(in_words(comparison))]


def _fold_notes(summary: FoldSummary) -> list[str]:
    done, parts = len(summary.done), summary.parts
    notes = [f"{done} of {parts} folds have a score: the rest is missing from these figures."] if done < parts else []
    partial = [name for name, values in summary.by_fold.items() if None in values]
    if partial:
        notes.append(f"Not scored in all of these folds: {numbers.listed(partial)}. Its mean is over fewer folds than that of the others.")
    notes.append(
        "Intervals over folds: Student's t with the variance times (1/k + scored/training images) in place of 1/k, as trainings share "
        f"images (Nadeau and Bengio 2003); here k = {done} and scored/training = {summary.test_per_train:.3g}. An approximation."
    )
    why = next((mean.why for mean in summary.means.values() if mean.why), "")
    notes += [f"No interval: {why}."] if why else []
    low, high = summary.classes or (0, 0)
    if low != high:
        notes.append(f"The mean over classes is over {low} to {high} classes, as some folds have no pixel of a class.")
    elif summary.classes is not None:
        notes.append(f"Means over classes are over {numbers.counted(low, 'class', 'classes')}.")
    notes.append("No checkpoint is selected: the last one is scored. A declared test split is kept out of all folds.")
    notes.append("Latency, memory and energy do not depend on the fold and were measured with the first one alone.")
    return notes


def by_folder(runs: Mapping[str, RunResult]) -> Sequence[tuple[str, RunResult]]:
    """The runs whose tables an overview shows: of each dataset's folds the first, with the costs of all."""
    shown, seen = [], set()
    for name, run in runs.items():
        fold = next((cell.fold for cell in run.cells if cell.fold), None)
        key = (run.task.get("dataset"), fold and fold.partition("/")[2])
        if fold is None or key not in seen:
            shown.append((name, run))
        if fold is not None:
            seen.add(key)
    return shown
