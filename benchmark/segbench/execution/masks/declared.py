"""The classes and colours of masks as a user declares them, in one line or in a file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from segbench.errors import ConfigError, did_you_mean
from segbench.execution.masks.classes import CLASSES_FORM, COLOURS_FORM, DATASET_COLOURS, NO_CLASS, MaskClasses
from segbench.plugin.class_map import IGNORE
from segbench.plugin.specs import Task
from segbench.util.named_colours import Colour, named_colour

_NUMBERED = re.compile(r"\s*(\d+)\s*[:,;\t]\s*(\S.*)")


def declared_classes(classes: str | None, colours: str | None, task: Task) -> MaskClasses | None:
    """The classes that ``--classes`` and ``--colours`` declare; None where neither does. Raises :class:`ConfigError`."""
    names, values = parse_classes(classes) if classes else ((), None)
    if not colours:
        return MaskClasses(names, values, ignored=task.ignore_index) if classes else None
    pairs = _dataset_colours(task) if colours == DATASET_COLOURS else parse_colours(colours)
    names = names or tuple(dict.fromkeys(name for name, _ in pairs if name != IGNORE))
    unknown = [name for name, _ in pairs if name not in names and name != IGNORE]
    if unknown:
        raise ConfigError(f"--colours has '{unknown[0]}', which is none of --classes.{did_you_mean(unknown[0], names)}")
    table: dict[Colour, int] = {}
    for name, colour in pairs:
        index = NO_CLASS if name == IGNORE else names.index(name)
        if table.setdefault(colour, index) != index:
            raise ConfigError(f"--colours has the colour {' '.join(map(str, colour))} twice, for two classes ('{name}' is the second).")
    return MaskClasses(names, colours=table)


def parse_classes(text: str) -> tuple[tuple[str, ...], dict[int, int] | None]:
    """Class names, and the index of each stored value where the text numbers them; from one line or a file.

    >>> parse_classes("(sky, road)")
    (('sky', 'road'), None)
    >>> parse_classes("0:sky,7:road,8:road,255:ignore")
    (('sky', 'road'), {0: 0, 7: 1, 8: 1, 255: -1})
    """
    entries = _entries(text, "--classes")
    numbered = [_NUMBERED.fullmatch(entry) for entry in entries]
    if numbered and numbered[0] is None and len(entries) > 1 and all(numbered[1:]):  # the header of a table
        entries, numbered = entries[1:], numbered[1:]
    if not any(numbered):
        if len(set(entries)) < max(2, len(entries)):
            raise ConfigError(f"--classes names {', '.join(entries) or 'no class'}: give two or more, all different. {CLASSES_FORM}")
        return tuple(entries), None
    if not all(numbered):
        bare = next(entry for entry, match in zip(entries, numbered, strict=True) if match is None)
        raise ConfigError(f"--classes: '{bare}' has no id, others have one. {CLASSES_FORM}")
    pairs = [(int(match[1]), match[2].strip().strip("\"'")) for match in numbered if match]
    names = tuple(dict.fromkeys(name for _, name in pairs if name != IGNORE))
    values: dict[int, int] = {}
    for value, name in pairs:
        index = NO_CLASS if name == IGNORE else names.index(name)
        if values.setdefault(value, index) != index:
            raise ConfigError(f"--classes has the id {value} twice, for two classes ('{name}' is the second).")
    return names, values


def parse_colours(text: str) -> list[tuple[str, Colour]]:
    """Names with their colours, from one line or a file.

    >>> parse_colours("sky:128 128 128,road:#804080")
    [('sky', (128, 128, 128)), ('road', (128, 64, 128))]
    """
    pairs = []
    for position, entry in enumerate(_entries(text, "--colours")):
        pair = named_colour(entry)
        if pair is None:
            if position == 0 and not any(letter.isdigit() for letter in entry):  # the header of a table
                continue
            raise ConfigError(f"--colours: '{entry}' is no name with a colour. {COLOURS_FORM}")
        pairs.append(pair)
    if not pairs:
        raise ConfigError(f"--colours: there is no colour in '{text}'. {COLOURS_FORM}")
    return pairs


def _dataset_colours(task: Task) -> Sequence[tuple[str, Colour]]:
    if not task.palette:
        raise ConfigError(f"--colours {DATASET_COLOURS}: this dataset declares no colours. {COLOURS_FORM}")
    return [(name, (red, green, blue)) for name, (red, green, blue) in zip(task.class_names, task.palette, strict=True)]


def _entries(text: str, flag: str) -> list[str]:
    """Entries of a file's lines, or of one line, without brackets around it and quotes."""
    path = Path(text)
    if _is_file(path):
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{flag} '{path}' cannot be read as text: {error}") from None
        entries: Iterable[str] = (line for line in lines if not line.lstrip().startswith("#"))
    elif "," not in text and ":" not in text:
        form = CLASSES_FORM if flag == "--classes" else COLOURS_FORM
        raise ConfigError(f"{flag} '{text}': there is no such file, and it is no list. {form}")
    else:
        entries = next(csv.reader([text.strip().removeprefix("(").removesuffix(")")], skipinitialspace=True), [])
    return [entry.strip() for entry in entries if entry.strip()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a path may be
        return False
