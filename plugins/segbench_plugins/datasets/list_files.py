"""List files as people have them: which samples a list names, whatever wrote it.

Read are: UTF-8 with or without a byte order mark, UTF-16 and Windows' 8-bit text; any line ends; comments (``#``); names with or without
folders (also of another computer, also with backslashes), endings, quotes or spaces; several columns, with or without header and index.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench import IMAGE_SUFFIXES, DataError
from segbench_plugins.datasets.folder_sources import nfc

_HEADER_WORDS = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "mask",
        "masks",
        "label",
        "labels",
        "annotation",
        "annotations",
        "file",
        "filename",
        "filenames",
        "file_name",
        "path",
        "name",
        "names",
        "id",
        "ids",
        "image_id",
        "image_path",
        "mask_path",
        "label_path",
        "imageid",
        "stem",
        "sample",
        "samples",
        "split",
        "index",
        "idx",
        "no",
        "nr",
    ]
)
_INDEX_WORDS = frozenset(("", "index", "idx", "no", "nr", "unnamed: 0"))
_ENDINGS = "|".join(sorted(map(re.escape, IMAGE_SUFFIXES), key=len, reverse=True))
_FILE_NAMES = re.compile(rf"\S.*?(?:{_ENDINGS})(?=[\s,;|]|$)", re.IGNORECASE)

Row = tuple[str, ...]


@dataclass(frozen=True)
class NameIndex:
    """Finds the key that a name in a list stands for. ``tails`` has every end of every file's path; None where it is not unique."""

    tails: Mapping[str, str | None]

    def key(self, name: str) -> str | None:
        """The key of the longest end of the path ``name`` that is known; None where there is none or it is ambiguous."""
        for parts in _spellings(name):
            for start in range(len(parts)):
                tail = "/".join(parts[start:])
                if tail in self.tails:
                    return self.tails[tail]
        return None


def index_names(names: Mapping[str, Sequence[str]]) -> NameIndex:
    """The index of keys with, for each, the names of its files: paths without ending, with ``/``."""
    tails: dict[str, str | None] = {}
    for key, paths in names.items():
        for path in (key, *paths):
            parts = nfc(path).split("/")
            for start in range(len(parts)):
                tail = "/".join(parts[start:])
                tails[tail] = key if tails.get(tail, key) == key else None
    return NameIndex({**tails, **{key: key for key in names}})


def read_list(file: Path, key_of: Callable[[str], str | None]) -> tuple[list[str], list[str]]:
    """Keys that a list names, in order and with repetitions, and names that ``key_of`` does not know.

    Of several columns the first counts in which most names are known; a line whose columns name different samples raises
    :class:`DataError`, as does a list without names.
    """
    lines = _lines(file)
    if not lines:
        raise DataError(f"{file} names no sample: it is empty. Write one name a line.")
    rows, column = _best_reading(lines, key_of)
    keys, unknown = [], []
    for row in rows:
        name = row[column] if column < len(row) else row[0]
        key = key_of(name)
        _refuse_other_sample(file, row, key, key_of)
        if key is None:
            unknown.append(name)
        else:
            keys.append(key)
    return keys, unknown


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or, where it is neither, Windows' code page 1252."""
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:200]:  # UTF-16 without a mark: every second byte of plain text is 0
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _best_reading(lines: Sequence[str], key_of: Callable[[str], str | None]) -> tuple[list[Row], int]:
    """The division of lines into columns, and the column, in which most names are known; the header line is left out."""
    best: tuple[tuple[int, bool], list[Row], int] | None = None
    for rows in _readings(lines, key_of):
        for column, body in _columns(rows, key_of):
            names = [row[column] for row in body if column < len(row)]
            known = sum(key_of(name) is not None for name in names)
            score = known, any("/" in name or _ending(name) for name in names)
            if best is None or score > best[0]:
                best = score, body, column
            if known == len(lines):
                break
    assert best is not None  # words are always one reading
    return best[1], best[2]


def _readings(lines: Sequence[str], key_of: Callable[[str], str | None]) -> Iterator[list[Row]]:
    """The lines divided in each way that lists are written."""
    if not any(_holds_several(line, key_of) for line in lines):
        yield [(line.strip("\"'"),) for line in lines]
    for delimiter in ",;\t":
        if any(delimiter in line for line in lines):
            yield [
                tuple(field.strip().strip("'") for field in row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            ]
    yield [tuple(_FILE_NAMES.findall(line) or line.split()) for line in lines]
    yield [tuple(line.split()) for line in lines]


def _holds_several(line: str, key_of: Callable[[str], str | None]) -> bool:
    """True where a line is more than one name, which may itself hold spaces."""
    if len(_FILE_NAMES.findall(line)) > 1:
        return True
    fields = re.split(r"[\s,;]+", line)
    return len(fields) > 1 and sum(key_of(field) is not None for field in fields) > 1


def _columns(rows: Sequence[Row], key_of: Callable[[str], str | None]) -> Iterator[tuple[int, list[Row]]]:
    """Columns that may hold names, each with the rows below the header; a running number is one only where nothing else is."""
    header = tuple(field.strip("\"'").casefold() for field in rows[0])
    has_header = any(word in _HEADER_WORDS for word in header) and not any(key_of(field) for field in rows[0])
    body = list(rows[1:] if has_header else rows)
    width = max(map(len, body), default=0)
    numbers = [column for column in range(width) if _is_index(header[column : column + 1] if has_header else ("?",), body, column)]
    named = [column for column in range(width) if column not in numbers]
    for column in named or range(width):
        yield column, body
    if not width:
        yield 0, list(rows)


def _is_index(title: Sequence[str], body: Sequence[Row], column: int) -> bool:
    """True where a column of several is a running number."""
    values = [row[column] for row in body if column < len(row)]
    counts = [str(number) for number in range(len(values))], [str(number + 1) for number in range(len(values))]
    return bool(set(title) & _INDEX_WORDS) or (len(values) > 1 and values in counts)


def _refuse_other_sample(file: Path, row: Row, key: str | None, key_of: Callable[[str], str | None]) -> None:
    if key is None or len(row) < 2:
        return
    for field in row:
        other = key_of(field) if _ending(field) or "/" in field or "\\" in field else None
        if other is not None and other != key:
            raise DataError(
                f"{file} pairs files of two samples: {', '.join(row)}. Image and mask are paired by name, so this line cannot be followed. "
                "Rename the files to one stem each, or correct the line."
            )


def _ending(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()
    return ending if ending in IMAGE_SUFFIXES else ""


def _spellings(name: str) -> Iterator[list[str]]:
    """The parts of a path in a list, without the ending of a picture, then with it."""
    plain = nfc(name.strip().strip("\"'")).replace("\\", "/")
    ending = _ending(plain)
    for text in (plain[: len(plain) - len(ending)], plain) if ending else (plain,):
        yield [part for part in text.split("/") if part not in ("", ".")]
