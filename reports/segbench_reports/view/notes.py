"""Short remarks that belong under the table: under what the figures were taken, and what must not be read into them."""

from __future__ import annotations

from segbench import CellResult, RaceRecord, RunResult
from segbench_reports.text import numbers as wording
from segbench_reports.view.cells import cell_name, deployment, scored_splits, single_latency, throughput
from segbench_reports.view.main_table import Table
from segbench_reports.view.summary import conditions


def table_notes(result: RunResult, table: Table, *, ratios: bool = True) -> list[str]:
    """Remarks in plain text, only those that this table needs; ``ratios`` says whether it is drawn with them."""
    keys = {column.key for column in table.columns}
    notes = _comparison(table) if ratios else []
    if keys & {"latency_ms", "images_per_second"}:
        notes += [*_timing(result), *((result.race and result.race.disturbances) or ())]
    if "training_score" in keys:
        notes.append("Training score: scored on images that were also trained on. It says nothing about new images and is not ranked.")
    chosen = [c for c in result.cells if c.quality and c.quality.selected_on]
    if chosen:
        split = " and ".join(scored_splits(result))
        notes.append(f"The scored split ({split}) also chose the best checkpoint: these scores are somewhat optimistic.")
    return notes + [note for cell in result.cells for note in _cell_notes(cell, table)]


def protocol_line(result: RunResult) -> str:
    """How the cells were trained, in one line; what differs between cells is left to the table."""
    parts = [part for part in (_common(result, key, text) for key, text in _LINE.items()) if part]
    seeds = sorted({cell.seed for cell in result.cells if cell.seed is not None})
    if seeds:
        parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    return " · ".join(parts)


_LINE = {
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "image_size": "size {}",
    "lr": "lr {}",
    "schedule": "{}",
    "augmentation": "{} augmentation",
}


def _common(result: RunResult, key: str, text: str) -> str:
    values = {wording.setting(cell.resolved["train"][key]) for cell in result.cells if key in (cell.resolved.get("train") or {})}
    return text.format(values.pop()) if len(values) == 1 else ""


def _comparison(table: Table) -> list[str]:
    if table.reference is None:
        return []
    name = cell_name(table.reference.cell, [axis for axis in table.axes if axis != "seed"])
    return [f"× is the ratio to {name}, the first row; + and − are percentage points against it."]


def _timing(result: RunResult) -> list[str]:
    """What latency and throughput are, and under what they were taken."""
    single = [entry for entry in map(single_latency, result.cells) if entry]
    batched = [entry for entry in map(throughput, result.cells) if entry]
    meanings = []
    if single:
        interval = " with its 95 % interval" if all(entry.ci95_ms for entry in single) else ""
        meanings.append(f"latency is the median of single calls{interval}")
    if batched:
        meanings.append("throughput is of whole batches")
    forms = dict.fromkeys(f"{d.backend} {d.precision}" for d in map(deployment, result.cells) if d and d.latency)
    setups = dict.fromkeys(conditions(entry).partition(", ")[2] for entry in [*single, *batched])
    turns = _turns(result.race) if result.race and len(result.cells) > 1 else ""
    timed = f"Timed {' and '.join(forms)} at {' and '.join(setups)}{turns}: {'; '.join(meanings)}."
    races = {d.raced for d in map(deployment, result.cells) if d and d.latency}
    apart = "Not all were timed in one race: do not compare latencies across races. "
    settings = "Models with other measure settings were raced apart."
    apart += settings if result.race and result.race.groups else "Run all models in one command to race them together."
    return [timed, *([apart] if len(races) > 1 else [])]


def _turns(race: RaceRecord) -> str:
    """Rounds and starts of a race, in words; empty for races of several groups, each of which had its own."""
    if race.rounds is None:
        return ""
    started = f" over {race.starts} starts of their processes" if race.starts is not None and race.starts > 1 else ""
    return f", models taking turns in {race.rounds} rounds{started}"


def _cell_notes(cell: CellResult, table: Table) -> list[str]:
    name = cell_name(cell, table.axes)
    notes = list(cell.notes)
    if cell.early_fusion:
        notes.append("all inputs are concatenated by channel (early fusion)")
    if cell.training and cell.training.protocol_changed:
        notes.append(f"protocol changed: {cell.training.protocol_changed}")
    found = deployment(cell)
    notes += found.memory_mb.notes if found and found.memory_mb else []
    return [f"{name}: {note}" for note in notes]
