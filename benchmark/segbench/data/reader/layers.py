"""Open images: bands of any window, whatever the file is read by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from segbench.data.reader.facts import FileFacts
from segbench.data.reader.georeference import Georeference
from segbench.data.window import Window
from segbench.util.image_size import Size

Array = npt.NDArray[Any]

STORED_DTYPES = ("uint8", "int16", "uint16", "float32")
"""Dtypes that a dataset's inputs may have."""


class Layer(Protocol):
    """An open image: bands (C, h, w) of any window. A missing value is NaN; an integer window that has some is float32."""

    @property
    def path(self) -> Path: ...
    @property
    def bands(self) -> int: ...
    @property
    def size(self) -> Size: ...
    @property
    def dtype(self) -> str: ...
    @property
    def raster(self) -> bool: ...
    @property
    def georeference(self) -> Georeference: ...
    @property
    def facts(self) -> FileFacts: ...

    def read(self, window: Window) -> Array: ...

    def missing(self, window: Window) -> Array | None: ...

    def small(self, size: Size) -> Array: ...


@dataclass(frozen=True)
class PictureLayer:
    """An image that lies in memory as pixels (C, H, W), with NaN where a value is missing."""

    path: Path
    pixels: Array
    facts: FileFacts
    raster: bool = False
    georeference: Georeference = field(default_factory=Georeference)

    @property
    def bands(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> Size:
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def dtype(self) -> str:
        return self.facts.dtype if self.facts.dtype in STORED_DTYPES else str(self.pixels.dtype)

    def read(self, window: Window) -> Array:
        """Bands (C, h, w)."""
        return self.pixels[:, window.top : window.top + window.height, window.left : window.left + window.width]

    def missing(self, window: Window) -> Array | None:
        """True where no band has a value (h, w); None where nothing is missing."""
        return None if self.facts.missing == 0 else gaps(self.read(window))

    def small(self, size: Size) -> Array:
        """All of it at another size, nearest neighbour."""
        return nearest(self.pixels, size)


def gaps(pixels: Array) -> Array | None:
    """Pixels (H, W) at which no band of (C, H, W) has a value; None where every pixel has one."""
    if pixels.dtype.kind != "f":
        return None
    finite = np.isfinite(pixels)
    if finite.all():
        return None
    return np.asarray(~finite.any(axis=0))


def with_gaps(pixels: Array, valid: Array | None) -> Array:
    """Pixels (C, H, W) with NaN where ``valid`` (H, W) or (C, H, W) is False: integers become float32 then, else nothing changes."""
    if valid is None or valid.all():
        return pixels
    wide = pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)
    filled: Array = np.where(valid, wide, np.asarray(np.nan, wide.dtype))
    return filled


def to_stored_dtype(pixels: Array) -> Array:
    """Pixels in a dtype that datasets store: doubles become float32, whole numbers int16 or uint16 where they fit, else float32."""
    if str(pixels.dtype) in STORED_DTYPES:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    for dtype in (np.int16, np.uint16):
        if pixels.dtype.kind in "iu" and pixels.size and np.iinfo(dtype).min <= pixels.min() and pixels.max() <= np.iinfo(dtype).max:
            return pixels.astype(dtype)
    return pixels.astype(np.float32)


def upright(values: Array, orientation: int) -> Array:
    """Values (.., H, W) as viewers show them, from those stored under an EXIF orientation (Exif 2.32, tag 0x0112).

    >>> upright(np.array([[1, 2, 3]]), 6).tolist(), upright(np.array([[1, 2, 3]]), 3).tolist()
    ([[1], [2], [3]], [[3, 2, 1]])
    """
    turned = np.swapaxes(values, -1, -2) if orientation in (5, 6, 7, 8) else values
    if orientation in (2, 3, 6, 7):
        turned = turned[..., ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[..., ::-1, :]
    return turned


def nearest(values: Array, size: Size) -> Array:
    """Values (.., H, W) at another size, nearest neighbour."""
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    chosen: Array = values[..., rows[:, None], columns]
    return chosen


def whole(layer: Layer) -> Window:
    """The window that holds all of a layer."""
    return Window(0, 0, *layer.size)


def with_missing_share(facts: FileFacts, empty: Array | None) -> FileFacts:
    """Facts with the share of pixels that have no value."""
    return facts if empty is None else replace(facts, missing=float(empty.mean()))
