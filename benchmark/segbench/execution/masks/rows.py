"""Rows of a run for folders of masks: scores, remarks, confusion matrices and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.config.settings import TrainSettings
from segbench.data.selection import overlapping, same_dataset
from segbench.data.visualization import prediction_panel
from segbench.execution.cells.job import save_confusions
from segbench.execution.masks.counts import MaskCounts
from segbench.execution.masks.scored_split import ScoredSplit
from segbench.execution.masks.subjects import MaskOptions, MaskSubject
from segbench.measure.quality.evaluate import Evaluation
from segbench.measure.quality.plugin_metrics import metric_scores
from segbench.measure.quality.scores import image_scores, score
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import MetricSpec
from segbench.results.readings import MASKS, part_of_split
from segbench.results.records import Artifacts, CellResult, Quality
from segbench.results.scored_classes import NO_COUNTERPART
from segbench.util.sequences import counted, evenly_spaced, listed

NO_NETWORK = (
    "masks were scored, not a network: no parameters, multiply-adds, latency or memory; no calibration, as masks hold no probabilities"
)
_PICTURES = 4
_LOWEST = 4


def rows_of_masks(
    counts: Sequence[MaskCounts],
    split: ScoredSplit,
    options: MaskOptions,
    *,
    directory: Path,
    seconds: float,
    metrics: Sequence[Chosen[MetricSpec]] = (),
) -> list[CellResult]:
    """A row for each folder; confusion matrices and pictures go below ``directory``.

    All rows have the same classes, so that they can be compared. ``seconds`` is the time that each took.
    """
    without = any(None in each.subject.class_map.targets or each.without_class for each in counts)
    names = (*split.task.class_names, *([NO_COUNTERPART] if without else []))
    done = [each.evaluation(split.ids, len(names), seconds) for each in counts]
    pictured = _pictured(counts, done)
    rows = []
    for each, evaluation in zip(counts, done, strict=True):
        subject = each.subject
        groups = None if split.groups is None else [split.groups[place] for place in subject.places]
        confusions = f"confusions/{subject.id}.npz"
        save_confusions(directory / confusions, evaluation, groups)
        row = CellResult(
            id=subject.id,
            kind=MASKS,
            model=subject.folder.name,
            dataset=str(split.dataset),
            resolved=_resolved(subject, split, options),
            status="ok",
            quality=_quality(subject, evaluation, split, names, groups, metrics),
            artifacts=Artifacts(confusions=confusions, predictions=_pictures(subject, split, pictured, directory)),
            notes=_notes(each, evaluation, split),
        )
        rows.append(row)
    return rows


def _quality(
    subject: MaskSubject,
    done: Evaluation,
    split: ScoredSplit,
    names: Sequence[str],
    groups: Sequence[str] | None,
    metrics: Sequence[Chosen[MetricSpec]],
) -> Quality:
    trained, selected = _history(subject, split)
    quality = score(
        done.matrices,
        class_names=names,
        split=split.name,
        headline=split.task.headline,
        selected_on=selected,
        trained_on=trained,
        seconds=done.seconds,
        interval=True,
        groups=groups,
        ids=done.ids,
        boundary=done.boundary,
        boundary_uncut=done.boundary_uncut,
    )
    scores = metric_scores(metrics, done.metrics, done.matrices, trained_on=trained, groups=groups, ids=done.ids)
    return quality.model_copy(update={"split_images": len(split.ids) if subject.pairs.missing else None, "metrics": scores})


def _history(subject: MaskSubject, split: ScoredSplit) -> tuple[bool, str | None]:
    """Whether the network behind the masks was trained on this split, and the split that chose it where it overlaps, as far as known."""
    network = subject.folder.record.network if subject.folder.record is not None else None
    if network is None or network.trained_on is None or not same_dataset(network.trained_on, split.dataset):
        return False, None
    usual = TrainSettings()
    train = network.train_split or usual.split
    selected = network.select_on if network.train_split else usual.select_on
    chosen = selected if selected and overlapping(split.dataset, selected, split.name) else None
    return overlapping(split.dataset, train, split.name), chosen


def _resolved(subject: MaskSubject, split: ScoredSplit, options: MaskOptions) -> dict[str, Any]:
    classes, mapped = subject.classes, subject.class_map
    return {
        "dataset_options": split.dataset.options.values(),
        "eval": {"split": split.name, "class_map": None if mapped.is_identity else mapped.text},
        "masks": {
            "classes": list(classes.names),
            "values": None if classes.values is None else {str(value): index for value, index in classes.values.items()},
            "colours": None if classes.colours is None else {" ".join(map(str, key)): index for key, index in classes.colours.items()},
            "suffix": options.suffix,
            "resize": options.resize,
            "partial": options.partial,
        },
    }


def _notes(counts: MaskCounts, done: Evaluation, split: ScoredSplit) -> list[str]:
    """Remarks for the row: what was scored, by which rules, and which images score lowest."""
    pairs, record = counts.subject.pairs, counts.subject.folder.record
    notes = [NO_NETWORK]
    if record is not None and record.network.model:
        notes.append(f"'segbench predict' made these masks with {record.network.model}")
        notes += [f"'segbench predict' mapped its classes: {text}"] if (text := record.settings.classes) else []
    elif overlapping(split.dataset, TrainSettings().split, split.name):
        notes.append(f"whether what made these masks was trained on '{split.name}' is not known")
    if pairs.missing:
        notes.append(part_of_split(len(done.ids), len(split.ids)))
    if pairs.extra:
        notes.append(f"{counted(len(pairs.extra), 'mask')} of no image of '{split.name}' left out")
    notes += counts.subject.class_map.notes(of_masks=True)
    if counts.resized:
        masks = counted(len(done.ids), "mask")
        notes.append(f"{counts.resized} of {masks} brought to the label's size: each pixel takes the nearest of the mask")
    if counts.without_class and None not in counts.subject.class_map.targets:
        share = 100 * counts.without_class / counts.stacked.sum()
        notes.append(f"{share:.2g} % of the labelled pixels have no class in the masks (ignored value or no data): they count as wrong")
    lowest = [f"{done.ids[place]} {100 * value:.1f} %" for place, value in _lowest(image_scores(done.matrices))]
    return [*notes, *([f"images with the lowest mIoU: {listed(lowest)}"] if len(done.ids) > len(lowest) else [])]


def _lowest(scores: npt.NDArray[np.float64]) -> list[tuple[int, float]]:
    """Places and scores of the images that score lowest, the worst first; images without a valid pixel have none."""
    known = [int(place) for place in np.argsort(scores, kind="stable") if not np.isnan(scores[place])]
    return [(place, float(scores[place])) for place in known[:_LOWEST]]


def _pictured(counts: Sequence[MaskCounts], done: Sequence[Evaluation]) -> list[int]:
    """Places of the images that are pictured: those that score lowest over all folders, then some at even distances."""
    scores: dict[int, list[float]] = {}
    for each, evaluation in zip(counts, done, strict=True):
        for place, value in zip(each.subject.places, image_scores(evaluation.matrices).tolist(), strict=True):
            scores.setdefault(place, []).append(value)
    places = sorted(scores)
    lowest = [places[index] for index, _ in _lowest(np.array([np.mean(scores[place]) for place in places]))]
    return list(dict.fromkeys([*lowest, *(places[index] for index in evenly_spaced(len(places), _PICTURES))]))


def _pictures(subject: MaskSubject, split: ScoredSplit, places: Sequence[int], directory: Path) -> list[str]:
    """Write a panel of inputs, label, prediction and errors for each place that has a mask; their paths below the directory."""
    paths = []
    folder = directory / "predictions" / subject.id
    folder.mkdir(parents=True, exist_ok=True)
    for place in (place for place in places if place in subject.pairs.files):
        sample = split.sample(place)
        prediction = subject.scored(subject.read(place), (sample.mask.shape[0], sample.mask.shape[1]))
        path = folder / f"{slug(sample.id)}.png"
        prediction_panel(sample, prediction, split.task).save(path)
        paths.append(path.relative_to(directory).as_posix())
    return paths
