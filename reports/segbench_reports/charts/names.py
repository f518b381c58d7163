"""Names as they stand in charts: printable, not wider than one, and as many as there are models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench import CellResult, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import plain
from segbench_reports.view.cells import variant, varying_axes

_LONGEST = 48


@dataclass(frozen=True)
class ChartNames:
    """What a run's models and variants are called in its charts; ``axes`` are the settings in which its cells differ."""

    axes: Sequence[str]
    models: Mapping[str, str]
    variants: Mapping[str, str]

    @staticmethod
    def of(result: RunResult) -> ChartNames:
        axes = varying_axes(result.cells)
        return ChartNames(axes, short_names(cell.model for cell in result.cells), short_names(variant(cell, axes) for cell in result.cells))

    def identity(self, cell: CellResult) -> dict[str, Any]:
        """The fields by which a record of a chart is told from others."""
        return {"cell": cell.id, "model": self.models[cell.model], "variant": self.variants[variant(cell, self.axes)]}


def short_name(text: str) -> str:
    """One name by itself.

    >>> short_name("deeplab-original[aspp_channels=128,aspp_dropout=0.1,aspp_rates=(1,6,12)]")
    'deeplab-original[aspp_ch…0.1,aspp_rates=(1,6,12)]'
    """
    return numbers.elided(plain(text), _LONGEST)


def short_names(texts: Iterable[str]) -> dict[str, str]:
    """A label for each text, no two alike: texts that would read the same without their middles keep more of the end, or get a number.

    >>> short_names(["a" * 40 + "-one-" + "b" * 30, "a" * 40 + "-two-" + "b" * 30])["a" * 40 + "-two-" + "b" * 30]
    'aaaaaaaaaaaa…-two-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
    """
    distinct = list(dict.fromkeys(texts))
    found = {text: short_name(text) for text in distinct}
    for text in _alike(found):
        shown = plain(text)
        found[text] = f"{shown[: _LONGEST // 4]}…{shown[len(shown) - 35 :]}" if len(shown) > _LONGEST else shown
    used: set[str] = set()
    for text, label in found.items():
        numbered, count = label, 1
        while numbered in used:
            count += 1
            numbered = f"{label} ({count})"
        used.add(numbered)
        found[text] = numbered
    return found


def _alike(labels: Mapping[str, str]) -> list[str]:
    shown = list(labels.values())
    return [text for text, label in labels.items() if shown.count(label) > 1]
