"""Regions of an image in the forms in which annotations give them, each as a mask of pixels.

Polygons are filled by pycocotools, the reference for COCO: a pixel belongs to a polygon by its area, so that a square of 10 x 10 covers 100
pixels. Pillow's and OpenCV's fills also paint the outline itself (121 pixels), which would grow every object by half a pixel on each side.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from segbench import DataError

Mask = npt.NDArray[np.bool_]


class UnusableError(Exception):
    """A region that covers no pixels that could be known; the message is the reason."""


class Region(Protocol):
    """A part of an image."""

    def mask(self, width: int, height: int) -> Mask:
        """Its pixels (height, width); raises :class:`UnusableError` where it has none, :class:`DataError` where it is damaged."""


@dataclass(frozen=True)
class Polygon:
    """A polygon by its corners, as a flat list x, y, x, y, .. in pixels (or in shares of the image's size)."""

    corners: Any
    relative: bool = False

    def mask(self, width: int, height: int) -> Mask:
        from pycocotools import mask as coco

        flat = _numbers(self.corners)
        if len(flat) < 6:
            raise UnusableError("a polygon of fewer than three corners")
        flat = flat.reshape(-1, 2) * ((width, height) if self.relative else (1, 1))
        if (np.abs(flat / (width, height) - 0.5) > 1.5).any():  # more than the image's size beyond its border
            raise UnusableError("a polygon far outside of its image")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0 makes its arrays in a way that numpy 2 discourages
            return np.asarray(coco.decode(coco.merge(coco.frPyObjects([flat.ravel().tolist()], height, width))), bool)


@dataclass(frozen=True)
class Box:
    """A box by its left, top, right and bottom border, in pixels (or in shares of the image's size): every pixel that it touches."""

    borders: Any
    relative: bool = False

    def mask(self, width: int, height: int) -> Mask:
        borders = _numbers(self.borders)
        if len(borders) != 4:
            raise UnusableError("an object without an outline or a box")
        left, top, right, bottom = borders * ((width, height) * 2 if self.relative else (1, 1, 1, 1))
        covered = np.zeros((height, width), bool)
        limits = np.clip((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)), 0, (width, height, width, height))
        covered[limits[1] : limits[3], limits[0] : limits[2]] = True
        return covered


@dataclass(frozen=True)
class Runs:
    """A run-length encoding: lengths of alternating runs outside and inside, down the columns (COCO) or along the rows (CVAT).

    ``counts`` is a list or COCO's compressed text. ``size`` is (width, height) of what is encoded, ``corner`` (left, top) its place in the
    image; without a corner it is the whole image. ``where`` is what messages call it.
    """

    counts: Any
    size: tuple[int, int]
    where: str
    corner: tuple[int, int] | None = None
    by_rows: bool = False

    def mask(self, width: int, height: int) -> Mask:
        columns, rows = self.size
        if self.corner is None and (columns, rows) != (width, height):
            raise DataError(f"{self.where}: the RLE is of {columns}x{rows} pixels, but its image of {width}x{height}.")
        try:
            counts = np.asarray(_uncompressed(self.counts) if isinstance(self.counts, str) else self.counts, np.int64)
        except (TypeError, ValueError, OverflowError, IndexError):
            raise DataError(f"{self.where}: the RLE cannot be read. Export it again.") from None
        if counts.ndim != 1 or ((counts < 0) | (counts > columns * rows)).any() or counts.sum() != columns * rows:
            raise DataError(f"{self.where}: the RLE encodes {int(counts.sum())} pixels, but its size is {columns}x{rows}. Export it again.")
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        inner = flat.reshape(rows, columns) if self.by_rows else flat.reshape(columns, rows).T
        return inner if self.corner is None else placed(inner, self.corner, width, height)


@dataclass(frozen=True)
class Bitmap:
    """A mask of pixels with its left top corner's place in the image."""

    pixels: Mask
    corner: tuple[int, int]

    def mask(self, width: int, height: int) -> Mask:
        return placed(self.pixels, self.corner, width, height)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> Polygon:
    """An ellipse as a polygon of 128 corners, turned clockwise as it is seen."""
    angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    turn = math.radians(degrees)
    corners = (centre[0] + x * math.cos(turn) - y * math.sin(turn), centre[1] + x * math.sin(turn) + y * math.cos(turn))
    return Polygon(np.stack(corners, axis=1).ravel().tolist())


def placed(inner: Mask, corner: tuple[int, int], width: int, height: int) -> Mask:
    """A mask at its place in an image, cut off at the borders."""
    whole = np.zeros((height, width), bool)
    left, top = corner
    rows, columns = inner.shape
    target = whole[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)]
    start_row, start_column = max(-top, 0), max(-left, 0)
    target[...] = inner[start_row : start_row + target.shape[0], start_column : start_column + target.shape[1]]
    return whole


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    try:
        flat = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UnusableError("an outline that is not a list of numbers") from None
    if flat.ndim != 1 or len(flat) % 2 or not np.isfinite(flat).all():
        raise UnusableError("an outline that is not a list of pairs of numbers")
    return flat


def _uncompressed(text: str) -> Sequence[int]:
    """Run lengths of COCO's compressed text: five bits a character, least first, each run from the third on as the difference to the run
    two before it (``rleFrString`` in the COCO API's maskApi.c). Decoded here, as the library trusts lengths that exceed the image.

    >>> _uncompressed("332")
    [3, 3, 2]
    """
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            if not 0 <= bits < 64:
                raise ValueError(text[at])
            value |= (bits & 31) << shift
            at, shift, more = at + 1, shift + 5, bool(bits & 32)
        value -= (1 << shift) if bits & 16 else 0
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts
