"""Counts of label against mask, image by image, and what is wrong with masks that cannot be counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.errors import DataError
from segbench.execution.masks.classes import NO_CLASS, UnknownValuesError, unknown_values_text
from segbench.execution.masks.scored_split import ScoredSplit
from segbench.execution.masks.subjects import MaskSubject
from segbench.measure.quality.boundary import boundary_counts
from segbench.measure.quality.confusion import confusion_matrix
from segbench.measure.quality.evaluate import Evaluation
from segbench.measure.quality.mapped import IGNORED
from segbench.measure.quality.plugin_metrics import ImageMetrics, metric_values
from segbench.plugin.specs import MetricSpec, Task
from segbench.util.image_size import Size
from segbench.util.sequences import counted

Counts = npt.NDArray[np.int64]


@dataclass
class MaskCounts:
    """What is counted of a subject, by the images' places; classes have one more behind them, of predictions without a counterpart."""

    subject: MaskSubject
    metrics: Sequence[MetricSpec] = ()
    matrices: dict[int, Tensor] = field(default_factory=dict)
    boundaries: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    resized: int = 0
    unreadable: list[str] = field(default_factory=list)
    unknown: dict[Path, Mapping[int, int]] = field(default_factory=dict)
    other_sizes: list[tuple[Path, Size, Size]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image_metrics = ImageMetrics(self.metrics, ignore_index=IGNORED)

    @property
    def stacked(self) -> Counts:
        """Matrices (N, K + 1, K + 1)."""
        return torch.stack([self.matrices[place] for place in self.subject.places]).numpy()

    @property
    def without_class(self) -> int:
        """Labelled pixels for which the masks have no class, or one without counterpart."""
        return int(self.stacked[:, :, -1].sum())

    def evaluation(self, ids: Sequence[str], classes: int, seconds: float) -> Evaluation:
        """The counts in the first ``classes`` classes; ``ids`` are those of the whole split."""
        places = self.subject.places
        cut, uncut = (torch.stack([self.boundaries[place][way] for place in places]).numpy()[:, :, :classes] for way in (0, 1))
        matrices = self.stacked[:, :classes, :classes]
        values = {position: self.image_metrics.values.get(place, {}) for position, place in enumerate(places)}
        metrics = metric_values(self.metrics, matrices, values)
        return Evaluation(tuple(ids[place] for place in places), matrices, seconds, boundary=cut, boundary_uncut=uncut, metrics=metrics)


def count_masks(
    subjects: Sequence[MaskSubject], split: ScoredSplit, *, resize: bool, metrics: Sequence[MetricSpec] = ()
) -> list[MaskCounts]:
    """Count label against mask in every image, and compute plugins' ``metrics``; ``resize`` allows masks of another size than their label.

    All masks are read before any fault is raised, as one :class:`DataError` that names them all.
    """
    counts = [MaskCounts(subject, metrics) for subject in subjects]
    for place in sorted({place for subject in subjects for place in subject.pairs.files}):
        label = split.sample(place).mask
        for each in counts:
            if place in each.subject.pairs.files:
                _count_image(each, place, label, resize=resize, name=split.ids[place])
    texts = [text for each in counts if (text := _faults(each, split.task))]
    if texts:
        raise DataError(" ".join(texts))
    return counts


def _count_image(counts: MaskCounts, place: int, label: Tensor, *, resize: bool, name: str) -> None:
    subject, size = counts.subject, (label.shape[0], label.shape[1])
    path = subject.pairs.files[place]
    try:
        ids = subject.read(place)
    except UnknownValuesError as error:
        counts.unknown[path] = error.values
        return
    except DataError as error:
        counts.unreadable.append(str(error))
        return
    if ids.shape != size and not resize:
        counts.other_sizes.append((path, (ids.shape[0], ids.shape[1]), size))
        return
    counts.resized += ids.shape != size
    counts.used |= set(np.unique(ids).tolist())
    prediction, labels = subject.scored(ids, size), subject.labels.labels(label)
    kinds: dict[str, int] = {"num_classes": len(subject.class_map.dataset) + 1, "ignore_index": IGNORED}
    counts.matrices[place] = confusion_matrix(prediction, labels, **kinds)
    counts.image_metrics.add(place, prediction, labels, name=name)
    cut, uncut = (boundary_counts(prediction, labels, cut=cut, **kinds) for cut in (True, False))
    counts.boundaries[place] = (cut, uncut)


def _faults(counts: MaskCounts, task: Task) -> str:
    """What is wrong with the masks of one folder, in a sentence for each kind of fault."""
    texts = []
    if counts.unreadable:
        more = len(counts.unreadable) - 1
        texts.append(counts.unreadable[0] + (f" ({counted(more, 'more mask')} cannot be read either.)" if more else ""))
    if counts.other_sizes:
        texts.append(_sizes_text(counts.other_sizes))
    if counts.unknown:
        texts.append(unknown_values_text(counts.unknown, counts.subject.classes))
    if not texts:
        texts.append(_hidden_class(counts, task))
    text = " ".join(filter(None, texts))
    return f"masks '{counts.subject.folder.name}': {text}" if text else ""


def _sizes_text(sizes: Sequence[tuple[Path, Size, Size]]) -> str:
    path, own, label = sizes[0]
    which = f"{path.name} is {own[0]}x{own[1]}, its label {label[0]}x{label[1]} (height x width)"
    more = f", and {len(sizes) - 1} more are of another size than theirs" if len(sizes) > 1 else ""
    return f"{which}{more}. Give masks at the labels' size, or --resize nearest, by which each pixel takes the nearest of the mask."


def _hidden_class(counts: MaskCounts, task: Task) -> str:
    """What to type where masks hold class 0 and the ignored value alone, which then may be a class: 0 and 255 of a drawing program."""
    if counts.subject.classes.declared or counts.used - {0, NO_CLASS} or not counts.without_class:
        return ""
    if not counts.stacked.sum(axis=(0, 2))[1:].sum():
        return ""
    names, value = task.class_names, task.ignore_index
    return (
        f"they hold 0 and {value} alone, and {value} is no class: {counted(counts.without_class, 'pixel')} would be wrong. "
        f"If {value} is '{names[1]}', type --classes '0:{names[0]},{value}:{names[1]}'; if not, --classes '{','.join(names)}'."
    )
