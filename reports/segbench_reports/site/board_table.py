"""A leaderboard as text: ranked columns, columns that are only shown, and remarks on them."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from segbench import RunResult, metric, ratio_of
from segbench_reports.html.embed import printable
from segbench_reports.site.boards import Board, Entry
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import NOT_SHOWN_NOTE, relative
from segbench_reports.view.cells import axis_text, deployment, finite, varying_axes
from segbench_reports.view.comparisons import between, not_shown_better
from segbench_reports.view.summary import conditions as timed_under

_ADDED: Mapping[str, object] = {
    "optimizer": "adamw",
    "momentum": None,
    "encoder_lr": 1.0,
    "decay_norms": True,
    "freeze": (),
    "ema": None,
    "sampler": "shuffled",
}
"""What runs did that were made before these settings existed."""
_TUNED = ("lr", "weight_decay", "schedule", "batch_size", "accumulate", "patience", "clip", *_ADDED)
_NAME = 80


@dataclass(frozen=True)
class BoardCell:
    """One field: ``small`` stands below it, ``order`` is what it sorts by (None: last), ``href`` where it leads."""

    text: str
    small: str = ""
    mark: str = ""
    order: float | str | None = None
    href: str = ""


@dataclass(frozen=True)
class BoardColumn:
    """A head: ``sorts`` is false where its figures may not be compared from row to row."""

    title: str
    unit: str = ""
    meaning: str = ""
    number: bool = True
    sorts: bool = True
    falls: bool = False


@dataclass(frozen=True)
class BoardTable:
    """One board as a page shows it."""

    columns: Sequence[BoardColumn]
    rows: Sequence[Sequence[BoardCell]]
    notes: Sequence[str]


def board_table(board: Board, runs: Mapping[str, RunResult]) -> BoardTable:
    """Rank, names, mIoU, costs, latency and the run of every entry."""
    names = _names(board)
    ranked = any(board.rank(entry) is not None for entry in board.entries)
    columns = [*([BoardColumn("rank", meaning=_RANK)] if ranked else []), *(BoardColumn(axis, number=False) for axis in names)]
    parts = [_scores(board), _headline(board), _params(board), _macs(board), _latencies(board, runs), _runs(board, runs)]
    drawn = [part for part in parts if part is not None]
    columns += [column for column, _ in drawn]
    rows = []
    for place, entry in enumerate(board.entries):
        labels = [BoardCell(texts[place], order=texts[place].lower()) for texts in names.values()]
        rows.append([*([_rank(board, entry)] if ranked else []), *labels, *(cells[place] for _, cells in drawn)])
    return BoardTable(columns, rows, _notes(board, runs))


_Part = tuple[BoardColumn, list[BoardCell]]

_RANK = (
    "One more than the number of entries that are shown to be better: of one run by its comparison of the two, of different runs by 95 % "
    "intervals that do not meet. Entries of which nothing could be told have no rank."
)
_MIOU = (
    "Intersection over union, averaged over the classes that have labels in the scored split, from one confusion matrix over the whole "
    "split, at the labels' own resolution. Below it its 95 % interval: of this checkpoint over images like these, or over seeds."
)


def _column(name: str, meaning: str, *, headline: str = "", sorts: bool = True) -> BoardColumn:
    """A metric's head; a board sorts what is better when higher from the top."""
    ranked = metric(name)
    return BoardColumn(ranked.heading(headline), ranked.column_unit, meaning, sorts=sorts, falls=ranked.better == "higher")


def _rank(board: Board, entry: Entry) -> BoardCell:
    rank = board.rank(entry)
    return BoardCell(numbers.NOT_MEASURED if rank is None else str(rank), order=rank)


def _names(board: Board) -> dict[str, list[str]]:
    """The columns that tell the entries apart: model, loss, recipe, settings, how it was tuned and made, by column."""
    cells = [entry.cell for entry in board.entries]
    labels = {axis: [axis_text(cell, axis) for cell in cells] for axis in varying_axes(cells) if axis != "seed"}
    for key in _TUNED:
        values = [(cell.resolved.get("train") or {}).get(key, _ADDED.get(key, "")) for cell in cells]
        texts = [numbers.setting(value) if value != "" else "" for value in values]
        if len(set(texts)) > 1 and not any(key in setting for cell in cells for setting in cell.settings):
            labels[key.replace("_", " ")] = texts
    if len({cell.kind for cell in cells}) > 1:
        labels["made by"] = [cell.kind for cell in cells]
    if any(len(entry.cells) > 1 for entry in board.entries):
        labels["seeds"] = [str(len(entry.cells)) for entry in board.entries]
    return {axis: [printable(text, _NAME) or numbers.NOT_MEASURED for text in texts] for axis, texts in labels.items()}


