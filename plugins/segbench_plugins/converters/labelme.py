"""labelme: a json file beside each image, with shapes in pixels (github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segbench import Conversion, DataError, NoOptions, counted
from segbench_plugins.converters.annotations import AnnotatedImage, AnnotatedObject, Annotations, find_image, inside, read_json
from segbench_plugins.converters.pictures import pictures_below
from segbench_plugins.converters.regions import Bitmap, Polygon, Region, ellipse
from segbench_plugins.converters.writer import write_dataset

_IGNORED = "__ignore__"


def convert(source: Path, out: Path, options: NoOptions, skip_missing: bool = False) -> Conversion:
    """Convert all labelme files below ``source``."""
    return write_dataset(read(source.resolve()), out, skip_missing=skip_missing)


def read(root: Path) -> Annotations:
    """The annotations of all json files; classes are those of ``labels.txt`` where there is one, else all labels in alphabetical order."""
    files = sorted(path for path in root.rglob("*.json") if not any(part.startswith(".") for part in path.relative_to(root).parts))
    if not files:
        raise DataError(f"{root} holds no labelme files: expected a json file for each image.")
    images = [_image(file, root) for file in files]
    labels = {item.label for image in images for item in image.objects if item.label != _IGNORED}
    declared = _declared(root)
    used = {image.file for image in images}
    unused = sum(picture not in used for picture in pictures_below(root))
    notes = (f"{counted(unused, 'picture')} without a json file: not used",) if unused else ()
    return Annotations(
        "labelme", root, tuple(str(file.relative_to(root)) for file in files), declared or tuple(sorted(labels)), images, notes=notes
    )


def _declared(root: Path) -> tuple[str, ...]:
    file = root / "labels.txt"
    if not file.is_file():
        return ()
    lines = [line.strip() for line in inside(file, root, file).read_text(encoding="utf-8-sig").splitlines()]
    return tuple(line for line in lines if line and line != _IGNORED)


def _image(file: Path, root: Path) -> AnnotatedImage:
    document = read_json(inside(file, root, file), ("shapes", "imagePath"), "a labelme file")
    if not isinstance(document["shapes"], list):
        raise DataError(f"{file} is not a labelme file: 'shapes' is no list.")
    objects: dict[Any, AnnotatedObject] = {}
    for number, shape in enumerate(document["shapes"]):
        where = f"{file}: shape {number}"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not isinstance(shape.get("points"), list):
            raise DataError(f"{where} has no label and points.")
        region, reason = _region(shape, where)
        label = shape["label"]
        reason = "labelled __ignore__" if label == _IGNORED else reason
        group = shape.get("group_id")
        key = (label, str(group), bool(reason)) if group is not None else number
        before = objects[key].regions if key in objects else ()
        objects[key] = AnnotatedObject(label, (*before, *region), reason, where=where)
    size = (document.get("imageWidth"), document.get("imageHeight"))
    return AnnotatedImage(
        str(document["imagePath"]),
        find_image(document["imagePath"], root=root, folders=[file.parent], listed=file),
        list(objects.values()),
        size if all(type(side) is int and side > 0 for side in size) else None,  # type: ignore[arg-type]
    )


def _region(shape: Mapping[str, Any], where: str) -> tuple[tuple[Region, ...], str]:
    """The region of a shape, or why it has none."""
    points, kind = shape["points"], shape.get("shape_type") or "polygon"
    if kind in ("point", "points", "line", "linestrip"):
        return (), f"a {kind} has no area"
    pairs = [point for point in points if isinstance(point, list) and len(point) == 2 and all(isinstance(x, (int, float)) for x in point)]
    if len(pairs) != len(points) or not np.isfinite(np.asarray(pairs, float)).all():
        raise DataError(f"{where}: points are no pairs of numbers.")
    if kind == "polygon" or (kind == "rectangle" and len(pairs) == 4):
        return (Polygon([number for pair in pairs for number in pair]),), ""
    if kind not in ("rectangle", "circle", "mask") or len(pairs) != 2:
        return (), f"a shape '{kind}' of {counted(len(pairs), 'point')}, which is not known"
    (x1, y1), (x2, y2) = pairs
    if kind == "rectangle":
        return (Polygon([x1, y1, x2, y1, x2, y2, x1, y2]),), ""
    if kind == "circle":
        radius = math.hypot(x2 - x1, y2 - y1)
        return (ellipse((x1, y1), (radius, radius)),), ""
    return (Bitmap(_bitmap(shape.get("mask"), where), (round(x1), round(y1))),), ""


def _bitmap(text: Any, where: str) -> Any:
    """The pixels of labelme's shape "mask": a PNG as base64 text."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
            return np.asarray(picture.convert("L")) > 0
    except (TypeError, ValueError, binascii.Error, OSError, SyntaxError) as error:
        raise DataError(f"{where}: its mask is no PNG in base64: {error}") from None
