"""Draw a run's state in a terminal of any width. Names and messages are shown as they are, never as markup or escape codes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from segbench.cli.watching.state import DONE, CellState, Running, RunState, continue_command
from segbench.results.scored_classes import counted_classes
from segbench.util.redact import inert
from segbench.util.sequences import counted, duration, known_mean

_NARROW = 64
_CURVE = 48
_BAR = 60
_STYLES = {"running": "cyan", "finished": "green", "starting": "cyan", "interrupted": "yellow", "stopped": "red"}
_MARKS = {
    "ok": ("+", "green"),
    "failed": ("x", "red"),
    "interrupted": ("!", "yellow"),
    "skipped": ("-", "yellow"),
    "running": (">", "cyan"),
}


def screen(state: RunState, *, width: int, rows: int | None = None, plain: bool = False) -> RenderableType:
    """The whole picture; ``rows`` bounds how many cells are listed, ``plain`` draws with ASCII signs."""
    parts: list[RenderableType] = [_title(state, width), _progress(state, width, plain)]
    if state.running is not None:
        parts += [Text(), *_running(state, state.running, width, plain)]
    elif state.measuring:
        parts += [Text(), _line("now", inert(state.measuring), width)]
    if state.cells:
        parts += [Text(), _table(state, width, rows)]
        over = _over({(cell.classes_averaged, cell.classes) for cell in state.cells})
        parts += [Text(f"mIoU {over}", style="dim")] if over else []
    if state.others:
        parts.append(Text(f"and {counted(state.others, 'cell')} of earlier commands", style="dim"))
    if state.warnings:
        parts += [Text(), Text("last messages", style="bold"), *(Text(inert(w), overflow="fold") for w in state.warnings)]
    parts += _advice(state)
    return Group(*parts)


def fixed_lines(state: RunState) -> int:
    """The approximate number of lines beside the table of cells."""
    return 9 + (6 if state.running else 0) + 2 * len(state.warnings)


def shortened(text: str, width: int) -> str:
    """A text cut in its middle: names of cells differ at both ends.

    >>> shortened("deeplab-original--ce--s0", 11), shortened("unet", 11)
    ('deepl…e--s0', 'unet')
    """
    if len(text) <= width:
        return text
    if width < 3:
        return text[: max(0, width)]
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Short names by cell id: parts of the id that all cells share are left out.

    >>> short_names(["unet--ce--quick--s0", "fpn--ce--quick--s0"])
    {'unet--ce--quick--s0': 'unet', 'fpn--ce--quick--s0': 'fpn'}
    """
    parts = [name.split("--") for name in ids]
    if len({len(part) for part in parts}) != 1 or len(ids) < 2:
        return {name: name for name in ids}
    shared = {place for place in range(len(parts[0])) if len({part[place] for part in parts}) == 1}
    return {
        name: "--".join(p for place, p in enumerate(part) if place not in shared) or name for name, part in zip(ids, parts, strict=True)
    }


def _title(state: RunState, width: int) -> Text:
    word = Text(state.state, style=f"bold {_STYLES[state.state]}")
    room = max(8, width - len(word) - 2)
    return Text.assemble((shortened(inert(state.directory), room), "bold"), "  ", word, no_wrap=True, overflow="ellipsis")


def _progress(state: RunState, width: int, plain: bool) -> RenderableType:
    done, count = state.count(*DONE), len(state.cells)
    facts = [f"{done} of {counted(count, 'cell')}" if count else "no cells yet"]
    facts += [f"{state.count(status)} {status}" for status in ("failed", "interrupted", "skipped") if state.count(status)]
    facts += [f"{duration(state.seconds)} {'in all' if state.over else 'so far'}"] if state.seconds is not None else []
    if state.seconds_left is not None:
        facts.append(f"about {duration(state.seconds_left)} left" + (" for the cells" if state.measuring is None else ""))
    text = Text(" · ".join(facts) if not plain else ", ".join(facts))
    if not count:
        return text
    room = min(width, _BAR)
    full = round(room * done / count)
    sign = "#" if plain else "━"
    return Group(Text.assemble((sign * full, "green"), (("." if plain else sign) * (room - full), "bright_black")), text)


def _running(state: RunState, running: Running, width: int, plain: bool) -> list[RenderableType]:
    names = short_names([cell.id for cell in state.cells])
    signs = PLAIN if plain else BLOCKS
    lines: list[RenderableType] = [_line("now", inert(names.get(running.id, running.id)), width, style="bold cyan")]
    lines.append(_line(inert(running.stage or "starting"), _facts(running, width - 10), width))
    room = max(4, min(_CURVE, width - 36))
    losses = [point.loss for point in running.history]
    if running.loss is not None or any(value is not None for value in losses):
        last = running.loss if running.loss is not None else next(value for value in reversed(losses) if value is not None)
        curve = sparkline(losses, room, signs=signs)
        lines.append(_curve("loss", curve, f"{last:.4f}"))
    known = [(point.val_miou, point.epoch) for point in running.history if point.val_miou is not None]
    if known:
        best, epoch = max(known, key=lambda pair: pair[0])
        text = f"{known[-1][0]:.4f}" + (f"  best {best:.4f} at {epoch}" if len(known) > 1 and width >= _NARROW else "")
        over = _over({(point.classes_averaged, point.classes) for point in running.history})
        lines.append(_curve("val mIoU", sparkline([value for value, _ in known], room, signs=signs), text + (f"  {over}" if over else "")))
    if running.silent is not None and running.silent > 60:
        lines.append(_line("", f"no sign for {duration(running.silent)}", width, style="yellow"))
    return lines


