"""Scores of both runs' models: the same statistics as within a run, over the same images or over seeds.

A pair becomes two models of one group, and :class:`segbench.analysis.comparisons.quality.ScoreComparator` does the rest. All pairs are
resampled together, so that drawing images is paid for once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.analysis.comparisons.confusions import ConfusionFiles, Images
from segbench.analysis.comparisons.matching import CellsBySeed, ComparisonGroup, score_of, shared_seeds
from segbench.analysis.comparisons.quality import ScoreComparator
from segbench.analysis.comparisons.scored_cells import ScoredCells
from segbench.analysis.regressions.pairing import Pair
from segbench.analysis.regressions.verdicts import judged
from segbench.analysis.statistics.bootstrap import LEAST_SEEDS, RESAMPLES
from segbench.results.metrics import METRICS, Metric
from segbench.results.records import CellResult, Comparison
from segbench.results.run_comparison import Change
from segbench.results.scored_classes import averaged_classes, missing_headline
from segbench.util.sequences import known_mean

_EVAL_ASIDE = {"batch_size", "every", "pictures", "pictures_every", "boundary", "calibration", "metrics"}
_TRAIN_ASIDE = {"workers", "oom"}
_SETTINGS = ("loss_options", "dataset_options", "normalisation", "devices")
_OLD, _NEW = "baseline", "new"

_MANY = 50
_FEWER_RESAMPLES = 1000
"""For so many pairs: the ends of an interval then move by a tenth of a standard error from one drawing to the next."""


class ConfusionFilesOfBoth(ConfusionFiles):
    """The images of two runs; cells are told apart by the run's name in front of their id."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self._files = {which: ConfusionFiles(directory) for which, directory in directories.items()}
        self._known: dict[str, Images | None] = {}

    def images(self, cell: CellResult) -> Images | None:
        """Those of the run that the cell is of."""
        if cell.id not in self._known:
            which, _, identity = cell.id.partition(":")
            self._known[cell.id] = self._files[which].images(cell.model_copy(update={"id": identity}))
        return self._known[cell.id]


def quality_rows(
    pairs: Sequence[Pair], directories: tuple[Path, Path], *, across_settings: bool = False, margin: float = 0.0
) -> Iterator[Change]:
    """mIoU of every pair that either run scored, headline class and boundary IoU where both have them.

    ``across_settings`` judges also where the training settings differ: the verdict is then about code and settings together.
    """
    files = ConfusionFilesOfBoth({_OLD: directories[0], _NEW: directories[1]})
    sides = {f"{which} {n}": _renamed(side, which) for n, pair in enumerate(pairs) for which, side in _sides(pair)}
    group = ComparisonGroup({}, sides)
    cells = [cell for side in sides.values() for cell in side.values()]
    resamples = RESAMPLES if len(pairs) <= _MANY else _FEWER_RESAMPLES
    for metric in METRICS.scores:
        comparator = ScoreComparator(group, metric, ScoredCells(cells, metric, files, resamples=resamples))
        for n, pair in enumerate(pairs):
            old, new = sides[f"{_OLD} {n}"], sides[f"{_NEW} {n}"]
            if not _is_scored(old, new, metric):
                continue
            row = _blank(pair, metric, old, new, margin)
            why = (
                _no_headline(old, new, metric)
                or unlike_protocol(pair, metric, across_settings=across_settings)
                or _no_matrices(old, new, metric, files)
            )
            yield row.model_copy(update={"reason": why}) if why else _judged(row, comparator.compare(f"{_NEW} {n}", f"{_OLD} {n}"))


def unlike_protocol(pair: Pair, metric: Metric, *, across_settings: bool) -> str:
    """The reason why two scores are not of the same thing; with ``across_settings`` only what was scored counts, not how it was trained."""
    for seed in shared_seeds(pair.new.cells, pair.baseline.cells, metric.name):
        old, new = pair.baseline.cells[seed], pair.new.cells[seed]
        if old.dataset != new.dataset and not _same_source(old, new):
            return f"another dataset: {old.dataset} -> {new.dataset}"
        scored = _changes(old.resolved.get("eval"), new.resolved.get("eval"), _EVAL_ASIDE, "eval.")
        if scored:
            return f"scored under another protocol: {', '.join(scored)}"
        assert old.quality is not None
        assert new.quality is not None
        if metric.of_class and old.quality.headline_class != new.quality.headline_class:
            return f"another headline class: {old.quality.headline_class} -> {new.quality.headline_class}"
        trained = [*pair.unlike, *_changes(old.resolved.get("train"), new.resolved.get("train"), _TRAIN_ASIDE, "train.")]
        for name in _SETTINGS:
            one, other = old.resolved.get(name), new.resolved.get(name)
            trained += (
                _changes(one, other, set(), f"{name}.") if isinstance(one, Mapping) else _changes({name: one}, {name: other}, set(), "")
            )
        if trained and not across_settings:
            return f"trained under other settings: {', '.join(trained)} (judge all the same: --across-settings)"
    return ""


def _no_matrices(old: CellsBySeed, new: CellsBySeed, metric: Metric, files: ConfusionFiles) -> str:
    """The runs whose scores lack the matrices that an interval needs; over seeds none are needed."""
    seeds = shared_seeds(new, old, metric.name)
    if not seeds or len(seeds) >= LEAST_SEEDS or metric.noise == "seeds":
        return ""
    sides = (("baseline", old), ("new run", new))
    missing = [which for which, side in sides if any(files.images(side[seed]) is None for seed in seeds)]
    return f"the {' and the '.join(missing)} came without confusion matrices (the folder 'confusions' beside run.json)" if missing else ""


