"""Curves in one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"


def sparkline(values: Sequence[float | None], width: int, *, signs: str = BLOCKS) -> str:
    """At most ``width`` signs from the lowest value to the highest; a longer curve is averaged, a gap is a space.

    >>> sparkline([1, 2, 3, 4], 10), sparkline([3, None, 0], 10), sparkline([2, 2], 10), sparkline([0, 0, 7, 7], 2)
    ('▁▃▆█', '█ ▁', '▁▁', '▁█')
    """
    means = _thinned(values, width)
    known = [value for value in means if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(signs) - 1)
    return "".join(" " if value is None else signs[round((value - low) / step) if step > 0 else 0] for value in means)


def _thinned(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    bounds = [index * len(values) // width for index in range(width + 1)]
    return [_mean(values[start:end]) for start, end in pairwise(bounds)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