def _over(counts: Collection[tuple[int | None, int | None]]) -> str:
    """``over 9 of 11 classes``; empty where it is not known, or where scores are over different classes."""
    known = {(averaged, total) for averaged, total in counts if averaged is not None and total}
    if len(known) != 1:
        return ""
    ((averaged, total),) = known
    return f"over {counted_classes(averaged, total)}"


def _facts(running: Running, width: int) -> str:
    """As many facts as fit into a line; the least important ones are left out first."""
    training = running.stage in (None, "train")
    facts = {
        "epoch": f"epoch {running.epoch}/{running.epochs or '?'}" if running.epoch is not None else "",
        "step": f"step {running.step}/{running.steps}" if running.step is not None and training else "",
        "rate": f"{running.images_per_second:.1f} images/s" if running.images_per_second is not None and training else "",
        "lr": f"lr {running.learning_rate:.2e}" if running.learning_rate is not None and training else "",
        "left": f"{duration(running.seconds_left)} left" if running.seconds_left else "",
    }
    for dispensable in ("", "lr", "step", "rate"):
        facts.pop(dispensable, None)
        line = "  ".join(fact for fact in facts.values() if fact)
        if len(line) <= width:
            break
    return line


def _curve(label: str, curve: str, text: str) -> Text:
    return Text.assemble((f"{label:<9} ", "dim"), (curve, "cyan"), "  " if curve else "", text, no_wrap=True, overflow="ellipsis")


def _line(label: str, text: str, width: int, style: str = "") -> Text:
    return Text.assemble((f"{label:<9} ", "dim"), (shortened(text, max(8, width - 10)), style), no_wrap=True, overflow="ellipsis")


def _table(state: RunState, width: int, rows: int | None) -> Table:
    wide = width >= _NARROW
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=True, header_style="dim", width=width)
    table.add_column("", width=1)
    table.add_column("cell", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("mIoU", justify="right", no_wrap=True, width=7)
    if wide:
        table.add_column("epochs", justify="right", no_wrap=True, width=6)
        table.add_column("time", justify="right", no_wrap=True, width=11)
    names = short_names([cell.id for cell in state.cells])
    shown, left_out = _chosen(state.cells, rows)
    room = width - 2 - 8 - (19 if wide else 0) - 1
    for cell in shown:
        mark, style = _MARKS.get(cell.status, ("", "dim"))
        label = names[cell.id] if cell.status not in ("failed", "interrupted", "skipped") else f"{names[cell.id]} ({cell.status})"
        columns = [Text(mark, style), Text(shortened(inert(label), room), style if cell.status != "ok" else ""), _score(cell)]
        time = "kept" if cell.kept else duration(cell.seconds) if cell.seconds is not None else ""
        table.add_row(*columns, *([Text(str(cell.epochs or "")), Text(time)] if wide else []))
    if left_out:
        done = sum(cell.status in DONE for cell in left_out)
        table.add_row("", Text(f"and {done} more done, {len(left_out) - done} more to come", style="dim"))
    return table


def _score(cell: CellState) -> Text:
    if cell.miou is not None:
        return Text(f"{cell.miou:.4f}")
    return Text(f"({cell.training_score:.3f})", style="dim") if cell.training_score is not None else Text("")


def _chosen(cells: Sequence[CellState], rows: int | None) -> tuple[list[CellState], list[CellState]]:
    """The cells to list, in their order: the running one, failed ones, the next ones and the latest that are done."""
    if rows is None or len(cells) <= rows:
        return list(cells), []
    at = next((i for i, cell in enumerate(cells) if cell.status == "running"), sum(cell.status in DONE for cell in cells))
    rank = {"running": 0, "failed": 1, "interrupted": 1}
    order = sorted(range(len(cells)), key=lambda i: (rank.get(cells[i].status, 2), abs(i - at)))
    listed = set(order[: max(1, rows - 1)])
    return [cell for i, cell in enumerate(cells) if i in listed], [cell for i, cell in enumerate(cells) if i not in listed]


def _advice(state: RunState) -> list[RenderableType]:
    if state.state not in ("stopped", "interrupted"):
        return []
    why = "It was interrupted." if state.state == "interrupted" else "No process holds it any more."
    return [Text(), Text.assemble((f"{why} Continue with", "yellow"), "\n  ", inert(continue_command(state.directory)), overflow="fold")]


BLOCKS = "▁▂▃▄▅▆▇█"


PLAIN = "_.-~=+*#"


def sparkline(values: Sequence[float | None], width: int, *, signs: str = BLOCKS) -> str:
    """At most ``width`` signs from the lowest value to the highest; a longer curve is averaged, a gap is a space.

    >>> sparkline([1, 2, 3, 4], 10), sparkline([3, None, 0], 10), sparkline([2, 2], 10), sparkline([0, 0, 7, 7], 2)
    ('▁▃▆█', '█ ▁', '▁▁', '▁█')
    """
    means = _thinned(values, width)
    known = [value for value in means if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(signs) - 1)
    return "".join(" " if value is None else signs[round((value - low) / step) if step > 0 else 0] for value in means)


def _thinned(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    bounds = [index * len(values) // width for index in range(width + 1)]
    return [known_mean(values[start:end]) for start, end in pairwise(bounds)]
