"""A dataset folder from annotations: images, masks of class ids, lists of the splits, and a ``dataset.toml`` that describes it all."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from segbench import Conversion, DataError, __version__, counted
from segbench_plugins.converters.annotations import AnnotatedImage, Annotations, refuse_missing
from segbench_plugins.converters.painting import Painted, paint

_BACKGROUND = ("background", "_background_")
_HEAD = """# Written by: segbench data convert {format}
# Use it:     segbench run --dataset FOLDER (this one); segbench data check FOLDER
# [options] are those of the dataset named below (segbench list datasets {dataset}) and may be edited; [provenance] is for people.
"""


def write_dataset(annotations: Annotations, out: Path, *, skip_missing: bool = False) -> Conversion:
    """Write ``annotations`` as the dataset folder ``out``, which does not exist yet.

    Images are hard links where the file system allows it, else copies. Raises :class:`DataError` where nothing could be scored on the
    result: no class, no image, no object.
    """
    images = refuse_missing(annotations.images, annotations.root, skip_missing=skip_missing)
    classes, ids = class_ids(annotations.classes)
    ignore = 255 if len(classes) <= 255 else 65535
    names = _file_names(images, annotations.root)
    for folder in (out / "images", out / "masks"):
        folder.mkdir(parents=True)
    tally = _Tally(classes)
    for image, name in zip(images, names, strict=True):
        painted = paint(image, ids, ignore)
        _link(Path(image.file or ""), out / "images" / name)
        _save(painted, out / "masks" / f"{Path(name).stem}.png", ignore)
        tally.add(image, painted)
    splits, split_notes = _write_lists(images, names, out)
    conversion = Conversion(
        splits=splits,
        objects=dict(tally.objects),
        empty=tally.empty,
        not_converted=dict(tally.reasons + Counter(annotations.unplaced)),
        skipped=len(annotations.images) - len(images),
        notes=(*annotations.notes, *split_notes, *tally.notes()),
    )
    if not any(conversion.objects.values()):
        reasons = "; ".join(f"{reason} ({count})" for reason, count in conversion.not_converted.items()) or "there are none"
        raise DataError(f"{annotations.root}: no object could be converted: {reasons}.")
    (out / "dataset.toml").write_text(_description(annotations, conversion, classes, ignore, out.name), encoding="utf-8")
    return conversion


def class_ids(declared: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names with background as id 0, and the id of each declared name; equal names are one class."""
    distinct = list(dict.fromkeys(declared))
    background = next((name for name in distinct if name.lower() in _BACKGROUND), "background")
    classes = (background, *(name for name in distinct if name != background))
    if len(classes) < 2:
        raise DataError("the annotations name no class besides background.")
    if len(classes) > 65535:
        raise DataError(f"the annotations name {len(classes)} classes; a mask holds 65535.")
    return classes, {name: index for index, name in enumerate(classes)}


class _Tally:
    """Counts of what was painted."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.objects: Counter[str] = Counter(dict.fromkeys(classes[1:], 0))
        self.reasons: Counter[str] = Counter()
        self.empty = self.tagged = 0

    def add(self, image: AnnotatedImage, painted: Painted) -> None:
        self.objects.update(painted.labels)
        self.reasons.update(painted.reasons)
        self.empty += not painted.labels and not painted.reasons
        self.tagged += painted.assumed_upright

    def notes(self) -> list[str]:
        absent = [name for name, count in self.objects.items() if not count]
        notes = [f"no object of {', '.join(absent[:5])}{f' and {len(absent) - 5} more' if len(absent) > 5 else ''}"] if absent else []
        if self.tagged:
            notes.append(
                f"{counted(self.tagged, 'image')} with an orientation tag: taken as annotated upright, as viewers show them; "
                "sizes do not tell. See: segbench data preview"
            )
        return notes


def _file_names(images: Sequence[AnnotatedImage], root: Path) -> list[str]:
    """A file name in the new folder for each image: its own, with its folders where another one has it, too."""
    used: set[str] = set()
    seen: dict[Path, AnnotatedImage] = {}
    names = []
    own = Counter(Path(image.file or "").stem.casefold() for image in images)
    for image in images:
        file = Path(image.file or "")
        if file in seen:
            both = f"in the splits '{seen[file].split}' and '{image.split}'" if seen[file].split != image.split else "twice"
            raise DataError(f"{file} is annotated {both}. Each image must be listed once.")
        seen[file] = image
        path = file.relative_to(root) if own[file.stem.casefold()] > 1 else Path(file.name)
        stem = plain = re.sub(r"[\s,;'\"#*?\[\]/\\]+", "_", str(path.with_suffix("")))
        number = 1
        while stem.casefold() in used:
            number += 1
            stem = f"{plain}-{number}"
        used.add(stem.casefold())
        names.append(stem + file.suffix)
    return names


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _save(painted: Painted, target: Path, ignore: int) -> None:
    picture = Image.fromarray(painted.ids)
    if ignore == 255:
        picture.putpalette(_palette())
    picture.save(target)


def _palette() -> list[int]:
    """Pascal VOC's colour map (bit-reversed ids; VOC devkit, VOClabelcolormap.m), which gives 255 a light colour."""
    channels = ((index, channel) for index in range(256) for channel in range(3))
    return [sum(((index >> (channel + 3 * bit)) & 1) << (7 - bit) for bit in range(3)) for index, channel in channels]


def _write_lists(images: Sequence[AnnotatedImage], names: Sequence[str], out: Path) -> tuple[dict[str, int], list[str]]:
    """Write a list for each split, and count; none where the source has no two splits to train and to score on."""
    without = [image.name for image in images if not image.split]
    splits = {split: count for split in ("train", "val", "test") if (count := sum(image.split == split for image in images))}
    if not splits:
        return {"": len(images)}, []
    if without:
        raise DataError(
            f"{counted(len(without), 'image')} ({without[0]}, ..) in no split, others in {', '.join(splits)}. Name one for each."
        )
    if "train" not in splits or len(splits) == 1:
        return {"": len(images)}, [f"the source has only {' and '.join(splits)}: images are divided by shares (option split)"]
    for split in splits:
        listed = [name for image, name in zip(images, names, strict=True) if image.split == split]
        (out / f"{split}.txt").write_text("".join(f"{name}\n" for name in listed), encoding="utf-8")
    return splits, ["no validation split: runs need train.select_on=none (the last epoch is kept)"] if "val" not in splits else []


def _description(annotations: Annotations, conversion: Conversion, classes: Sequence[str], ignore: int, name: str) -> str:
    lists = {split: f"{split}.txt" for split in conversion.splits if split}
    options: dict[str, Any] = {"name": name, "images": "images", "masks": "masks", "classes": list(classes), "ignore": ignore, **lists}
    provenance: Mapping[str, Any] = {
        "format": annotations.format,
        "segbench": __version__,
        "files": list(annotations.files),
        "images": sum(conversion.splits.values()),
        "without_objects": conversion.empty,
        "missing": conversion.skipped,
        "notes": list(conversion.notes),
        "objects": dict(conversion.objects),
        "not_converted": dict(conversion.not_converted),
    }
    document = {"dataset": "folder", "options": options, "provenance": provenance}
    return _HEAD.format(format=annotations.format, dataset="folder") + tomli_w.dumps(document, multiline_strings=False)
