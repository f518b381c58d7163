"""Stored label values looked up as class ids, and the official class lists that are packaged as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np

from segbench import IGNORE_INDEX, DataError, counted, read_mask
from segbench_plugins.datasets.files import Array

_UNKNOWN = -1

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelTable:
    """The class id (or the ignore index) of each stored label value; other values are an error.

    >>> LabelTable({7: 0, 11: 1, 0: 255}).apply(np.array([[0, 7, 11]]), Path("a.png")).tolist()
    [[255, 0, 1]]
    """

    ids: Mapping[int, int]

    @cached_property
    def _lookup(self) -> Array:
        lookup = np.full(max(self.ids) + 1, _UNKNOWN, np.int64)
        lookup[list(self.ids)] = list(self.ids.values())
        return lookup

    def read(self, path: Path, *, page: int | None = None) -> Array:
        """Class ids int64 (H, W) of a label file; raises :class:`DataError` for values that the table does not have."""
        mask = read_mask(path, pages="refuse" if page is None else page)
        return self.apply(mask.values, path, valid=mask.valid)

    def apply(self, values: Array, path: Path, *, valid: Array | None = None) -> Array:
        """Class ids int64 (H, W) of label values; ``path`` stands in the error.

        Pixels that are not ``valid`` are ignored, unless their value is in the table: a mask of 0 and 1 that declares 0 as no data.
        """
        inside = (values >= 0) & (values < len(self._lookup))
        ids: Array = np.where(inside, self._lookup[np.where(inside, values, 0)], _UNKNOWN)
        if valid is not None:
            ids = np.where(~valid & (ids == _UNKNOWN), IGNORE_INDEX, ids)
        if (ids == _UNKNOWN).any():
            found, counts = np.unique(values[ids == _UNKNOWN], return_counts=True)
            shown = ", ".join(f"{int(value)} ({counted(int(count), 'pixel')})" for value, count in zip(found[:5], counts[:5], strict=True))
            raise DataError(
                f"{path} holds label values that this dataset does not have: {shown}{', ..' if len(found) > 5 else ''}. "
                f"Expected: {_ranges(sorted(self.ids))}. Is it another version of the labels? Read yours as a 'folder' dataset."
            )
        return ids


@dataclass(frozen=True)
class ColourTable:
    """The class id (or the ignore index) of each colour of an RGB label picture; other colours are an error."""

    ids: Mapping[Colour, int]

    def read(self, path: Path) -> Array:
        """Class ids int64 (H, W) of a label picture in colours."""
        return read_mask(path, colours=self.ids).labels(IGNORE_INDEX)


def read_class_list(name: str) -> list[dict[str, str]]:
    """Rows of a packaged class list: ``ade20k``, ``coco_stuff`` or ``pascal_context``.

    >>> read_class_list("ade20k")[0]
    {'value': '1', 'name': 'wall', 'red': '120', 'green': '120', 'blue': '120'}
    """
    text = (files("segbench_plugins.datasets.tables") / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def voc_colour(index: int) -> Colour:
    """The colour of a class by the rule of Pascal VOC: the bits of its id, spread over the high bits of red, green and blue.

    >>> voc_colour(1), voc_colour(15), voc_colour(20)
    ((128, 0, 0), (192, 128, 128), (0, 64, 128))
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def _ranges(values: list[int]) -> str:
    """Whole numbers as ranges in words.

    >>> _ranges([0, 1, 2, 5])
    '0 to 2, 5'
    """
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
