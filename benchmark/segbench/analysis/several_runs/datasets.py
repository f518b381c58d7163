"""Several datasets: each contender's mIoU and place in each, its mean rank, and wins counted by the verdicts within each dataset.

Places follow verdicts: two contenders whose difference has none in a dataset share what they take there, so that a mean rank is not made
of noise. A rank says nothing about the size of a difference, and a handful of datasets is a small sample.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from segbench.analysis.several_runs.contenders import QUANTITY, contender, dataset_of, fold_of, names, scores, varied_axes
from segbench.analysis.several_runs.folds import FoldSummary, across_folds
from segbench.analysis.statistics.families import CONFIDENCE
from segbench.analysis.statistics.signed_rank import LEAST_PAIRS, signed_rank_p_value
from segbench.results.records import RunResult

Outcome = Literal["win", "tie", "loss", "cannot tell"]
_OUTCOMES: Mapping[str, Outcome] = {"better": "win", "worse": "loss", "no difference shown": "tie"}
_TURNED: Mapping[Outcome, Outcome] = {"win": "loss", "loss": "win", "tie": "tie", "cannot tell": "cannot tell"}


@dataclass(frozen=True)
class DatasetRow:
    """One contender. ``scores`` (share) and ``ranks`` by dataset, None where it has none; counts are of pairs within datasets."""

    name: str
    scores: Mapping[str, float | None]
    ranks: Mapping[str, float | None]
    mean_rank: float | None
    wins: int
    ties: int
    losses: int
    untold: int


@dataclass(frozen=True)
class PairTest:
    """Two contenders over all datasets: the mean difference of mIoU (share) and Wilcoxon's p value, times the number of pairs."""

    subject: str
    baseline: str
    mean_difference: float
    p_value: float
    p_adjusted: float

    @property
    def is_shown(self) -> bool:
        """True where the adjusted p value is below 5 %."""
        return self.p_adjusted < 1 - CONFIDENCE


@dataclass(frozen=True)
class DatasetSummary:
    """Several datasets side by side.

    ranked   the datasets in which every contender was scored, over which mean ranks are taken
    tests    one for each pair of contenders, from six such datasets on; with fewer no test can show a difference
    repeated datasets that have several runs, of which the first counts
    """

    datasets: tuple[str, ...]
    ranked: tuple[str, ...]
    rows: tuple[DatasetRow, ...]
    tests: tuple[PairTest, ...]
    repeated: tuple[str, ...] = ()


_Verdicts = Mapping[tuple[str, str], Outcome]


def across_datasets(runs: Sequence[RunResult]) -> DatasetSummary | None:
    """The summary of runs on two datasets or more; None for fewer. Folds of a dataset count together."""
    axes = varied_axes(runs)
    contenders = names(runs, axes)
    folded = {summary.dataset: summary for summary in across_folds(runs)}
    single: dict[str, list[RunResult]] = {}
    for run in runs:
        if fold_of(run) is None:
            single.setdefault(dataset_of(run), []).append(run)
    datasets = tuple(dict.fromkeys(map(dataset_of, runs)))
    if len(datasets) < 2 or not contenders:
        return None
    found = {name: _of_runs(single[name][0], axes) if name in single else _of_folds(folded[name]) for name in datasets}
    repeated = tuple(name for name, several in single.items() if len(several) > 1 or name in folded)
    ranks = {name: _ranks(contenders, known, verdicts) for name, (known, verdicts) in found.items()}
    ranked = tuple(name for name, (known, _) in found.items() if all(each in known for each in contenders))
    rows = tuple(_row(each, contenders, found, ranks, ranked) for each in contenders)
    return DatasetSummary(datasets, ranked, rows, _tests(rows, ranked), repeated)


def _of_runs(run: RunResult, axes: Sequence[str]) -> tuple[Mapping[str, float], _Verdicts]:
    """Mean scores and verdicts of one run."""
    names_of = {cell.id: contender(cell, axes) for cell in run.cells}
    known = {name: fmean(by_seed.values()) for name, by_seed in scores(run, axes).items()}
    verdicts: dict[tuple[str, str], Outcome] = {}
    for record in run.comparisons:
        sides = [names_of.get(next(iter(cells), "")) for cells in (record.subject_cells, record.baseline_cells)]
        if record.quantity == QUANTITY and record.axis != "form" and None not in sides and sides[0] != sides[1]:
            _put(verdicts, str(sides[0]), str(sides[1]), _OUTCOMES.get(record.verdict, "cannot tell"))
    return known, verdicts


def _of_folds(summary: FoldSummary) -> tuple[Mapping[str, float], _Verdicts]:
    verdicts: dict[tuple[str, str], Outcome] = {}
    for record in summary.comparisons:
        _put(verdicts, record.subject, record.baseline, _OUTCOMES.get(record.verdict, "cannot tell"))
    return {name: interval.value for name, interval in summary.means.items()}, verdicts


def _put(verdicts: dict[tuple[str, str], Outcome], subject: str, baseline: str, outcome: Outcome) -> None:
    verdicts.setdefault((subject, baseline), outcome)
    verdicts.setdefault((baseline, subject), _TURNED[outcome])


def _ranks(contenders: Sequence[str], known: Mapping[str, float], verdicts: _Verdicts) -> dict[str, float | None]:
    """Place of each among those scored: one for itself, one for each that is shown to be better, a half for each without a verdict."""

    def rank(name: str) -> float:
        outcomes = [verdicts.get((name, other), "cannot tell") for other in known if other != name]
        return 1.0 + sum({"win": 0.0, "loss": 1.0}.get(outcome, 0.5) for outcome in outcomes)

    return {name: rank(name) if name in known else None for name in contenders}


def _row(
    name: str,
    contenders: Sequence[str],
    found: Mapping[str, tuple[Mapping[str, float], _Verdicts]],
    ranks: Mapping[str, Mapping[str, float | None]],
    ranked: Sequence[str],
) -> DatasetRow:
    outcomes = [
        verdicts.get((name, other), "cannot tell")
        for known, verdicts in found.values()
        for other in contenders
        if other != name and name in known and other in known
    ]
    places = [rank for dataset in ranked if (rank := ranks[dataset][name]) is not None]
    return DatasetRow(
        name=name,
        scores={dataset: known.get(name) for dataset, (known, _) in found.items()},
        ranks={dataset: each[name] for dataset, each in ranks.items()},
        mean_rank=fmean(places) if len(places) > 1 else None,
        wins=outcomes.count("win"),
        ties=outcomes.count("tie"),
        losses=outcomes.count("loss"),
        untold=outcomes.count("cannot tell"),
    )


def _tests(rows: Sequence[DatasetRow], datasets: Sequence[str]) -> tuple[PairTest, ...]:
    if len(datasets) < LEAST_PAIRS:
        return ()
    pairs = list(itertools.combinations(rows, 2))
    return tuple(_test(subject, baseline, datasets, len(pairs)) for baseline, subject in pairs)


def _test(subject: DatasetRow, baseline: DatasetRow, datasets: Sequence[str], pairs: int) -> PairTest:
    differences = [(subject.scores[name] or 0.0) - (baseline.scores[name] or 0.0) for name in datasets]
    p_value = signed_rank_p_value(differences)
    return PairTest(subject.name, baseline.name, fmean(differences), p_value, min(1.0, p_value * pairs))
