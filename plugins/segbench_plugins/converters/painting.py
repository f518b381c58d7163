"""The mask of one annotated image: objects painted over one another, in the frame in which segbench reads the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segbench import DataError
from segbench_plugins.converters.annotations import AnnotatedImage, AnnotatedObject
from segbench_plugins.converters.regions import Mask, UnusableError

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PART = "a part of an object (the rest was painted)"


@dataclass(frozen=True)
class Painted:
    """A mask (H, W) of class ids, uint8 or uint16, and what it holds.

    labels           the class of each painted object
    reasons          why each other object was not painted
    assumed_upright  the image has an orientation tag and its annotations' size does not tell in which frame they are
    """

    ids: npt.NDArray[Any]
    labels: tuple[str, ...]
    reasons: tuple[str, ...]
    assumed_upright: bool = False


@dataclass(frozen=True)
class _Shape:
    """The pixels of an object: its smallest rectangle, and where that lies."""

    pixels: Mask
    top: int
    left: int
    area: int
    value: int
    layer: int


def paint(image: AnnotatedImage, ids: Mapping[str, int], ignore: int) -> Painted:
    """The mask of an image, upright as segbench reads it: smaller objects over larger ones, those of higher layers over all."""
    (width, height), turn, assumed = _frame(image)
    shapes: list[_Shape] = []
    labels, reasons = [], []
    for item in image.objects:
        covered, faults = _cover(item, width, height)
        known = not item.reason and item.label in ids
        if not covered.any():
            reasons.append(item.reason or next(iter(faults), "it covers no pixel of its image"))
            continue
        shapes.append(_shape(covered, ids[item.label] if known else ignore, item.layer))
        if known:
            labels.append(item.label)
            reasons += [f"{fault}: {_PART}" for fault in faults]
        else:
            reasons.append(f"{item.reason or 'a class that the annotations do not declare'}: its pixels are ignored")
    mask = np.zeros((height, width), np.uint8 if ignore == 255 else np.uint16)
    for shape in sorted(shapes, key=lambda shape: (shape.layer, -shape.area)):
        rows, columns = shape.pixels.shape
        mask[shape.top : shape.top + rows, shape.left : shape.left + columns][shape.pixels] = shape.value
    if turn is not None:
        mask = np.asarray(Image.fromarray(mask).transpose(turn))
    return Painted(mask, tuple(labels), tuple(reasons), assumed)


def _cover(item: AnnotatedObject, width: int, height: int) -> tuple[Mask, list[str]]:
    """The union of an object's regions, and the reasons of those that cannot be used."""
    covered = np.zeros((height, width), bool)
    faults = []
    for region in item.regions:
        try:
            covered |= region.mask(width, height)
        except UnusableError as error:
            faults.append(str(error))
    return covered, faults


def _shape(covered: Mask, value: int, layer: int) -> _Shape:
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    inner = covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return _Shape(inner, int(rows[0]), int(columns[0]), int(inner.sum()), value, layer)


def _frame(image: AnnotatedImage) -> tuple[tuple[int, int], Image.Transpose | None, bool]:
    """Size of the picture that the objects were drawn on, how a mask of it is turned upright, and whether that is assumed."""
    stored, orientation = _stored_size(Path(image.file or ""))
    upright = stored[::-1] if orientation >= 5 else stored
    if image.size in (None, upright):
        return upright, None, orientation > 1 and (image.size is None or upright == stored)
    if image.size == stored:
        return stored, _UPRIGHT[orientation], False
    annotated = "x".join(map(str, image.size or ()))
    raise DataError(
        f"{image.file} is {upright[0]}x{upright[1]} pixels, but it was annotated at {annotated}. Put the picture there that was annotated."
    )


def _stored_size(file: Path) -> tuple[tuple[int, int], int]:
    try:
        with Image.open(file) as picture:
            orientation = picture.getexif().get(0x0112, 1)
            return picture.size, orientation if orientation in _UPRIGHT else 1
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and struct.error for damaged files
        raise DataError(f"cannot read {file}: {error or type(error).__name__}. Is it a complete picture?") from None
