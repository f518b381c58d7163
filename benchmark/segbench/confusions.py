"""The confusion matrices that an evaluation leaves beside its cell: one per image, with the images' ids."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.results import CellResult

Matrices = Callable[[CellResult], tuple[tuple[str, ...], npt.NDArray[Any]] | None]
"""Ids (n) and matrices (n, K, K) of a scored cell, None where they are not there."""


def no_matrices(cell: CellResult) -> None:
    """For a run of which only ``run.json`` is at hand."""


def matrices_in(directory: Path) -> Matrices:
    """Those that lie in a run's directory; a damaged file counts as a missing one."""

    def matrices(cell: CellResult) -> tuple[tuple[str, ...], npt.NDArray[Any]] | None:
        name = cell.artifacts.confusions
        if name is None or cell.quality is None:
            return None
        try:
            with np.load(directory / name, allow_pickle=False) as file:
                return tuple(map(str, file["ids"])), file["matrices"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    return matrices
