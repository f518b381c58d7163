"""Mask values mapped to class ids by rules as users write them: ``"0:0,255:1"``, ``"1-9:1"``, ``"*:0"``, ``"7:ignore"``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segbench import DataError, OptionError
from segbench_plugins.datasets.files import Array

_RULE = re.compile(r"(?:(-?\d+)(?:-(\d+))?|\*):(-?\d+|ignore)")
_MOST_VALUES = 65536  # masks have at most 16 bits


@dataclass(frozen=True)
class ValueMap:
    """The class id of each mask value; ``others`` is that of values without a rule of their own (None: they are an error)."""

    rules: Mapping[int, int] = field(default_factory=dict)
    others: int | None = None

    def apply(self, mask: Array, path: Path) -> Array:
        """Class ids int64 (H, W); raises :class:`DataError` where the mask holds values that no rule names."""
        values, where = np.unique(mask, return_inverse=True)
        unknown = [int(v) for v in values if int(v) not in self.rules]
        if unknown and self.others is None:
            raise DataError(
                f"{path} holds {_describe_values(unknown)}, which value_map does not name. "
                "Add a rule for each, or '*:ignore' for all others."
            )
        ids = np.array([self.rules.get(int(v), self.others or 0) for v in values], np.int64)
        result: Array = ids[where.reshape(mask.shape)]
        return result


def parse_value_map(text: str, *, num_classes: int, ignore: int) -> ValueMap | None:
    """The rules in ``text``; None where it is empty. Raises :class:`OptionError` with the form that is expected.

    >>> parse_value_map("0:0,255:1", num_classes=2, ignore=255)
    ValueMap(rules={0: 0, 255: 1}, others=None)
    >>> parse_value_map("0:0, 2-3:1, *:ignore", num_classes=2, ignore=9)
    ValueMap(rules={0: 0, 2: 1, 3: 1}, others=9)
    """
    if not text.strip():
        return None
    rules: dict[int, int] = {}
    others: int | None = None
    for part in text.split(","):
        rule = _RULE.fullmatch(part.replace(" ", ""))
        if rule is None:
            raise OptionError(f"folder: value_map = '{text}': '{part}' is not of the form value:class, as in \"0:0,255:1\"")
        first, last, target = rule.groups()
        to = ignore if target == "ignore" else int(target)
        if to != ignore and not 0 <= to < num_classes:
            raise OptionError(f"folder: value_map = '{text}': there is no class {to}, ids are 0 to {num_classes - 1}, or write 'ignore'")
        if first is None:
            others = to
        else:
            rules.update(dict.fromkeys(range(int(first), min(int(last or first), _MOST_VALUES) + 1), to))
    return ValueMap(rules, others)


def _describe_values(values: list[int]) -> str:
    text = ", ".join(map(str, values[:8])) + (", .." if len(values) > 8 else "")
    return f"the value {text}" if len(values) == 1 else f"the values {text}"
