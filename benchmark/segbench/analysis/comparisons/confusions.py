"""Per-image confusion counts that evaluation stored with a run, and the check that two cells' are of the same images."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.results.records import CellResult, Deployment

Counts = npt.NDArray[np.int64]
METRIC_ARRAY = "metric "
"""In front of a plugin metric's name, in the file with the matrices: its values of each image."""


@dataclass(frozen=True)
class Images:
    """Images of one cell: ids and matrices (N, K, K), boundary counts (N, 2, K), groups and plugins' metrics (N,) where they were kept."""

    ids: tuple[str, ...]
    matrices: Counts
    boundary: Counts | None
    groups: tuple[str, ...] | None
    metrics: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def in_order_of(self, ids: Sequence[str]) -> Images:
        """The same images in another order."""
        if self.ids == tuple(ids):
            return self
        places = {name: place for place, name in enumerate(self.ids)}
        order = [places[name] for name in ids]
        return Images(
            tuple(ids),
            self.matrices[order],
            None if self.boundary is None else self.boundary[order],
            None if self.groups is None else tuple(self.groups[place] for place in order),
            {name: values[order] for name, values in self.metrics.items()},
        )


class ConfusionFiles:
    """The images of a run's cells and of their deployed forms, each file read once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, Images | None] = {}

    def images(self, cell: CellResult) -> Images | None:
        """None where there is no file of this cell, or none that can be read."""
        return self._file(cell.artifacts.confusions or f"confusions/{cell.id}.npz")

    def images_of_form(self, deployment: Deployment) -> Images | None:
        """The same through a deployed form."""
        return self._file(deployment.confusions) if deployment.confusions else None

    def _file(self, name: str) -> Images | None:
        if name not in self._read:
            self._read[name] = _read(self._directory / name)
        return self._read[name]


def same_images(cells: Mapping[str, Images | None]) -> str:
    """The reason why these cells were not scored on the same images and labels; empty where they were."""
    missing = [name for name, images in cells.items() if images is None]
    if len(missing) == len(cells):
        return "the images' confusion matrices were not kept: evaluate the cells again"
    if missing:
        return f"the confusion matrices of {' and '.join(missing)} are missing: evaluate again"
    (_, first), *others = ((name, images) for name, images in cells.items() if images is not None)
    for name, images in others:
        if set(images.ids) != set(first.ids) or len(images.ids) != len(first.ids):
            return f"scored on different images: {name} on {len(images.ids)}, {next(iter(cells))} on {len(first.ids)}"
        if images.matrices.shape != first.matrices.shape:
            return f"scored with different classes: {name} on {images.matrices.shape[1]}, {next(iter(cells))} on {first.matrices.shape[1]}"
        if not np.array_equal(images.in_order_of(first.ids).matrices.sum(axis=2), first.matrices.sum(axis=2)):
            return f"the labels of the scored images differ between {next(iter(cells))} and {name}"
    return ""


def _read(path: Path) -> Images | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if "ids" not in arrays or "matrices" not in arrays:
        return None
    groups = arrays.get("groups")
    return Images(
        tuple(map(str, arrays["ids"])),
        arrays["matrices"].astype(np.int64),
        arrays.get("boundary"),
        None if groups is None else tuple(map(str, groups)),
        {name.removeprefix(METRIC_ARRAY): values for name, values in arrays.items() if name.startswith(METRIC_ARRAY)},
    )
