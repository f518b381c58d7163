"""Annotations as every format gives them: images with objects, each of a class, with the regions that it covers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench import DataError, counted
from segbench_plugins.converters.regions import Region

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}
"""Names of splits as people write them, and as segbench does."""


@dataclass(frozen=True)
class AnnotatedObject:
    """One object: its class and the regions whose union it is.

    label   its class name; ignored where there is a reason
    reason  why the object is not painted as a class; its pixels, as far as its regions tell them, are ignored then
    layer   objects of a higher layer hide those of a lower one; within a layer smaller ones hide larger ones
    where   where the object stands in its file, for messages
    """

    label: str
    regions: tuple[Region, ...]
    reason: str = ""
    layer: int = 0
    where: str = ""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image with its objects.

    name   as its annotations call it
    file   where it is on disk; None where it is not
    size   (width, height) of the picture that the objects were drawn on; None where the format does not say
    split  "train", "val", "test", or "" where the source has none
    """

    name: str
    file: Path | None
    objects: Sequence[AnnotatedObject]
    size: tuple[int, int] | None = None
    split: str = ""


@dataclass(frozen=True)
class Annotations:
    """All that a source holds.

    format    name of the converter
    root      the source's folder
    files     what was read, relative to the root
    classes   class names in the order of their ids, without background unless the source has it as a class
    unplaced  objects that belong to no image, counted by reason
    notes     sentences on what was decided
    """

    format: str
    root: Path
    files: tuple[str, ...]
    classes: tuple[str, ...]
    images: Sequence[AnnotatedImage]
    unplaced: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_json(path: Path, keys: Iterable[str], what: str) -> dict[str, Any]:
    """The object in a JSON file; raises :class:`DataError` where it is none or lacks one of ``keys``."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. Is it complete? Export or copy it again.") from None
    missing = [key for key in keys if not isinstance(document, dict) or key not in document]
    if missing:
        raise DataError(f"{path} is not {what}: it has no {', '.join(map(repr, missing))}.")
    return dict(document)


def find_image(name: object, *, root: Path, folders: Iterable[Path], listed: Path) -> Path | None:
    """The file that ``listed`` calls ``name``, in the first of ``folders`` that has it; None where none has it.

    Of a name that leads out of ``root`` (another computer's) the end counts that a folder has; raises :class:`DataError` without one.
    """
    text, folders = str(name).replace("\\", "/"), list(folders)
    if not isinstance(name, str) or not text.strip("/") or "\0" in text:
        raise DataError(f"{listed} names the image {name!r}: expected the name of a file.")
    candidates = [os.path.normpath(folder / text) for folder in folders]  # an absolute name replaces the folder
    within = [path for path in candidates if Path(path).is_relative_to(root)]
    for path in within:
        if os.path.isfile(path):
            return inside(Path(path), root, listed)
    if within and text[1:3] != ":/":
        return None
    moved = not any(os.path.isfile(path) for path in candidates)
    for end in _ends(text, folders) if moved else ():  # a path of another computer, or of before the files were moved together
        if end.is_file():
            return inside(end, root, listed)
    raise _outside(name, root, listed)


def _ends(text: str, folders: Iterable[Path]) -> Iterator[Path]:
    """The ends of a path in each folder, the longest first."""
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        for folder in folders:
            yield folder.joinpath(*parts[start:])


def inside(path: Path, root: Path, listed: Path) -> Path:
    """``path``, which must not lead out of ``root`` by symbolic links, either."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise _outside(str(path), root, listed)
    return path


def refuse_missing(images: Sequence[AnnotatedImage], root: Path, *, skip_missing: bool) -> list[AnnotatedImage]:
    """The images that are on disk; raises :class:`DataError` where others are listed and not to be skipped, or where none is left."""
    present = [image for image in images if image.file is not None]
    missing = [image.name for image in images if image.file is None]
    if not images:
        raise DataError(f"{root}: the annotations list no images.")
    if missing and not (skip_missing and present):
        names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        remedy = "Copy them there, or leave them out: --skip-missing." if present else "Copy the images there."
        raise DataError(f"{len(missing)} of {counted(len(images), 'annotated image')} not on disk below {root}: {names}. {remedy}")
    return present


def _outside(name: object, root: Path, listed: Path) -> DataError:
    return DataError(
        f"{listed} names the image '{name}', which lies outside of {root}. Give the folder that holds images and annotations, "
        "or put the images beside the annotations."
    )
