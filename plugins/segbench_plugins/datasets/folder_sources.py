"""Sources of a ``folder`` dataset: files of a folder, or those that a pattern with ``*`` matches, each with the key that it is paired by.

The key of a file is its path below the source without what the source's files have in common (``_rgb``, ``.png``). It is in Unicode's
composed form (NFC): a name that a Mac wrote in parts is the same name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench import IMAGE_SUFFIXES, DataError, OptionError, did_you_mean

_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"))
_SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini"))
_ANY_ENDING = r"\.[^./]+"


@dataclass(frozen=True)
class Source:
    """A folder or pattern: ``text`` as the option has it, ``place`` with the data folder before it.

    ``several``: one key may have several files (``*_mask*.png``).
    ``by_first`` matches as ``pattern`` does, but the first ``*`` alone is the key: ``*/masks/*.png`` are then many masks of one image.
    """

    text: str
    place: str
    base: Path
    pattern: re.Pattern[str]
    by_first: re.Pattern[str] | None
    literals: int
    several: bool
    depth: int | None

    def key(self, relative: str, *, first: bool = False) -> str | None:
        """The key of a file at ``relative``, a path below ``base``; None where it is not a file of this source."""
        if os.path.splitext(relative)[1].lower() not in IMAGE_SUFFIXES:
            return None
        match = (self.by_first if first and self.by_first else self.pattern).fullmatch(nfc(relative))
        return "/".join(group for group in match.groups() if group) if match else None


def make_source(root: Path, text: str, *, suffix: str = "", option: str) -> Source:
    """The source that an option names: a folder, or a pattern. Raises :class:`OptionError` for a pattern that has a suffix beside it."""
    if "*" not in text:
        pattern = re.compile(rf"(?:(.+)/)?([^/]+?){re.escape(nfc(suffix))}{_ANY_ENDING}")
        base = _same_name(root, Path(text))
        return Source(text, str(base), base, pattern, None, len(text) + len(suffix), several=False, depth=None)
    if suffix:
        raise OptionError(f"folder: {option} = '{text}' is a pattern and says itself how names end: leave {option.rstrip('s')}_suffix out")
    parts = nfc(text).replace("\\", "/").split("/")
    start = next(index for index, part in enumerate(parts) if "*" in part)
    base = _same_name(root, Path(*parts[:start])) if start else root
    name, ending = _split_ending(parts[-1])
    inner = [*parts[start:-1], name]
    pattern, stars = _pattern(inner, ending, first_only=False)
    folder_stars = sum(part.count("*") for part in inner[:-1] if part != "**")
    return Source(
        text=text,
        place=str(root / text),
        base=base,
        pattern=pattern,
        by_first=_pattern(inner, ending, first_only=True)[0] if folder_stars and stars > 1 else None,
        literals=len(text.replace("*", "")),
        several=name.count("*") > 1,
        depth=None if "**" in inner else len(inner),
    )


def files_of(sources: Sequence[Source], *, first: bool = False) -> list[dict[str, list[Path]]]:
    """For each source its files by key, sorted. A file that two sources match belongs to the one that says more of its name."""
    owners: dict[Path, list[tuple[int, str]]] = {}
    for index, source in enumerate(sources):
        for relative in walk(source.base, source.depth):
            key = source.key(relative, first=first)
            if key is not None:
                owners.setdefault(source.base / relative, []).append((index, key))
    found: list[dict[str, list[Path]]] = [{} for _ in sources]
    for path in sorted(owners):
        most = max(sources[index].literals for index, _ in owners[path])
        for index, key in owners[path]:
            if sources[index].literals == most:
                found[index].setdefault(key, []).append(path)
    return found


def require_folder(source: Source) -> None:
    """Raise :class:`DataError` where a source's folder does not exist, with the nearest name."""
    folder = source.base
    if not folder.is_dir():
        near = did_you_mean(folder.name, (path.name for path in folder.parent.iterdir())) if folder.parent.is_dir() else ""
        raise DataError(f"the folder {folder} is not there.{near} Name yours: folder[images=..,masks=..]")


def walk(folder: Path, depth: int | None = None) -> Iterator[str]:
    """Paths below ``folder`` of all files in it, with ``/``; hidden files and those of operating systems are left out, links followed."""
    yield from _walk(str(folder), "", depth, frozenset())


def nfc(text: str) -> str:
    """Text in Unicode's composed form."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _walk(folder: str, prefix: str, depth: int | None, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above or not os.path.isdir(folder):  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.name.startswith(".") or entry.name in _SYSTEM_FOLDERS or entry.name.lower() in _SYSTEM_FILES:
            continue
        if entry.is_dir():
            if depth is None or depth > 1:
                yield from _walk(entry.path, f"{prefix}{entry.name}/", None if depth is None else depth - 1, above | {real})
        else:
            yield prefix + entry.name


def _split_ending(name: str) -> tuple[str, str]:
    """The last part of a pattern without its ending, and the expression for the ending: as written in any case, or any."""
    stem, dot, ending = name.rpartition(".")
    if dot and ending == "*":
        return stem, _ANY_ENDING
    if dot and f".{ending.lower()}" in IMAGE_SUFFIXES:
        return stem, rf"(?i:\.{re.escape(ending)})"
    return name, _ANY_ENDING


def _pattern(parts: Sequence[str], ending: str, *, first_only: bool) -> tuple[re.Pattern[str], int]:
    """The expression of a pattern below its base, and how many single stars it has: those of folders and the name's first are captured."""
    text, stars = "", 0
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**" and not last:
            text += r"(?:(.+)/)?"
            continue
        for position, piece in enumerate(part.split("*")):
            if position:
                captured = stars == 0 if first_only else not last or position == 1
                text += "([^/]+?)" if captured else "[^/]*?"
                stars += 1
            text += re.escape(piece)
        text += ending if last else "/"
    return re.compile(text), stars


def _same_name(root: Path, name: Path) -> Path:
    """``root / name``, or the folder there whose name is the same text in another Unicode form."""
    path = root / name
    if path.exists() or str(name).isascii():
        return path
    found = root
    for part in name.parts:
        alike = [entry for entry in found.iterdir() if nfc(entry.name) == nfc(part)] if found.is_dir() else []
        found = alike[0] if len(alike) == 1 else found / part
    return found
