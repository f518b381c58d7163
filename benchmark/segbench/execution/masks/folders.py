"""Folders of predicted masks, and their files paired with the images of a split by name."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.data.reader.read import IMAGE_SUFFIXES
from segbench.errors import ConfigError, DataError, did_you_mean
from segbench.plugin.choice import slug
from segbench.results.predictions import PredictionDocument, read_predictions
from segbench.util.near_misses import near_miss
from segbench.util.sequences import counted

SUFFIX = "--suffix"
_MASKS = "masks"
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir"))
_SHOWN = 3


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks under the name that reports give it.

    files   by key: the path below the folder without ending and suffix, in Unicode's composed form
    record  what ``segbench predict`` wrote beside its masks; None for masks of any other origin
    """

    name: str
    path: Path
    files: Mapping[str, Path]
    record: PredictionDocument | None = None


@dataclass(frozen=True)
class PairedMasks:
    """Mask files by the position of their image in the split, ids of images without a mask, and keys of masks without an image."""

    files: Mapping[int, Path]
    missing: Sequence[str]
    extra: Sequence[str]


def open_folders(texts: Sequence[str | Path], *, suffix: str = "") -> list[MaskFolder]:
    """The folders that are named by ``DIR`` or ``NAME=DIR``, each under a name of its own.

    ``suffix`` is what the masks' names have behind the images' (``_pred``); other files are left alone.
    Raises :class:`ConfigError` for a folder that is not there or that holds no masks, and for equal names.
    """
    if not texts:
        raise ConfigError("Which masks? Give one folder or several: segbench score DIR [DIR ..] --dataset NAME --split val.")
    named = [_named(str(text)) for text in texts]
    places = [_place(path) for _, path in named]
    shown = [place.parent if record is not None and place.name == _MASKS else place for place, record in places]
    short = iter(_short_names([place for (name, _), place in zip(named, shown, strict=True) if not name]))
    names = [name or next(short) for name, _ in named]
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ConfigError(f"Two folders of masks are called '{twice}'. Give each a name of its own: first=DIR second=DIR.")
    return [MaskFolder(name, place, _files(place, suffix), record) for name, (place, record) in zip(names, places, strict=True)]


def pair_masks(folder: MaskFolder, ids: Sequence[str], *, split: str, partial: bool = False) -> PairedMasks:
    """The masks of a split's images: by the image's id, by that id as a file name, or by the last part of its path where that is unique.

    Raises :class:`DataError` for images without a mask and for masks of no image, with the likely cause; ``partial`` leaves both out.
    """
    key_of = _matched(folder, ids, split)
    missing = [name for position, name in enumerate(ids) if position not in key_of]
    taken = set(key_of.values())
    extra = [key for key in folder.files if key not in taken]
    if not key_of or (missing and not partial):
        raise DataError(_missing_text(folder, ids, missing, extra, split))
    if extra and not partial:
        which = f"{counted(len(extra), 'mask is', 'masks are')} of no image of '{split}': {_some(extra)}"
        raise DataError(
            f"masks '{folder.name}': {which}. Is it the right split? --partial leaves {'it' if len(extra) == 1 else 'them'} out, "
            "and scores the others."
        )
    return PairedMasks({position: folder.files[key] for position, key in key_of.items()}, missing, extra)


def _named(text: str) -> tuple[str, Path]:
    """The name that the user gives, or an empty one, and the folder."""
    name, equals, place = text.partition("=")
    if equals and place and name and os.sep not in name and not Path(text).exists():
        return name, Path(place).expanduser()
    return "", Path(text).expanduser()


def _place(path: Path) -> tuple[Path, PredictionDocument | None]:
    """Where the masks lie, and what ``segbench predict`` wrote beside them."""
    path = Path(os.path.abspath(path))
    if not path.is_dir():
        what = "is a file" if path.exists() else "is not there"
        near = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise ConfigError(f"'{path}' {what}: give a folder of masks, one for each image of the split.{near}")
    record = read_predictions(path)
    if record is not None and (path / _MASKS).is_dir():
        return path / _MASKS, record
    return path, record or (read_predictions(path.parent) if path.name == _MASKS else None)


def _short_names(places: Sequence[Path]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart.

    >>> _short_names([Path("/a/first/masks"), Path("/a/second/masks")]), _short_names([Path("/a/new"), Path("/a/old")])
    (['first/masks', 'second/masks'], ['new', 'old'])
    """
    depth = 1
    while True:
        names = ["/".join(place.parts[-depth:]) for place in places]
        if len(set(names)) == len(names) or depth >= max(len(place.parts) for place in places):
            return names
        depth += 1


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for relative in _walk(folder):
        stem, ending = os.path.splitext(_nfc(relative))
        if ending.lower() not in IMAGE_SUFFIXES or not stem.endswith(_nfc(suffix)):
            continue
        key = stem.removesuffix(_nfc(suffix))
        if key in files:
            raise DataError(f"{files[key]} and {folder / relative} are two masks of one image: which counts? Remove one.")
        files[key] = folder / relative
    if not files:
        ending = f" whose names end in '{suffix}'" if suffix else ""
        raise ConfigError(f"'{folder}' holds no masks{ending} ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return files


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, with ``/``; hidden ones are left out."""
    for base, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SYSTEM_FOLDERS)
        inside = Path(base).relative_to(folder).as_posix()
        yield from (name if inside == "." else f"{inside}/{name}" for name in sorted(names) if not name.startswith("."))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _matched(folder: MaskFolder, ids: Sequence[str], split: str) -> dict[int, str]:
    """For each position in the split the key of its mask, where it has one."""
    names = [_nfc(name) for name in ids]
    key_of: dict[int, str] = {}
    for position, name in enumerate(names):
        key = next((key for key in (name, slug(ids[position])) if key in folder.files), None)
        if key is not None:
            key_of[position] = key
    taken = set(key_of.values())
    by_last: dict[str, list[str]] = {}
    for key in folder.files:
        if key not in taken:
            by_last.setdefault(_last(key), []).append(key)
    counts = Counter(map(_last, names))
    for position, name in enumerate(names):
        keys = by_last.get(_last(name), [])
        if position in key_of or counts[_last(name)] > 1 or not keys:
            continue
        if len(keys) > 1:
            both = " and ".join(str(folder.files[key]) for key in keys[:2])
            raise DataError(f"masks '{folder.name}': {both} may both be the mask of '{ids[position]}' of '{split}'. Remove one.")
        key_of[position] = keys[0]
    return key_of


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _missing_text(folder: MaskFolder, ids: Sequence[str], missing: Sequence[str], extra: Sequence[str], split: str) -> str:
    example = f"{folder.path} holds '{next(iter(extra or folder.files))}', for example"
    hint = near_miss(map(_nfc, missing), extra, suffix_options=(None, SUFFIX)) if extra else ""
    hint = f" {hint}".replace("rename one side.", "rename the masks.") if hint else ""
    if len(missing) == len(ids):
        other = "" if hint else f" Are they masks of another dataset or split? An image of '{split}' is called '{ids[0]}'."
        return f"masks '{folder.name}': there is none for any of the {counted(len(ids), 'image')} of '{split}': {example}.{hint}{other}"
    which = f"{len(missing)} of the {counted(len(ids), 'image')} of '{split}' have no mask: {_some(missing)}"
    return f"masks '{folder.name}': {which} ({example}).{hint} Add them, or score those that are there: --partial."


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
