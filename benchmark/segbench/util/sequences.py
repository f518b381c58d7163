"""Helpers for sequences and for words in messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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


def known_mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are known, None where none is.

    >>> known_mean([1, None, 3]), known_mean([None])
    (2.0, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def listed(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def some_of(names: Iterable[str]) -> str:
    """The first three of some names in order, and how many more there are.

    >>> some_of({"d", "c", "b", "a"}), some_of(["a"])
    ('a, b, c and 1 more', 'a')
    """
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "cell"), counted(3, "cell"), counted(2, "class", "classes")
    ('1 cell', '3 cells', '2 classes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(190), duration(7300), duration(200000)
    ('42 s', '3 min 10 s', '2 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
