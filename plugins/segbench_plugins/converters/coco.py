"""COCO instances (Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; format: cocodataset.org/#format-data)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench import Conversion, DataError, counted
from segbench_plugins.converters import CocoOptions
from segbench_plugins.converters.annotations import SPLITS, AnnotatedImage, AnnotatedObject, Annotations, find_image, inside, read_json
from segbench_plugins.converters.regions import Box, Polygon, Region, Runs
from segbench_plugins.converters.writer import write_dataset

_LAYOUT = "Expected annotations/instances_*.json or a folder per split with _annotations.coco.json."
_KEYS = ("images", "annotations", "categories")
_CROWD = "crowd regions (coco[crowd=object] paints them)"


def convert(source: Path, out: Path, options: CocoOptions, skip_missing: bool = False) -> Conversion:
    """Convert all instance files below ``source``."""
    return write_dataset(read(source.resolve(), options), out, skip_missing=skip_missing)


def read(root: Path, options: CocoOptions) -> Annotations:
    """The annotations of all instance files; categories of equal id or name must be the same in all of them."""
    files = _instance_files(root)
    images: list[AnnotatedImage] = []
    categories: dict[int, str] = {}
    unplaced: Counter[str] = Counter()
    for file in files:
        document = read_json(inside(file, root, file), _KEYS, "a file of COCO instances")
        names = _categories(document["categories"], file)
        differing = [key for key in names if categories.get(key, names[key]) != names[key]]
        if differing:
            raise DataError(f"{file} calls category {differing[0]} '{names[differing[0]]}', another file '{categories[differing[0]]}'.")
        categories |= names
        objects = _objects(document["annotations"], names, options, file)
        listed = [_image(entry, objects, root, file, _split(file)) for entry in _entries(document["images"], file, ("id", "file_name"))]
        images += listed
        unplaced["its image is not listed"] += sum(map(len, objects.values()))
    return Annotations(
        "coco",
        root,
        tuple(str(file.relative_to(root)) for file in files),
        tuple(categories[key] for key in sorted(categories)),
        images,
        {reason: count for reason, count in unplaced.items() if count},
        _notes(categories),
    )


def _instance_files(root: Path) -> list[Path]:
    for pattern in ("annotations/instances_*.json", "instances_*.json", "*/_annotations.coco.json", "_annotations.coco.json"):
        if found := sorted(root.glob(pattern)):
            return found
    found = sorted([*root.glob("annotations/*.json"), *root.glob("*.json")])
    if not found:
        raise DataError(f"{root} holds no COCO json. {_LAYOUT}")
    if len(found) > 1 and not all(_split(file) for file in found):
        raise DataError(f"{root} holds {counted(len(found), 'json file')} ({found[0].name}, ..): which are instances? {_LAYOUT}")
    return found


def _split(file: Path) -> str:
    """The split that a file's name (or its folder's) ends in: train for instances_train2017.json."""
    for text in (file.stem, file.parent.name):
        words = re.findall(r"[a-z]+", text.lower())
        if words and words[-1] in SPLITS:
            return SPLITS[words[-1]]
    return ""


def _categories(entries: Any, file: Path) -> dict[int, str]:
    return {entry["id"]: str(entry["name"]) for entry in _entries(entries, file, ("id", "name"))}


def _notes(categories: Mapping[int, str]) -> tuple[str, ...]:
    shared = [name for name, count in Counter(categories.values()).items() if count > 1]
    return (f"categories of the same name are one class: {', '.join(shared)}",) if shared else ()


def _entries(entries: Any, file: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise DataError(f"{file} is not a file of COCO instances: expected lists of images, annotations and categories.")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or any(key not in entry or isinstance(entry[key], (list, dict)) for key in keys):
            raise DataError(f"{file}: entry {position} ({str(entry)[:60]}) lacks {' or '.join(keys)}.")
    return entries


def _objects(entries: Any, names: Mapping[int, str], options: CocoOptions, file: Path) -> dict[Any, list[AnnotatedObject]]:
    """Objects by the id of their image."""
    objects: dict[Any, list[AnnotatedObject]] = defaultdict(list)
    for entry in _entries(entries, file, ("image_id", "category_id")):
        where = f"{file}: annotation {entry.get('id', '?')}"
        regions, reason = _regions(entry, where)
        if entry["category_id"] not in names:
            reason = f"category {entry['category_id']} is not declared"
        elif entry.get("iscrowd") and options.crowd == "ignore":
            reason = _CROWD
        objects[entry["image_id"]].append(AnnotatedObject(names.get(entry["category_id"], ""), regions, reason, where=where))
    return objects


def _regions(entry: Mapping[str, Any], where: str) -> tuple[tuple[Region, ...], str]:
    outline = entry.get("segmentation")
    if isinstance(outline, dict):
        size = outline.get("size")
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            raise DataError(f"{where}: an RLE needs its size [height, width], got {size!r}.")
        return (Runs(outline.get("counts"), (size[1], size[0]), where),), ""
    if isinstance(outline, list) and outline:
        return tuple(Polygon(part) for part in (outline if isinstance(outline[0], list) else [outline])), ""
    return (Box(_borders(entry.get("bbox"))),), "a box without an outline"


def _borders(box: Any) -> list[float]:
    """Left, top, right and bottom of a box [left, top, width, height]; none of what is no box."""
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(number, (int, float)) for number in box):
        return []
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _image(entry: Mapping[str, Any], objects: dict[Any, list[AnnotatedObject]], root: Path, file: Path, split: str) -> AnnotatedImage:
    """An image with its objects, which are taken out of ``objects``."""
    subset = re.sub(r"^instances_|^_annotations.*", "", file.stem)
    folders = [file.parent, root, root / "images", *(base / name for name in (subset, split) if name for base in (root, root / "images"))]
    size = (entry.get("width"), entry.get("height"))
    return AnnotatedImage(
        str(entry["file_name"]),
        find_image(entry["file_name"], root=root, folders=folders, listed=file),
        objects.pop(entry["id"], []),
        size if all(type(side) is int and side > 0 for side in size) else None,  # type: ignore[arg-type]
        split,
    )
