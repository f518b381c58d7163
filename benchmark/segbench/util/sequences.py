"""Helpers for sequences and for words in messages."""

from __future__ import annotations

from collections.abc import Sequence


def evenly_spaced(count: int, size: int) -> tuple[int, ...]:
    """At most ``size`` positions spread evenly over ``count``, the same each time.

    >>> evenly_spaced(10, 3), evenly_spaced(2, 5), evenly_spaced(0, 5)
    ((1, 5, 8), (0, 1), ())
    """
    size = min(size, count)
    return tuple(int((i + 0.5) * count / size) for i in range(size))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, the name of its type where it has none.

    >>> first_line(ValueError("too small\\nfor this")), first_line(KeyError())
    ('too small', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
