"""YOLO segmentation: ``data.yaml`` and, for each image, a text file of polygons, a line ``class x y x y ..`` in shares of the image's size.

Format: docs.ultralytics.com/datasets/segment. A label file has the path of its image with the last ``images`` replaced by ``labels``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench import Conversion, DataError, NoOptions
from segbench_plugins.converters.annotations import AnnotatedImage, AnnotatedObject, Annotations, find_image, inside
from segbench_plugins.converters.pictures import pictures_below
from segbench_plugins.converters.regions import Box, Polygon
from segbench_plugins.converters.writer import write_dataset

_BOX = "a box without an outline"


def convert(source: Path, out: Path, options: NoOptions, skip_missing: bool = False) -> Conversion:
    """Convert the dataset that the yaml file in ``source`` describes."""
    return write_dataset(read(source.resolve()), out, skip_missing=skip_missing)


def read(root: Path) -> Annotations:
    """The annotations of all splits that the yaml file names."""
    file = _yaml_file(root)
    document = _read_yaml(file)
    names = _names(document.get("names"), file)
    if document.get("kpt_shape"):
        raise DataError(f"{file} describes a dataset of key points (kpt_shape), which have no area.")
    images = []
    for key, split in (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test")):
        if document.get(key):
            listed = [image for place in _places(document[key]) for image in _listed(place, root, document.get("path"), file)]
            images += [_image(name, path, split, names, root) for name, path in dict(listed).items()]
    if not images:
        raise DataError(f"{file} names no images: expected train, val or test, each a folder or a list of files.")
    return Annotations("yolo", root, (file.name,), tuple(names[key] for key in sorted(names)), images)


def _yaml_file(root: Path) -> Path:
    found = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    preferred = [path for path in found if path.stem in ("data", "dataset")] or found
    if len(preferred) != 1:
        seen = ", ".join(path.name for path in preferred) or "none"
        raise DataError(f"{root}: expected one data.yaml with names, train and val; there is {seen}.")
    return inside(preferred[0], root, preferred[0])


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or "names" not in document:
        raise DataError(f"{file} is not a YOLO data.yaml: it has no 'names'.")
    return document


def _names(names: Any, file: Path) -> dict[int, str]:
    pairs = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(pairs, dict) or not pairs or not all(type(key) is int for key in pairs):
        raise DataError(f"{file}: names = {str(names)[:60]} does not fit: expected a list of class names, or a table of ids and names.")
    return {key: str(name) for key, name in pairs.items()}


def _places(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _listed(place: Any, root: Path, path: Any, file: Path) -> list[tuple[str, Path | None]]:
    """The images of one folder or list file, as (name, path): relative to the yaml file, or to its ``path``, below ``root``."""
    text = str(place).replace("\\", "/")
    within = [root / text, *([root / str(path) / text] if path else []), root / re.sub(r"^(\.\./)+", "", text)]
    for candidate in (Path(os.path.normpath(entry)) for entry in within):
        if candidate.is_relative_to(root) and candidate.is_dir():
            return [(str(picture.relative_to(root)), picture) for picture in pictures_below(inside(candidate, root, file))]
        if candidate.is_relative_to(root) and candidate.is_file():
            lines = [line.strip() for line in inside(candidate, root, file).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
            folders = [root, candidate.parent]
            return [(line, find_image(line.removeprefix("./"), root=root, folders=folders, listed=candidate)) for line in lines]
    raise DataError(f"{file}: '{place}' is no folder and no list of images in {root}.")


def _image(name: str, path: Path | None, split: str, names: Mapping[int, str], root: Path) -> AnnotatedImage:
    objects: list[AnnotatedObject] = []
    label_file = _label_file(path, root) if path else None
    if label_file is not None and label_file.is_file():
        text = _text(inside(label_file, root, label_file))
        objects = [_object(line, names, f"{label_file}:{number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return AnnotatedImage(name, path, objects, split=split)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text file of YOLO polygons: {error}") from None


def _label_file(image: Path, root: Path) -> Path:
    parts = list(image.relative_to(root).parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[:-1][::-1].index("images")
        parts[last] = "labels"
    return root.joinpath(*parts).with_suffix(".txt")


def _object(line: str, names: Mapping[int, str], where: str) -> AnnotatedObject:
    try:
        label, *numbers = map(float, line.split())
    except ValueError:
        raise DataError(f"{where}: '{line[:60]}' is not of the form 'class x y x y ..'.") from None
    if not label.is_integer():
        raise DataError(f"{where}: the class {label:g} is no whole number.")
    reason = "" if int(label) in names else f"class {int(label)} is not declared"
    if len(numbers) == 4:
        x, y, width, height = numbers
        box = Box([x - width / 2, y - height / 2, x + width / 2, y + height / 2], relative=True)
        return AnnotatedObject(names.get(int(label), ""), (box,), reason or _BOX, where=where)
    return AnnotatedObject(names.get(int(label), ""), (Polygon(numbers, relative=True),), reason, where=where)
