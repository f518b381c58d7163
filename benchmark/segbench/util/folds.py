"""A fold of a dataset as settings name it: which part is scored, of how many, and the names of its two splits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segbench.errors import ConfigError

LEAST_FOLDS = 2
_REST = "all-but-"


@dataclass(frozen=True)
class Fold:
    """Part ``part`` (from 1) of ``parts`` is scored, all others are trained on."""

    part: int
    parts: int

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    @property
    def scored(self) -> str:
        """The name of the scored split.

        >>> Fold(2, 5).scored, Fold(2, 5).training
        ('fold-2-of-5', 'all-but-fold-2-of-5')
        """
        return f"fold-{self.part}-of-{self.parts}"

    @property
    def training(self) -> str:
        """The name of the training split."""
        return _REST + self.scored


def parse_fold(text: str) -> Fold:
    """The fold that ``2/5`` names. Raises :class:`ConfigError` for anything else.

    >>> parse_fold("2/5")
    Fold(part=2, parts=5)
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    fold = Fold(int(match[1]), int(match[2])) if match else Fold(0, 0)
    if fold.parts < LEAST_FOLDS or not 1 <= fold.part <= fold.parts:
        raise ConfigError("a part and the number of parts, such as 2/5")
    return fold


def folds_of(number: int) -> tuple[Fold, ...]:
    """All folds of a division into ``number`` parts."""
    return tuple(Fold(part, number) for part in range(1, number + 1))


def is_fold(split: str) -> bool:
    """True for the names that :class:`Fold` gives to splits.

    >>> is_fold("fold-2-of-5"), is_fold("all-but-fold-2-of-5"), is_fold("val")
    (True, True, False)
    """
    return re.fullmatch(rf"({_REST})?fold-\d+-of-\d+", split) is not None


def share_samples(first: str, second: str) -> bool:
    """True where two splits of which one is a fold's may hold the same samples. A declared test split is kept out of all folds.

    >>> share_samples("all-but-fold-1-of-5", "fold-1-of-5"), share_samples("all-but-fold-1-of-5", "fold-2-of-5")
    (False, True)
    >>> share_samples("all-but-fold-1-of-5", "val"), share_samples("all-but-fold-1-of-5", "test")
    (True, False)
    """
    if "test" in (first, second):
        return False
    return first.removeprefix(_REST) != second.removeprefix(_REST) or first == second
