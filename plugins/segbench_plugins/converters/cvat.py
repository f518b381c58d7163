"""CVAT for images 1.1: one XML file of shapes in pixels (docs.cvat.ai, XML annotation format)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from segbench import Conversion, DataError, NoOptions
from segbench_plugins.converters.annotations import SPLITS, AnnotatedImage, AnnotatedObject, Annotations, find_image, inside
from segbench_plugins.converters.regions import Box, Polygon, Region, Runs, ellipse
from segbench_plugins.converters.writer import write_dataset

_FORMAT = "Export the task as 'CVAT for images 1.1', with images."
_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")
_SHAPES = ("polygon", "mask", "ellipse", "box", *_WITHOUT_AREA)


def convert(source: Path, out: Path, options: NoOptions, skip_missing: bool = False) -> Conversion:
    """Convert ``annotations.xml`` in ``source``."""
    return write_dataset(read(source.resolve()), out, skip_missing=skip_missing)


def read(root: Path) -> Annotations:
    """The annotations of a task or a project; classes in the order in which its head declares them."""
    file = _xml_file(root)
    try:
        document = ET.parse(file).getroot()
    except (ET.ParseError, OSError, LookupError, ValueError) as error:
        raise DataError(f"{file} cannot be read as XML: {error}. Is it complete? {_FORMAT}") from None
    if document.tag != "annotations" or (document.find("image") is None and document.find("track") is None):
        raise DataError(f"{file} is not 'CVAT for images 1.1': it has no images. {_FORMAT}")
    if document.find("track") is not None:
        raise DataError(f"{file} is 'CVAT for video', whose tracks are no outlines of single images. {_FORMAT}")
    declared = [label.findtext("name", "") for label in document.iterfind("meta//labels/label") if label.find("parent") is None]
    images = [_image(entry, root, file) for entry in document.iterfind("image")]
    labels = declared or sorted({item.label for image in images for item in image.objects})
    return Annotations("cvat", root, (file.name,), tuple(filter(None, labels)), images)


def _xml_file(root: Path) -> Path:
    found = sorted(root.glob("*.xml"))
    preferred = [path for path in found if path.name == "annotations.xml"] or found
    if len(preferred) != 1:
        raise DataError(f"{root}: expected annotations.xml; there is {', '.join(path.name for path in preferred) or 'none'}. {_FORMAT}")
    return inside(preferred[0], root, preferred[0])


def _image(entry: ET.Element, root: Path, file: Path) -> AnnotatedImage:
    name, subset = entry.get("name", ""), entry.get("subset", "")
    split = SPLITS.get(subset.lower(), "" if subset.lower() in ("", "default") else "?")
    if split == "?":
        raise DataError(f"{file}: the image '{name}' is in the subset '{subset}'. Call subsets train, val and test.")
    folders = [root / "images", *([root / "images" / subset, root / subset] if subset else []), root]
    objects = [_object(shape, f"{file}: image '{name}', {shape.tag}") for shape in entry if shape.tag in _SHAPES]
    size = (_whole(entry.attrib, "width", f"{file}: image '{name}'"), _whole(entry.attrib, "height", f"{file}: image '{name}'"))
    return AnnotatedImage(name, find_image(name, root=root, folders=folders, listed=file), objects, size, split)


def _object(shape: ET.Element, where: str) -> AnnotatedObject:
    regions: tuple[Region, ...] = ()
    reason = ""
    if shape.tag in _WITHOUT_AREA:
        reason = f"a {shape.tag} has no outline"
    elif shape.tag == "polygon":
        regions = (Polygon([number for pair in shape.get("points", "").split(";") for number in _floats(pair, where)]),)
    elif shape.tag == "ellipse":
        cx, cy, rx, ry = (_float(shape, key, where) for key in ("cx", "cy", "rx", "ry"))
        regions = (ellipse((cx, cy), (rx, ry), float(shape.get("rotation", 0))),)
    elif shape.tag == "box":
        regions, reason = (Box([_float(shape, key, where) for key in ("xtl", "ytl", "xbr", "ybr")]),), "a box without an outline"
    else:
        left, top, width, height = (_whole(shape.attrib, key, where) for key in ("left", "top", "width", "height"))
        counts = [int(number) for number in _floats(shape.get("rle", ""), where)]
        regions = (Runs(counts, (width, height), where, corner=(left, top), by_rows=True),)
    return AnnotatedObject(shape.get("label", ""), regions, reason, _whole(shape.attrib, "z_order", where, 0), where)


def _floats(text: str, where: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise DataError(f"{where}: '{text[:40]}' are no numbers separated by commas.") from None


def _float(shape: ET.Element, key: str, where: str) -> float:
    return _floats(shape.get(key, ""), f"{where}: {key}")[0]


def _whole(values: Mapping[str, str], key: str, where: str, default: int | None = None) -> int:
    text = values.get(key, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{where}: {key} = '{text}' is no whole number.") from None
