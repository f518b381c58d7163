"""The classes that stored values or colours of predicted masks stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.data.reader.read import MISSING, ColouredMaskError, read_mask
from segbench.errors import DataError
from segbench.plugin.specs import Task
from segbench.util.named_colours import Colour
from segbench.util.sequences import counted

NO_CLASS = -1
"""Index of pixels that hold no class: nodata, transparent, or the value that is ignored."""

DATASET_COLOURS = "dataset"
CLASSES_FORM = (
    "Write --classes 'sky,road,car', which are ids 0, 1, 2; --classes '0:sky,7:road,255:ignore' for other ids; or a FILE, one a line."
)
COLOURS_FORM = (
    f"Write --colours 'sky:128 128 128,road:#804080', a FILE with lines name,r,g,b, or --colours {DATASET_COLOURS} for the dataset's own."
)
_SHOWN = 8

Ids = npt.NDArray[np.int64]


class UnknownValuesError(DataError):
    """A mask holds values that stand for no class; ``values`` are they, with their pixels."""

    def __init__(self, path: Path, values: Mapping[int, int]) -> None:
        super().__init__(f"{path} holds values that are no class")
        self.values = values


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a folder's masks by name, in the order of their indices.

    values    the index of each stored value, NO_CLASS where it is ignored; None: the value is the index
    colours   the index of each colour, for masks in colours; None: masks hold values
    ignored   the value of pixels without a class
    declared  the user said, or ``predictions.json`` says, what values stand for; else they are taken for the dataset's
    """

    names: tuple[str, ...]
    values: Mapping[int, int] | None = None
    colours: Mapping[Colour, int] | None = None
    ignored: int | None = None
    declared: bool = True

    def read(self, path: Path) -> Ids:
        """Class indices (H, W) int64 of a mask, NO_CLASS where it holds none.

        Raises :class:`DataError` for a file that cannot be read and for colours without a table, :class:`UnknownValuesError` for values
        that are no class.
        """
        try:
            mask = read_mask(path, colours=self.colours)
        except ColouredMaskError as error:
            raise DataError(f"{path} is in colours ({error.colours}), but no table says which class each is. {COLOURS_FORM}") from None
        known = [*range(len(self.names))] if self.values is None else [*self.values]
        stored = mask.labels(MISSING, keep=known)
        if self.colours is not None:
            return np.where(stored == MISSING, NO_CLASS, stored)
        return self._indices(stored, path)

    def _indices(self, stored: npt.NDArray[Any], path: Path) -> Ids:
        table = dict(self.values) if self.values is not None else {index: index for index in range(len(self.names))}
        if self.ignored is not None:
            table.setdefault(self.ignored, NO_CLASS)
        table[MISSING] = NO_CLASS
        keys = np.array(sorted(table), np.int64)
        indices = np.array([table[int(key)] for key in keys], np.int64)
        place = np.searchsorted(keys, stored).clip(max=len(keys) - 1)
        unknown = stored[keys[place] != stored]
        if unknown.size:
            values, counts = np.unique(unknown, return_counts=True)
            raise UnknownValuesError(path, dict(zip(values.tolist(), counts.tolist(), strict=True)))
        result: Ids = indices[place]
        return result


def classes_of_dataset(task: Task) -> MaskClasses:
    """Masks that hold the dataset's own class ids."""
    return MaskClasses(task.class_names, ignored=task.ignore_index, declared=False)


def unknown_values_text(files: Mapping[Path, Mapping[int, int]], classes: MaskClasses) -> str:
    """One sentence on masks that hold values which are no class, and what to type."""
    totals: dict[int, int] = {}
    for values in files.values():
        for value, count in values.items():
            totals[value] = totals.get(value, 0) + count
    named = [f"{value} ({counted(totals[value], 'pixel')})" for value in sorted(totals)]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    where = f"{next(iter(files)).name} and {len(files) - 1} more hold" if len(files) > 1 else f"{next(iter(files)).name} holds"
    ids = "0 to " + str(len(classes.names) - 1) if classes.values is None else ", ".join(map(str, sorted(classes.values)[:_SHOWN]))
    ignored = f", and {classes.ignored} is no class" if classes.ignored is not None and classes.values is None else ""
    return (
        f"{where} values that are no class: {', '.join(named[:_SHOWN])}{more}. Class ids are {ids} "
        f"({', '.join(classes.names[:_SHOWN])}{', ..' if len(classes.names) > _SHOWN else ''}){ignored}. {CLASSES_FORM}"
    )
