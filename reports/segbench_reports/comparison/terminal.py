"""A comparison of two runs at the width of the screen.

Laid out by hand: a comparison may have thousands of rows, for which rich's tables take seconds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from segbench import Change, ReportTarget, RunComparison
from segbench_reports.comparison import wording as words
from segbench_reports.text import numbers
from segbench_reports.text.escape import plain

_STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_OF_VERDICT = {"regressed": "red", "improved": "green", "cannot tell": "yellow", "no difference shown": "dim"}
_HEADINGS = ("", "baseline", "new", "change", "95 % interval")
_GAP = 3
_MOST_ROWS = 60
"""Above so many rows only those that say something are listed."""


def render(comparison: RunComparison, target: ReportTarget) -> str:
    """The comparison as text of at most ``target.width`` columns; large ones without the rows that show nothing."""
    rows = shown_rows(comparison, everything=target.everything, most=_MOST_ROWS)
    return "\n".join(line.rstrip() for line in _Page(target).lines(comparison, rows)) + "\n"


def shown_rows(comparison: RunComparison, *, everything: bool, most: int) -> Sequence[Change]:
    """All rows; of many only those with something to say, unless everything is asked for."""
    if everything or len(comparison.rows) <= most:
        return comparison.rows
    return [row for row in comparison.rows if row.verdict != "no difference shown"]


class _Page:
    """Text of one width, with escape codes only where the target has colours."""

    def __init__(self, target: ReportTarget) -> None:
        self._width, self._color = target.width, target.color

    def lines(self, comparison: RunComparison, rows: Sequence[Change]) -> Iterator[str]:
        yield self._styled(numbers.elided(plain(f"{comparison.baseline.name} → {comparison.new.name}"), self._width), "bold")
        yield from self._wrapped(f"{words.counts(comparison)}.")
        if comparison.gate:
            yield from self._wrapped(f"{plain(words.gate(comparison))}.", style="green" if comparison.gate.passed else "red")
        for text in words.missing(comparison):
            yield from self._wrapped(plain(text), style="yellow")
        yield ""
        yield from self._table(rows)
        if len(rows) < len(comparison.rows):
            yield from ("", f"{len(comparison.rows) - len(rows)} rows without a shown difference are left out: --all lists them.")
        yield from self._listed("Why", [f"{words.several(whose)}: {why}" for why, whose in words.reasons(rows)])
        yield from self._listed("Differences of the runs beside their results", words.differences(comparison))
        yield from self._listed("How", [*words.means(rows), *words.methods(rows), words.meaning(comparison)])

    def _table(self, rows: Sequence[Change]) -> Iterator[str]:
        if not rows:
            return
        cells = [
            (f"  {plain(words.title(row))}", words.value(row, row.baseline), words.value(row, row.new), words.change(row), words.noise(row))
            for row in rows
        ]
        widths = [max(cell_len(line[n]) for line in (_HEADINGS, *cells)) for n in range(len(_HEADINGS))]
        yield self._row(_HEADINGS, widths, "verdict")
        yield "─" * min(self._width, sum(widths) + _GAP * len(widths) + len("no difference shown"))
        subject = None
        for row, line in zip(rows, cells, strict=True):
            if row.subject != subject:
                subject = row.subject
                yield self._styled(numbers.elided(plain(subject), self._width), "bold")
            yield self._row(line, widths, self._styled(row.verdict, _OF_VERDICT[row.verdict]))

    def _row(self, cells: Sequence[str], widths: Sequence[int], verdict: str) -> str:
        first, *others = (" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
        return (" " * _GAP).join([cells[0] + first, *(pad + cell for pad, cell in zip(others, cells[1:], strict=True)), verdict])

    def _listed(self, heading: str, lines: Sequence[str]) -> Iterator[str]:
        if lines:
            yield from ("", self._styled(heading, "bold"))
            for line in lines:
                yield from self._wrapped(plain(line), indent="  ")

    def _wrapped(self, text: str, *, style: str = "", indent: str = "") -> Iterator[str]:
        for line in textwrap.wrap(text, max(20, self._width), initial_indent=indent, subsequent_indent=indent):
            yield self._styled(line, style)

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._color and style else text
