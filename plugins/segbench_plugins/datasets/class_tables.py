"""Class names and colours of a ``folder`` dataset: given in options, or in files of the data folder."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segbench import OptionError, counted, did_you_mean, named_colour
from segbench_plugins.datasets import FolderOptions
from segbench_plugins.datasets.list_files import read_text

DEFAULT_CLASSES = ("background", "foreground")
PALETTE = "palette"
IGNORE = "ignore"

_NUMBERED = re.compile(r"(-?\d+)\s*[:=.)\s]\s*(\S.*)")
_STRUCTURE = re.compile(r"[\[{<].*|[\]}],?|\w+:|- .*|(?:path|train|val|test|nc|names|classes):.*")  # JSON, XML, YAML
_NAME_TITLES = ("name", "class", "class_name", "label", "label_name", "classes")
_ID_TITLES = ("id", "idx", "index", "value", "class_id", "label_id")
_COLOURS_FORM = (
    'write colours="background:0 0 0,disk:128 0 0" (or disk:#800000), a file with lines name,r,g,b in the data folder, or palette'
)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassTable:
    """Class names in the order of their ids, and the id of each colour (``ignore`` for those that do not count); empty without colours."""

    names: tuple[str, ...]
    colours: Mapping[Colour, int] = field(default_factory=dict)

    @property
    def palette(self) -> tuple[Colour, ...]:
        """The first colour of each class; empty without colours."""
        first = {index: colour for colour, index in reversed(list(self.colours.items()))}
        return tuple(first[index] for index in range(len(self.names))) if self.colours else ()


def class_table(options: FolderOptions, root: Path | None) -> ClassTable:
    """Names and colours of the classes; raises :class:`OptionError` where they contradict each other or a file cannot be read."""
    pairs = [] if options.colours in ("", PALETTE) else _colour_pairs(options.colours, root)
    names = _names(options, root) or tuple(dict.fromkeys(name for name, _ in pairs if name != IGNORE)) or DEFAULT_CLASSES
    unknown = [name for name, _ in pairs if name not in names and name != IGNORE]
    if unknown:
        near = did_you_mean(unknown[0], names)
        raise OptionError(
            f"folder: colours has '{unknown[0]}', which is no class.{near} Classes are: {', '.join(names)}. "
            f"Add it to classes, or name its colour '{IGNORE}'."
        )
    bare = [name for name in names if pairs and name not in {name for name, _ in pairs}]
    if bare:
        raise OptionError(f"folder: colours has none for the class '{bare[0]}'. Each class needs one; {_COLOURS_FORM}.")
    return ClassTable(names, _ids_of_colours(pairs, names, _ignore_index(options)))


def option_file(root: Path | None, text: str, option: str) -> Path:
    """The file in the data folder that an option names. Raises :class:`OptionError` where there is none.

    It has to lie in that folder: its content then is part of the data's digest, by which results are known to be up to date.
    """
    if root is None:
        raise OptionError(f"folder: {option} = '{text}' is a file of the data folder: give that folder with --data DIR.")
    path = root / text
    if not path.is_file():
        near = did_you_mean(Path(text).name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise OptionError(f"folder: {option} = '{text}': there is no file {path}.{near} Put it into the data folder.")
    if root.absolute() not in path.absolute().parents:
        raise OptionError(f"folder: {option} = '{text}' lies outside of the data folder {root}: copy it there.")
    return path


def _ignore_index(options: FolderOptions) -> int:
    return options.ignore if isinstance(options.ignore, int) else options.ignore[0]


def _names(options: FolderOptions, root: Path | None) -> tuple[str, ...]:
    if isinstance(options.classes, tuple):
        return options.classes
    file = option_file(root, options.classes, "classes")
    lines = [re.sub(r"\s#.*", "", line).strip() for line in _lines(file)]
    structured = next((line for line in lines if _STRUCTURE.fullmatch(line)), None)
    if structured is not None:
        raise OptionError(f"folder: {file} holds '{structured[:40]}', which is no class name: write one name a line, or id,name")
    names = _named_columns(file, _rows(lines), options) or tuple(lines)
    if len(names) < 2 or len(set(names)) < len(names):
        raise OptionError(
            f"folder: {file} holds {counted(len(names), 'name')} ({', '.join(names[:5])} ..): a task needs two or more, all different"
        )
    return names


def _lines(file: Path) -> list[str]:
    return [line for line in read_text(file).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _rows(lines: Sequence[str]) -> list[list[str]]:
    """Lines divided into columns: at a delimiter that each line has, or behind a number (``0: road``, ``0 road``)."""
    for delimiter in "\t;,":
        if all(delimiter in line for line in lines):
            return [[field.strip() for field in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    return [list(match.groups()) for match in numbered if match] if all(numbered) else [[line] for line in lines]


def _named_columns(file: Path, rows: Sequence[Sequence[str]], options: FolderOptions) -> tuple[str, ...]:
    """Names of a table, in the order of its ids or, where it has none, of its lines; empty where the file is no table."""
    if not rows or min(map(len, rows)) < 2:
        return ()
    titles = [title.casefold() for title in rows[0]]
    has_header = any(title in titles for title in (*_NAME_TITLES, *_ID_TITLES)) and not any(_is_whole(field) for field in rows[0])
    body = rows[1:] if has_header else rows
    whole = [column for column in range(min(map(len, rows))) if all(_is_whole(row[column]) for row in body)]
    titled = next((titles.index(title) for title in _ID_TITLES if has_header and title in titles), None)
    colours = len(whole) == 3 and titled is None  # red, green, blue
    if not body or not whole or (titled is not None and titled not in whole):
        return ()
    id_column = whole[0] if titled is None else titled
    others = [column for column in range(min(map(len, rows))) if column not in whole]
    name_column = next((titles.index(title) for title in _NAME_TITLES if has_header and title in titles), others[0] if others else None)
    if name_column is None:
        return ()
    if colours:
        return tuple(row[name_column] for row in body)
    return _in_order(file, [(int(row[id_column]), row[name_column]) for row in body], options)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def _in_order(file: Path, named: Sequence[tuple[int, str]], options: FolderOptions) -> tuple[str, ...]:
    """Names in the order of their ids; raises :class:`OptionError` for ids that are not 0, 1, 2 .. or 1, 2, 3 .."""
    ids = sorted(index for index, _ in named)
    first = ids[0]
    if first not in (0, 1) or ids != list(range(first, first + len(ids))):
        raise OptionError(
            f"folder: {file} has the ids {', '.join(map(str, ids[:8]))} ..: they have to run from 0 (or 1) without gaps. Leave out lines "
            "of values that do not count (ignore=255), and give other values their ids by value_map."
        )
    if first == 1 and not options.reduce_zero and not options.value_map and not options.colours:
        raise OptionError(
            f"folder: the ids in {file} start at 1, class ids at 0. Say what label 0 is: reduce_zero=true (it is ignored), or "
            f'value_map="0:ignore,1-{len(ids)}:-1"; where 0 is a class, add its line.'
        )
    return tuple(name for _, name in sorted(named))


def _colour_pairs(text: str, root: Path | None) -> list[tuple[str, Colour]]:
    """Names and colours in the order of an inline table or of a file."""
    if ":" in text and not re.fullmatch(r"[A-Za-z]:[\\/].*", text):
        parts: Iterable[str] = (part.strip() for part in text.split(",") if part.strip())
        where = f"colours = '{text}'"
    else:
        file = option_file(root, text, "colours")
        parts, where = _lines(file), str(file)
    pairs = []
    for position, part in enumerate(parts):
        pair = named_colour(part.strip())
        if pair is None:
            if position == 0 and not any(char.isdigit() for char in part):  # the header of a table
                continue
            raise OptionError(f"folder: {where}: '{part.strip()}' is no name with a colour; {_COLOURS_FORM}.")
        pairs.append(pair)
    if not pairs:
        raise OptionError(f"folder: {where}: there is no colour in it; {_COLOURS_FORM}.")
    return pairs


def _ids_of_colours(pairs: Sequence[tuple[str, Colour]], names: Sequence[str], ignore: int) -> dict[Colour, int]:
    ids = {name: index for index, name in enumerate(names)} | {IGNORE: ignore}
    result: dict[Colour, int] = {}
    for name, colour in pairs:
        if result.setdefault(colour, ids[name]) != ids[name]:
            raise OptionError(f"folder: colours has {' '.join(map(str, colour))} twice, for two classes ('{name}' is the second).")
    return result
