"""Badges, as shields.io endpoints: for each run, and for each figure of what it compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from segbench import RunResult, averaged_classes, metric, slug
from segbench_reports.html.embed import printable
from segbench_reports.site.boards import Board, Entry
from segbench_reports.text import numbers as wording
from segbench_reports.view.cells import dataset_name
from segbench_reports.view.learned import collapsed_words, is_collapsed
from segbench_reports.view.summary import conditions as timed_under

_LONGEST = 60


@dataclass(frozen=True)
class Badge:
    """One label with its message; ``path`` is its file, ``what`` names the run's entry that it is about."""

    path: str
    what: str
    label: str
    message: str
    colour: str = "blue"

    @property
    def endpoint(self) -> str:
        """JSON as shields.io's endpoint badge reads it."""
        data = {"schemaVersion": 1, "label": self.label, "message": self.message, "color": self.colour}
        return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def badges(runs: Mapping[str, RunResult], boards: Mapping[str, list[Board]]) -> dict[str, list[Badge]]:
    """By run: one for the run, then mIoU, parameters and latency of everything that it compared."""
    entries = [entry for tables in boards.values() for board in tables for entry in board.entries]
    return {folder: list(_of_run(folder, result, [e for e in entries if e.run == folder])) for folder, result in runs.items()}


def _of_run(folder: str, result: RunResult, entries: list[Entry]) -> Iterator[Badge]:
    done = sum(cell.status == "ok" for cell in result.cells)
    dataset = _short(dataset_name(result) or "segbench")
    if not result.complete:
        yield Badge(f"badges/{folder}/run.json", "the run", dataset, f"{done} of {wording.counted(len(result.cells), 'cell')}", "orange")
    elif entries:
        best = max(entries, key=lambda entry: entry.miou)
        message = f"{wording.elided(printable(best.cell.model), 28)} {wording.percent(best.miou)} % mIoU{_over(best)}"
        yield Badge(f"badges/{folder}/run.json", "the run", dataset, message)
    elif done and is_collapsed(result.cells):
        yield Badge(f"badges/{folder}/run.json", "the run", dataset, _short(collapsed_words(result.cells)), "red")
    else:
        yield Badge(f"badges/{folder}/run.json", "the run", dataset, wording.counted(done, "cell"), "lightgrey")
    names: set[str] = set()
    for entry in entries:
        yield from _of_entry(folder, entry, names)


def _of_entry(folder: str, entry: Entry, names: set[str]) -> Iterator[Badge]:
    stem = slug(entry.name, limit=60)
    number = next(n for n in range(1, len(names) + 2) if (stem if n == 1 else f"{stem}-{n}").casefold() not in names)
    stem = stem if number == 1 else f"{stem}-{number}"
    names.add(stem.casefold())
    path, what, quality = f"badges/{folder}/{stem}", printable(entry.name, 80), entry.cell.quality
    split = f" {quality.split}" if quality else ""
    spread = "" if entry.deviation is None else f" ±{wording.percent(entry.deviation)}"
    score = f"{wording.percent(entry.miou)}{spread} %{_over(entry)}"
    yield Badge(f"{path}-miou.json", what, _short(f"mIoU {entry.cell.dataset or ''}{split}"), score)
    params = metric("params").value(entry.cell)
    if params is not None:
        yield Badge(f"{path}-params.json", what, "parameters", f"{wording.significant(params.value / 1e6)} M")
    timing = entry.timing
    if timing is not None and timing.p50_ms is not None:
        under = timed_under(timing).removeprefix("batch 1, ")
        yield Badge(f"{path}-latency.json", what, _short(f"latency {under}"), f"{wording.significant(timing.p50_ms)} ms")


def _over(entry: Entry) -> str:
    """The number of classes that the mean is over, where not all have label pixels."""
    classes = averaged_classes(entry.cell.quality)
    return f", {classes.short}" if classes and classes.absent else ""


def _short(text: str) -> str:
    return wording.elided(printable(text, _LONGEST), _LONGEST)
