"""Leaderboards: scores of several runs, grouped into tables of equal conditions and ranked."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segbench import CellResult, Latency, RunResult, not_comparable
from segbench_reports.site.conditions import Conditions, conditions
from segbench_reports.text.verdicts import CANNOT_TELL, FAVOURABLE
from segbench_reports.view.cells import cell_name, deployment, finite, group_key, single_latency, varying_axes
from segbench_reports.view.comparisons import Side, between
from segbench_reports.view.learned import collapsed_words, is_collapsed


@dataclass(frozen=True)
class Entry:
    """One thing that a run compared: a cell, or its seeds together.

    ``run`` is the run's folder, ``anchor`` the times of the reference network that was raced along under the same circumstances.
    """

    run: str
    name: str
    cells: tuple[CellResult, ...]
    miou: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    anchor: Latency | None = None
    result: RunResult | None = field(default=None, compare=False, repr=False)

    @property
    def cell(self) -> CellResult:
        return self.cells[0]

    @property
    def timing(self) -> Latency | None:
        """Single images of the network as it was trained."""
        timing = single_latency(self.cell)
        return timing if timing and finite(timing.p50_ms) is not None else None

    @property
    def side(self) -> Side:
        """The entry as one side of a comparison of its run."""
        return Side(self.cells)

    @property
    def race(self) -> tuple[str, str | None]:
        """Only what was timed in one race of one run is compared."""
        form = deployment(self.cell)
        return self.run, form.raced if form else None


@dataclass(frozen=True)
class Board:
    """One table: its entries from the highest score down."""

    conditions: Conditions
    entries: tuple[Entry, ...]

    def rank(self, entry: Entry) -> int | None:
        """One more than how many are shown to be better; None where nothing could be told.

        Entries of one run by its comparison of the two, those of different runs by 95 % intervals that do not meet.
        """
        verdicts = [_is_better(other, entry) for other in self.entries if other is not entry]
        if not verdicts:
            return None if entry.interval is None else 1
        known = [verdict for verdict in verdicts if verdict is not None]
        return 1 + sum(known) if known else None

    def leads(self, entry: Entry) -> bool:
        """True where none is shown to be better; an entry of which nothing could be told leads nothing."""
        return self.rank(entry) == 1

    @property
    def races(self) -> list[tuple[str, str | None]]:
        """The races that its entries were timed in, in order."""
        return list(dict.fromkeys(entry.race for entry in self.entries if entry.timing))


def _is_better(one: Entry, other: Entry) -> bool | None:
    """Whether one entry is shown to score higher than another; None where it cannot be told."""
    if one.run == other.run and one.result is not None:
        comparison = between(one.result, "miou", one.side, other.side)
        return None if comparison is None or comparison.verdict == CANNOT_TELL else comparison.verdict in FAVOURABLE
    if one.interval is None or other.interval is None:
        return None
    return one.interval[0] > other.interval[1]


@dataclass(frozen=True)
class LeftOut:
    """A cell without a score that could be ranked, and why."""

    run: str
    name: str
    why: str


def boards(runs: Mapping[str, RunResult]) -> dict[str, list[Board]]:
    """Tables by page (dataset); on each page the one with the most entries first: the others are described by their differences from it."""
    groups: dict[Conditions, list[Entry]] = {}
    for folder, result in runs.items():
        for under, entry in _entries(folder, result):
            groups.setdefault(under, []).append(entry)
    pages: dict[str, list[Board]] = {}
    for under, entries in groups.items():
        ordered = tuple(sorted(entries, key=lambda entry: -entry.miou))
        pages.setdefault(under.page, []).append(Board(under, ordered))
    return {page: sorted(tables, key=lambda board: -len(board.entries)) for page, tables in sorted(pages.items())}


def left_out(runs: Mapping[str, RunResult]) -> list[LeftOut]:
    """Cells that stand in no table."""
    missing = []
    for folder, result in runs.items():
        axes, collapsed = varying_axes(result.cells), _collapsed(result)
        for cell in result.cells:
            why = _why_not(cell) or (collapsed_words([cell]) if group_key(cell) in collapsed else "")
            if why:
                missing.append(LeftOut(folder, cell_name(cell, axes), why))
    return missing


def _entries(folder: str, result: RunResult) -> list[tuple[Conditions, Entry]]:
    axes = [axis for axis in varying_axes(result.cells) if axis != "seed"]
    groups: dict[tuple[str, Conditions], list[CellResult]] = {}
    collapsed = _collapsed(result)
    for cell in result.cells:
        under = conditions(cell)
        if under is not None and not _why_not(cell) and group_key(cell) not in collapsed:
            groups.setdefault((group_key(cell), under), []).append(cell)
    return [(under, _entry(folder, cells, cell_name(cells[0], axes), result)) for (_, under), cells in groups.items()]


def _entry(folder: str, cells: Sequence[CellResult], name: str, result: RunResult) -> Entry:
    scores = [cell.quality.miou for cell in cells if cell.quality and cell.quality.miou is not None]
    anchor = _anchor(result, cells[0])
    if len(cells) == 1:
        quality = cells[0].quality
        return Entry(folder, name, tuple(cells), scores[0], interval=quality.miou_ci95 if quality else None, anchor=anchor, result=result)
    ids = {cell.id for cell in cells}
    known = next((one for one in result.seeds if one.quantity == "miou" and set(one.cells) == ids), None)
    bounds = (known.low, known.high) if known and known.low is not None and known.high is not None else None
    return Entry(folder, name, tuple(cells), statistics.fmean(scores), statistics.stdev(scores), bounds, anchor, result)


def _anchor(result: RunResult, cell: CellResult) -> Latency | None:
    form, timing = deployment(cell), single_latency(cell)
    anchor = result.race.anchor if result.race else None
    if form is None or timing is None or anchor is None:
        return None
    wanted = (form.raced, 1, timing.input_size, timing.device, timing.threads)
    for timed in anchor.latency:
        if (timed.raced, timed.batch_size, timed.input_size, timed.device, timed.threads) == wanted and timed.p50_ms is not None:
            return timed
    return None


def _collapsed(result: RunResult) -> set[str]:
    """Keys of what learned nothing with every seed; a seed that did among others that learned stays in their mean."""
    groups: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        groups.setdefault(group_key(cell), []).append(cell)
    return {key for key, cells in groups.items() if is_collapsed(cells)}


def _why_not(cell: CellResult) -> str:
    quality = cell.quality
    if why := not_comparable(cell):
        return why
    if quality is not None and finite(quality.miou) is not None:
        return ""
    if quality is not None and quality.training_score is not None:
        return f"scored on images that were trained on ({quality.split}): a training score is never ranked"
    if cell.status == "failed":
        return "failed"
    return "not finished" if cell.status in ("pending", "interrupted") else "not scored"