def _judged(row: Change, comparison: Comparison) -> Change:
    scope = "the architectures under this recipe" if comparison.method.startswith("t interval") else comparison.scope
    row = row.model_copy(update={"method": comparison.method, "scope": scope, "n": comparison.n})
    if row.change == 0 and comparison.value == 0 and comparison.low is None and not _missing(comparison):
        return judged(row, {"low": 0.0, "high": 0.0, "reason": "the scores are the same"})
    reason = _plainly(comparison.reason)
    if comparison.low is None and not reason:
        reason = "no interval could be made"
    return judged(row, {"low": comparison.low, "high": comparison.high, "reason": reason})


def _missing(comparison: Comparison) -> bool:
    return "differ by the same amount" not in comparison.reason


def _plainly(text: str) -> str:
    return text.replace(f"{_OLD}:", "the baseline's ").replace(f"{_NEW}:", "the new run's ")


def _blank(pair: Pair, metric: Metric, old: CellsBySeed, new: CellsBySeed, margin: float) -> Change:
    seeds = shared_seeds(new, old, metric.name)
    means = [
        known_mean([score_of(side[seed], metric.name) for seed in seeds] or [score_of(cell, metric.name) for cell in side.values()])
        for side in (old, new)
    ]
    quality = next((cell.quality for cell in new.values() if cell.quality), None)
    averaged, same_classes = _averaged(old, new)
    scored_on: dict[str, Any] = {"seeds": seeds} if seeds != [None] else {}
    if quality is not None:
        scored_on |= {"split": quality.split, **({"class": quality.headline_class} if metric.of_class else averaged)}
    return Change(
        model=pair.new.model,
        baseline_model=pair.baseline.model,
        quantity=metric.change_name,
        context={**pair.context, **scored_on},
        unit=metric.change_unit,
        better=metric.better or "higher",
        reading="difference",
        margin=margin,
        baseline=means[0],
        new=means[1],
        change=_change(means, comparable=same_classes or metric.of_class),
        notes=[*pair.unlike, *pair.notes, *_versions(pair, seeds)],
        baseline_cells=[cell.id.partition(":")[2] for cell in old.values()],
        cells=[cell.id.partition(":")[2] for cell in new.values()],
    )


def _change(means: Sequence[float | None], *, comparable: bool) -> float | None:
    """The difference of two means; none where one is missing, or where they are over different classes."""
    baseline, new = means
    return new - baseline if comparable and baseline is not None and new is not None else None


def _versions(pair: Pair, seeds: Sequence[int | None]) -> list[str]:
    """Versions and devices that may move a score a little without any change of code."""
    notes = []
    for seed in seeds[:1]:
        old, new = pair.baseline.cells[seed].machine, pair.new.cells[seed].machine
        notes = [
            f"trained with {key} {old[key]} -> {new[key]}"
            for key in ("torch", "device")
            if key in old and key in new and old[key] != new[key]
        ]
    return notes


def _is_scored(old: CellsBySeed, new: CellsBySeed, metric: Metric) -> bool:
    scored = [any(score_of(cell, metric.name) is not None for cell in side.values()) for side in (old, new)]
    # a run that has no boundary IoU was made without it; one that has no mIoU has failed or is not done
    return any(scored) if metric.name == "miou" else all(scored) or bool(_no_headline(old, new, metric))


def _no_headline(old: CellsBySeed, new: CellsBySeed, metric: Metric) -> str:
    """The reason why the headline class has no IoU in a run: its scored split has no pixel of it."""
    sides = (("baseline", old), ("new run", new))
    missing = {which: name for which, side in sides for cell in side.values() if (name := missing_headline(cell.quality))}
    if not metric.of_class or not missing:
        return ""
    return f"no pixel of {next(iter(missing.values()))} in the scored split of the {' and the '.join(missing)}"


def _averaged(old: CellsBySeed, new: CellsBySeed) -> tuple[dict[str, str], bool]:
    """The classes that the means of both runs are over, for a row's context, and whether they are the same."""
    each = [next((a for cell in side.values() if (a := averaged_classes(cell.quality))), None) for side in (old, new)]
    words = list(dict.fromkeys(one.words for one in each if one is not None))
    same = each[0] is None or each[1] is None or set(each[0].names) == set(each[1].names)
    return ({"mean_over": " -> ".join(words)} if words else {}), same


def _sides(pair: Pair) -> Iterator[tuple[str, CellsBySeed]]:
    yield _OLD, pair.baseline.cells
    yield _NEW, pair.new.cells


def _renamed(side: CellsBySeed, which: str) -> CellsBySeed:
    return {
        seed: cell.model_copy(
            update={
                "id": f"{which}:{cell.id}",
                "artifacts": cell.artifacts.model_copy(update={"confusions": cell.artifacts.confusions or f"confusions/{cell.id}.npz"}),
            }
        )
        for seed, cell in side.items()
    }


def _same_source(old: CellResult, new: CellResult) -> bool:
    """True where two datasets' names differ in nothing but what one of them spells out."""
    names = [str(cell.dataset).partition("[")[0] for cell in (old, new)]
    options = [cell.resolved.get("dataset_options") for cell in (old, new)]
    return names[0] == names[1] and options[0] is not None and options[0] == options[1]


def _changes(old: Any, new: Any, aside: set[str], prefix: str) -> list[str]:
    """Settings that both have and that differ; what only one knows came with another version, as its default."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return []
    shared = [key for key in new if key in old and key not in aside and _plain(old[key]) != _plain(new[key])]
    return [f"{prefix}{key} {_short(old[key])} -> {_short(new[key])}" for key in shared]


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
