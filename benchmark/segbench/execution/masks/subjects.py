"""Folders of masks with the images that they are of, and the classes that their values stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.data.reader.layers import nearest
from segbench.errors import ConfigError, did_you_mean
from segbench.execution.masks.classes import MaskClasses, classes_of_dataset
from segbench.execution.masks.declared import declared_classes
from segbench.execution.masks.folders import MaskFolder, PairedMasks, open_folders, pair_masks
from segbench.execution.masks.scored_split import ScoredSplit
from segbench.measure.quality.mapped import MappedClasses
from segbench.plugin.choice import slug
from segbench.plugin.class_map import ClassMap, Pair, class_map_text, format_class_map, match_classes, parse_class_map
from segbench.plugin.specs import Task
from segbench.util.image_size import Size

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskOptions:
    """How masks are read.

    class_map  pairs or a file: which class of the masks stands for which of the dataset, where names do not say
    classes    names of the masks' classes, or a file of them; None: what ``predictions.json`` says, else the dataset's
    colours    the class of each colour, for masks in colours
    suffix     what the masks' names have behind those of the images
    resize     "nearest": a mask of another size than its label is brought to that size; None: it is refused
    partial    score the images that have a mask
    """

    class_map: str | None = None
    classes: str | None = None
    colours: str | None = None
    suffix: str = ""
    resize: Literal["nearest"] | None = None
    partial: bool = False


@dataclass(frozen=True)
class MaskSubject:
    """A folder of masks: its files by their place in the split, the classes of its values, and the map to those of the dataset."""

    folder: MaskFolder
    pairs: PairedMasks
    classes: MaskClasses
    class_map: ClassMap
    labels: MappedClasses

    @property
    def id(self) -> str:
        """The name of its files."""
        return slug(self.folder.name)

    @property
    def places(self) -> list[int]:
        """Places in the split of the images that have a mask."""
        return sorted(self.pairs.files)

    def read(self, place: int) -> Ids:
        """Classes (H, W) of the mask of an image, by their index among the masks' own."""
        return self.classes.read(self.pairs.files[place])

    def scored(self, ids: Ids, size: Size) -> Tensor:
        """The scored classes of :meth:`read` at the label's size; those without a counterpart follow the dataset's.

        Another size is brought to it by nearest neighbour.
        """
        without_class = len(self.class_map.dataset)
        table = np.array([*self.class_map.prediction_ids, without_class], np.int64)  # the index NO_CLASS is -1: the last entry
        return torch.from_numpy(table[nearest(ids, size)])


def open_subjects(texts: Sequence[str | Path], split: ScoredSplit, options: MaskOptions) -> list[MaskSubject]:
    """The folders, each with its files paired and its classes matched; all of them are looked at before any mask is read."""
    folders = open_folders(texts, suffix=options.suffix)
    if len({slug(folder.name) for folder in folders}) < len(folders):
        raise ConfigError("Two folders have names that make the same file name: give each a plain name, as in first=DIR second=DIR.")
    paired = [pair_masks(folder, split.ids, split=split.name, partial=options.partial) for folder in folders]
    classes = [_classes(folder, split.task, options) for folder in folders]
    pairs = parse_class_map(class_map_text(options.class_map)) if options.class_map else ()
    _refuse_unknown_classes(pairs, classes)
    maps = [_class_map(folder, own, pairs, split) for folder, own in zip(folders, classes, strict=True)]
    return [
        MaskSubject(folder, files, own, mapped, MappedClasses(split.task, mapped))
        for folder, files, own, mapped in zip(folders, paired, classes, maps, strict=True)
    ]


def _classes(folder: MaskFolder, task: Task, options: MaskOptions) -> MaskClasses:
    declared = declared_classes(options.classes, options.colours, task)
    if declared is not None:
        return declared
    if folder.record is not None and folder.record.classes:
        ignored = folder.record.ignore_index
        return MaskClasses(folder.record.classes, ignored=task.ignore_index if ignored is None else ignored)
    return classes_of_dataset(task)


def _refuse_unknown_classes(pairs: Sequence[Pair], classes: Sequence[MaskClasses]) -> None:
    known = list(dict.fromkeys(name for own in classes for name in own.names))
    unknown = next((left for left, _ in pairs if left is not None and left not in known), None)
    if unknown is not None:
        raise ConfigError(
            f"class map: no masks have a class '{unknown}'.{did_you_mean(unknown, known)} Their classes are: {', '.join(known[:20])}. "
            "Name the classes of masks with --classes, where they are not the dataset's."
        )


def _class_map(folder: MaskFolder, classes: MaskClasses, pairs: Sequence[Pair], split: ScoredSplit) -> ClassMap:
    """The class map of one folder, by those pairs that name its classes."""
    own = [(left, right) for left, right in pairs if left is None or left in classes.names]
    source, target = f"what made the masks '{folder.name}'", f"dataset '{split.dataset}'"
    return match_classes(classes.names, split.task.class_names, format_class_map(own) or None, source=source, target=target)
