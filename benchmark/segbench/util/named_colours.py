"""Colours with the names of their classes, in the spellings that annotation tools write."""

from __future__ import annotations

import re

Colour = tuple[int, int, int]

_NUMBERS = r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})"
_NAME_FIRST = re.compile(rf"(?:\d+[,;:])?\s*(.*[^\W\d].*?)\s*[:,;\s]\s*\(?{_NUMBERS}\)?(?:\s*[:,;].*)?")
_NAME_LAST = re.compile(rf"{_NUMBERS}[\s,;:]+(\S.*)")
_HEXADECIMAL = re.compile(r"(?:\d+[,;:])?\s*(.+?)\s*[:,;\s]\s*#?([0-9a-fA-F]{6})(?:\s*[:,;].*)?")


def named_colour(text: str) -> tuple[str, Colour] | None:
    """A name with its colour in one of the usual spellings; None where it is none.

    >>> named_colour("disk:128 0 0"), named_colour("disk:#800000"), named_colour("disk,128,0,0"), named_colour("disk:128,0,0::")
    (('disk', (128, 0, 0)), ('disk', (128, 0, 0)), ('disk', (128, 0, 0)), ('disk', (128, 0, 0)))
    >>> named_colour("64 128 64  Animal"), named_colour("3,road sign,128,64,128")
    (('Animal', (64, 128, 64)), ('road sign', (128, 64, 128)))
    """
    text = text.replace('"', "")
    if match := _NAME_FIRST.fullmatch(text):
        name, *parts = match.groups()
    elif match := _NAME_LAST.fullmatch(text):
        *parts, name = match.groups()
    elif match := _HEXADECIMAL.fullmatch(text):
        name, digits = match.groups()
        parts = [str(int(digits[at : at + 2], 16)) for at in (0, 2, 4)]
    else:
        return None
    red, green, blue = (int(part) for part in parts)
    return (name.strip().strip("\"'"), (red, green, blue)) if max(red, green, blue) <= 255 else None