def _scores(board: Board) -> _Part:
    best = [board.leads(entry) for entry in board.entries]
    cells = []
    for entry, leads in zip(board.entries, best, strict=True):
        spread = "" if entry.deviation is None else f" ±{numbers.percent(entry.deviation)}"
        bounds = f"[{numbers.percent(entry.interval[0])}, {numbers.percent(entry.interval[1])}]" if entry.interval else ""
        cells.append(BoardCell(numbers.percent(entry.miou) + spread, bounds, "best" if leads and not all(best) else "", entry.miou))
    column = _column("miou", _MIOU)
    averaged = board.conditions.averaged
    return replace(column, unit=f"{column.unit}, {averaged.short}" if averaged and averaged.absent else column.unit), cells


def _headline(board: Board) -> _Part | None:
    qualities = [entry.cell.quality for entry in board.entries]
    name = next((q.headline_class for q in qualities if q and q.headline_class), None)
    if name is None:
        return None
    cells = []
    for entry in board.entries:
        values = [c.quality.headline_iou for c in entry.cells if c.quality and finite(c.quality.headline_iou) is not None]
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if known else None
        cells.append(BoardCell(numbers.NOT_MEASURED if mean is None else numbers.percent(mean), order=mean))
    return _column("headline_iou", "The same for the class that the task is about.", headline=printable(name, 40)), cells


def _params(board: Board) -> _Part:
    values = [None if (shown := metric("params").value(entry.cell)) is None else int(shown.value) for entry in board.entries]
    column = _column("params", "Parameters of the model as deployed, in millions.")
    return column, _least(values, metric("params").scale, [""] * len(values))


def _macs(board: Board) -> _Part:
    values = [entry.cell.macs for entry in board.entries]
    sizes = [_shape(entry) for entry in board.entries]
    same = len({size for size, value in zip(sizes, values, strict=True) if value is not None}) < 2
    meaning = "Multiply-adds of convolutions, linear layers and matrix products for one image, in thousand millions."
    column = _column("macs", meaning if same else f"{meaning} Counted at different input sizes: not compared.", sorts=same)
    return column, _least(values, metric("macs").scale, [""] * len(values) if same else sizes, marked=same)


def _least(values: Sequence[int | None], scale: float, small: Sequence[str], *, marked: bool = True) -> list[BoardCell]:
    known = {value for value in values if value is not None}
    least = min(known) if marked and len(known) > 1 else None
    return [
        BoardCell(numbers.NOT_MEASURED)
        if value is None
        else BoardCell(numbers.significant(value * scale), below, "best" if value == least else "", float(value))
        for value, below in zip(values, small, strict=True)
    ]


def _shape(entry: Entry) -> str:
    shapes = entry.cell.input_shape or []
    return numbers.size(shapes[0][-2:]) if shapes and len(shapes[0]) > 2 else ""


def _latencies(board: Board, runs: Mapping[str, RunResult]) -> _Part | None:
    races = board.races
    if not races:
        return None
    apart = len(races) > 1
    meaning = "Median time of one call with one image, with its 95 % interval."
    if apart:
        meaning += " Timed in different races: compare within one letter only."
    cells = [_latency(board, entry, races, runs) for entry in board.entries]
    if not apart:
        fastest = _fastest(board, runs)
        cells = [replace(cell, mark="best" if entry in fastest else "") for cell, entry in zip(cells, board.entries, strict=True)]
    return _column("latency_ms", meaning, sorts=not apart), cells


def _latency(board: Board, entry: Entry, races: Sequence[tuple[str, str | None]], runs: Mapping[str, RunResult]) -> BoardCell:
    timing = entry.timing
    if timing is None or timing.p50_ms is None:
        return BoardCell(numbers.NOT_MEASURED)
    text, interval = (
        (numbers.significant(timing.p50_ms), "") if timing.ci95_ms is None else numbers.with_interval(timing.p50_ms, *timing.ci95_ms)
    )
    letter = race_letter(races.index(entry.race)) if len(races) > 1 else ""
    parts = (interval, letter, _ratio(board, entry, runs))
    return BoardCell(text, " ".join(part for part in parts if part), order=timing.p50_ms)


