"""Names that were meant to be the same: one example of each side, the likely difference and what to do about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from itertools import islice

_TRIED = 50  # names that are compared; the first of them usually shows it
_SEPARATORS = re.compile(r"[\s_\-]+")
_LEAST_COMMON = 2  # characters that two names share at one end before they are taken for a pair


def near_miss(names: Iterable[str], others: Collection[str], *, suffix_options: tuple[str | None, str | None] = (None, None)) -> str:
    """A sentence on the first of ``names`` that nearly is one of ``others``, with the remedy; "" where none is.

    ``suffix_options`` are the options that say how ``names`` and ``others`` end, None where there is no such option; where both are there,
    the patterns of ``folder`` are named for names that begin differently.

    >>> near_miss(["IMG_1"], ["img_1"])
    "'IMG_1' and 'img_1' differ in upper and lower case: rename one side."
    >>> near_miss(["1", "2"], ["001", "002"])
    "'1' and '001' differ in leading zeros: rename one side."
    """
    tried = list(islice(names, _TRIED))
    for words, change in _CHANGES:
        changed = {change(other): other for other in others}
        for name in tried:
            other = changed.get(change(name))
            if other is not None and other != name:
                return f"'{name}' and '{other}' differ in {words}: rename one side."
    beginning = _other_beginning(tried, others) if all(suffix_options) else ""
    return _other_folder(tried, others) or _other_ending(tried, others, suffix_options) or beginning


def _without_zeros(name: str) -> str:
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", name)


def _without_marks(name: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char)).casefold()


_CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("upper and lower case", str.casefold),
    ("leading zeros", _without_zeros),
    ("leading zeros and case", lambda name: _without_zeros(name).casefold()),
    ("spaces, '_' and '-'", lambda name: _SEPARATORS.sub("", name).casefold()),
    ("accents or the form of letters (Unicode)", _without_marks),
)


def _other_folder(names: Collection[str], others: Collection[str]) -> str:
    by_last = {other.rsplit("/", 1)[-1]: other for other in others}
    for name in names:
        other = by_last.get(name.rsplit("/", 1)[-1])
        if other is not None and other != name:
            return f"'{name}' and '{other}' have one name, but lie in different sub-folders: give both sides the same sub-folders."
    return ""


def _other_ending(names: Collection[str], others: Collection[str], options: tuple[str | None, str | None]) -> str:
    for name in islice(names, 3):
        other = max(others, key=lambda text: (_common(name, text), -len(text)), default="")
        start = _common(name, other)
        if start < max(_LEAST_COMMON, min(len(name), len(other)) // 2):
            continue
        endings = name[start:], other[start:]
        if any(ending[:1].isdigit() for ending in endings) or sum(text.endswith(endings[1]) for text in others) * 2 < len(others):
            continue
        typed = [(option, ending) for option, ending in zip(options, endings, strict=True) if ending]
        remedy = f": try {','.join(f'{option}={ending}' for option, ending in typed)}." if all(option for option, _ in typed) else "."
        return f"'{name}' and '{other}' may be a pair whose names end differently{remedy}"
    return ""


def _other_beginning(names: Collection[str], others: Collection[str]) -> str:
    """Names that differ in a word at their beginning alone: ``img_001`` and ``mask_001``."""
    for name in islice(names, 3):
        word, rest = _word_and_rest(name)
        pairs = {_word_and_rest(other)[0] for other in others if _word_and_rest(other)[1] == rest}
        if rest and len(pairs) == 1 and word not in pairs:
            (other,) = pairs
            typed = f'images="FOLDER/{word}*",masks="FOLDER/{other}*"'
            return f"'{name}' and '{other}{rest}' may be a pair whose names begin differently: try patterns, {typed} with your folders."
    return ""


def _word_and_rest(name: str) -> tuple[str, str]:
    """Letters and separators at the beginning of a name, and what follows from its first digit on."""
    match = re.fullmatch(r"(\D*)(\d.*)?", name)
    return (match.group(1), match.group(2) or "") if match else (name, "")


def _common(one: str, other: str) -> int:
    """Length of the common beginning, without a separator at its end.

    >>> _common("a1_rgb", "a1_mask")
    2
    """
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return len(one[:count].rstrip("_- ."))
