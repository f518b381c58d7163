"""Labels of models and variants in charts: printable, short and distinct."""

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
    """Labels of a run's models and variants in its charts; ``axes`` are the settings in which its cells differ."""

    axes: Sequence[str]
    models: Mapping[str, str]
    variants: Mapping[str, str]

    @staticmethod
    def of(result: RunResult) -> ChartNames:
        axes = varying_axes(result.cells)
        return ChartNames(axes, short_names(cell.model for cell in result.cells), short_names(variant(cell, axes) for cell in result.cells))

    def identity(self, cell: CellResult) -> dict[str, Any]:
        """The fields of a chart's record that name its cell, model and variant."""
        return {"cell": cell.id, "model": self.models[cell.model], "variant": self.variants[variant(cell, self.axes)]}


def short_name(text: str) -> str:
    """A name as one printable line, without its middle where it is long.

    >>> short_name("deeplab-original[aspp_channels=128,aspp_dropout=0.1,aspp_rates=(1,6,12)]")
    'deeplab-original[aspp_ch…0.1,aspp_rates=(1,6,12)]'
    """
    return numbers.elided(plain(text), _LONGEST)


def short_names(texts: Iterable[str]) -> dict[str, str]:
    """A distinct label for each text: texts that would read the same without their middles keep more of the end, or get a number.

    >>> short_names(["a" * 40 + "-one-" + "b" * 30, "a" * 40 + "-two-" + "b" * 30])["a" * 40 + "-two-" + "b" * 30]
    'aaaaaaaaaaaa…-two-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
    """
    distinct = list(dict.fromkeys(texts))
    labels = {text: short_name(text) for text in distinct}
    for text in _ambiguous(labels):
        full = plain(text)
        labels[text] = f"{full[: _LONGEST // 4]}…{full[len(full) - 35 :]}" if len(full) > _LONGEST else full
    used: set[str] = set()
    for text, label in labels.items():
        numbered, count = label, 1
        while numbered in used:
            count += 1
            numbered = f"{label} ({count})"
        used.add(numbered)
        labels[text] = numbered
    return labels


def _ambiguous(labels: Mapping[str, str]) -> list[str]:
    every = list(labels.values())
    return [text for text, label in labels.items() if every.count(label) > 1]