def _fastest(board: Board, runs: Mapping[str, RunResult]) -> list[Entry]:
    """The fastest entry and those that its race does not show to be slower; none where that is all of them."""
    timed = [entry for entry in board.entries if entry.timing]
    least = min(timed, key=lambda entry: (entry.timing and entry.timing.p50_ms) or 0.0)
    level = not_shown_better(runs[least.run], "latency_ms", least.side, [entry.side for entry in timed if entry is not least])
    fastest = [entry for entry in timed if entry is least or entry.side in level]
    return fastest if len(fastest) < len(timed) else []


def _ratio(board: Board, entry: Entry, runs: Mapping[str, RunResult]) -> str:
    """The ratio of times, round by round: to the reference network of the race, else to the first entry of the same race."""
    timed = [other for other in board.entries if other.timing]
    if all(other.anchor for other in timed):
        return _ratio_to_reference(entry)
    first = next((other for other in timed if other.race == entry.race), None)
    if first is None or first is entry:
        return ""
    return relative(between(runs[entry.run], "latency_ms", entry.side, first.side))


def _ratio_to_reference(entry: Entry) -> str:
    timing, anchor = entry.timing, entry.anchor
    if timing is None or anchor is None or not timing.rounds_ms or len(timing.rounds_ms) != len(anchor.rounds_ms):
        return ""
    ratio = ratio_of(timing.rounds_ms, anchor.rounds_ms, starts=timing.start_rounds)
    if ratio.low is None or ratio.high is None:
        return ""
    return f"×{numbers.factor(ratio.value)} ({numbers.factor(ratio.low)} to {numbers.factor(ratio.high)})"


def race_letter(place: int) -> str:
    """A, B, .. Z, A1, ..

    >>> race_letter(0), race_letter(27)
    ('A', 'B1')
    """
    letter, turn = string.ascii_uppercase[place % 26], place // 26
    return f"{letter}{turn}" if turn else letter


def _runs(board: Board, runs: Mapping[str, RunResult]) -> _Part:
    cells = []
    for entry in board.entries:
        unfinished = "" if runs[entry.run].complete else "not finished"
        cells.append(BoardCell(printable(entry.run, 40), unfinished, order=entry.run.lower(), href=f"../runs/{entry.run}/index.html"))
    return BoardColumn("run", number=False), cells


def _notes(board: Board, runs: Mapping[str, RunResult]) -> list[str]:
    notes = []
    several = [entry for entry in board.entries if len(entry.cells) > 1]
    if several:
        notes.append("± is the standard deviation over seeds, the range below it the 95 % interval of their mean (Student's t).")
    if any(entry.interval and len(entry.cells) == 1 for entry in board.entries):
        notes.append(
            "A range below the score of one seed is the 95 % interval of this checkpoint over images, not over trainings. Entries of "
            "equal rank are not told apart by these intervals; where they are of one run, its report compares them image by image."
        )
    if any(board.rank(entry) is None for entry in board.entries):
        notes.append("Entries of which nothing could be told are sorted by score but not ranked.")
    if "chosen on the scored split" in board.conditions.chosen and not board.conditions.chosen.startswith("not"):
        notes.append("The scored split also chose the best checkpoint: these scores are somewhat optimistic.")
    return [*notes, *_race_notes(board, runs)]


def _race_notes(board: Board, runs: Mapping[str, RunResult]) -> list[str]:
    races, notes = board.races, []
    if len(races) > 1:
        notes.append(
            "Latencies of different races (letters) are not comparable: another machine, another hour, other neighbours. They are neither "
            "ranked nor sorted."
        )
    timed = [entry for entry in board.entries if entry.timing]
    if timed and all(entry.anchor for entry in timed):
        notes.append(
            "× behind a latency is its ratio, round by round, to the fixed reference network that was raced along, with its 95 % interval."
        )
    elif any(_ratio(board, entry, runs) for entry in timed):
        notes.append(
            "× behind a latency is its ratio, round by round, to the highest-scoring entry of the same race; " + NOT_SHOWN_NOTE + "."
        )
    for place, race in enumerate(races):
        entries = [entry for entry in board.entries if entry.race == race and entry.timing]
        env = runs[race[0]].environment
        forms = [form for entry in entries if (form := deployment(entry.cell))]
        setups = dict.fromkeys(timed_under(entry.timing) for entry in entries if entry.timing)
        machine = ", ".join(env.gpu) or env.cpu or "machine not recorded"
        letter = f"{race_letter(place)}: " if len(races) > 1 else "Latency: "
        under = f"{forms[0].backend} {forms[0].precision}, " if forms else ""
        notes.append(
            printable(f"{letter}run {race[0]}, {machine}, {under}{' and '.join(setups)}, {(race[1] or '')[:16].replace('T', ' ')}.", 200)
        )
    return notes
