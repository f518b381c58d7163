"""Mask values mapped to class ids by rules as users write them.

``"0:0,255:1"`` maps values, ``"1-9:1"`` a range, ``"*:0"`` all others, ``"7:ignore"`` to what does not count.
``"1-150:-1"`` and ``"0-9:+1"`` are shifts: each value of the range plus the number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segbench import DataError, OptionError
from segbench_plugins.datasets.files import Array

_RULE = re.compile(r"(?:(-?\d+)(?:-(\d+))?|\*):([+-]?\d+|ignore)")
_FORMS = 'a rule is value:class, as in "0:0,255:1", range:class ("1-9:1"), range:shift ("1-150:-1") or value:ignore'
_MOST_VALUES = 65536  # masks have at most 16 bits


@dataclass(frozen=True)
class ValueMap:
    """The class id of each mask value; ``others`` is that of values without a rule of their own (None: they are an error)."""

    rules: Mapping[int, int] = field(default_factory=dict)
    others: int | None = None

    def apply(self, mask: Array, path: Path) -> Array:
        """Class ids int64 (H, W); raises :class:`DataError` where the mask holds values that no rule names."""
        values = distinct_values(mask)
        unknown = [value for value in values if value not in self.rules]
        if unknown and self.others is None:
            raise DataError(
                f"{path} holds {describe_values(unknown)}, which value_map does not name. Add rules for them, or '*:ignore' for the others."
            )
        return replace_values(mask, {value: self.rules.get(value, self.others or 0) for value in values})


def parse_value_map(text: str, *, num_classes: int, ignore: int, void: Sequence[int] = ()) -> ValueMap | None:
    """The rules in ``text``; None where it is empty. Values in ``void`` that no rule names are ignored, unless ``*`` takes them;
    a rule for one value goes before one for a range that holds it.

    Raises :class:`OptionError` with the form that is expected.

    >>> parse_value_map("0:0,255:1", num_classes=2, ignore=255)
    ValueMap(rules={0: 0, 255: 1}, others=None)
    >>> parse_value_map("0:0, 2-3:1, *:ignore", num_classes=2, ignore=9)
    ValueMap(rules={0: 0, 2: 1, 3: 1}, others=9)
    >>> parse_value_map("0:ignore,1-3:-1", num_classes=3, ignore=255)
    ValueMap(rules={0: 255, 1: 0, 2: 1, 3: 2}, others=None)
    """
    if not text.strip():
        return None
    single: dict[int, int] = {}
    ranges: dict[int, int] = {}
    others: int | None = None
    for part in text.split(","):
        rule = _RULE.fullmatch(part.replace(" ", ""))
        if rule is None:
            raise _refuse(text, f"'{part}' is not of the form value:class; {_FORMS}")
        first, last, target = rule.groups()
        if target[0] in "+-":
            _check_shift(text, part, first, int(target), ignore)
        to = 0 if target[0] in "+-" else _class_id(text, target, num_classes, ignore)
        if first is None:
            others = to
            continue
        values = range(int(first), min(int(last or first), _MOST_VALUES) + 1)
        if not values:
            raise _refuse(text, f"the range in '{part}' ends before it begins")
        rules = single if last is None else ranges
        for value in values:
            new = _shifted(text, part, value, int(target), num_classes) if target[0] in "+-" else to
            if rules.setdefault(value, new) != new:
                raise _refuse(text, f"'{part}' gives {value} a second class: keep one of the two rules")
    rules = dict(sorted((ranges | single).items()))
    if others is None:
        rules = {**dict.fromkeys(void, ignore), **rules}
    return ValueMap(rules, others)


def distinct_values(mask: Array) -> list[int]:
    """The values of a mask, ascending; fast for masks of at most 16 bits, whose values are counted instead of sorted."""
    if mask.size and mask.min() >= 0 and mask.max() < _MOST_VALUES:
        return [int(value) for value in np.flatnonzero(np.bincount(mask.ravel()))]
    return [int(value) for value in np.unique(mask)]


def replace_values(mask: Array, new: Mapping[int, int]) -> Array:
    """The mask as int64 with each value replaced; ``new`` has all of its values."""
    values = np.array(sorted(new), np.int64)
    ids = np.array([new[int(value)] for value in values], np.int64)
    if not len(values):
        return mask.astype(np.int64)
    if values[0] >= 0 and values[-1] < _MOST_VALUES:
        table = np.zeros(values[-1] + 1, np.int64)
        table[values] = ids
        return table[mask]
    return ids[np.searchsorted(values, mask)]


def describe_values(values: Sequence[int]) -> str:
    """Values in a sentence, the first eight of them.

    >>> describe_values([3]), describe_values([1, 2])
    ('the value 3', 'the values 1, 2')
    """
    text = ", ".join(map(str, values[:8])) + (", .." if len(values) > 8 else "")
    return f"the value {text}" if len(values) == 1 else f"the values {text}"


def _check_shift(text: str, part: str, first: str | None, shift: int, ignore: int) -> None:
    """Refuse a signed target that may mean two things."""
    if first is None:
        raise _refuse(text, f"'{part}': only a value or a range can be shifted. Write '*:ignore', or a class id without sign")
    if shift == ignore:
        raise _refuse(
            text,
            f"'{part}' may mean the shift by {shift} or the ignore value {ignore}. Write ':ignore', or for the shift choose another ignore",
        )


def _shifted(text: str, part: str, value: int, shift: int, num_classes: int) -> int:
    if not 0 <= value + shift < num_classes:
        raise _refuse(text, f"'{part}' makes {value} the class {value + shift}, but ids are 0 to {num_classes - 1}: change the range")
    return value + shift


def _class_id(text: str, target: str, num_classes: int, ignore: int) -> int:
    to = ignore if target == "ignore" else int(target)
    if to != ignore and not 0 <= to < num_classes:
        raise _refuse(text, f"there is no class {to}, ids are 0 to {num_classes - 1}, or write 'ignore'")
    return to


def _refuse(text: str, reason: str) -> OptionError:
    return OptionError(f"folder: value_map = '{text}': {reason}")
