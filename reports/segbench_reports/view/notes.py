"""Notes under the main table, and the line on the protocol: conditions of the measurements and limits of their use."""

from __future__ import annotations

from segbench import AS_GIVEN, CellResult, RaceRecord, RunResult, metric
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import NOT_SHOWN, NOT_SHOWN_NOTE
from segbench_reports.view.cells import EAGER, cell_name, deployment, scored_splits, single_latency, throughput
from segbench_reports.view.learned import class_notes
from segbench_reports.view.main_table import Table
from segbench_reports.view.summary import conditions


def table_notes(result: RunResult, table: Table, *, ratios: bool = True) -> list[str]:
    """Notes in plain text on the columns and cells of this table; ``ratios`` is true where it is drawn with ratios."""
    keys = {column.key for column in table.columns}
    notes = _ratio_note(table) if ratios else []
    if keys & {"latency_ms", "images_per_second"}:
        notes += [*_timing(result), *((result.race and result.race.disturbances) or ())]
    if "training_score" in keys:
        notes.append("Training score: scored on images that were also trained on. It says nothing about new images and is not ranked.")
    if any(c.quality and c.quality.selected_on for c in result.cells):
        split = " and ".join(scored_splits(result))
        notes.append(f"The scored split ({split}) also chose the best checkpoint: these scores are somewhat optimistic.")
    notes += class_notes(result) if keys & {"miou", "training_score"} else []
    return notes + [note for cell in result.cells for note in _cell_notes(cell, table)]


def protocol_line(result: RunResult) -> str:
    """The settings of training that all cells share, in one line."""
    parts = [part for part in (_shared_setting(result, key, text) for key, text in _PROTOCOL.items()) if part]
    if other := _other_size(result):
        parts = [f"trained at {part.removeprefix('size ')}" if part.startswith("size ") else part for part in parts]
        parts.append(f"scored at {other}")
    seeds = sorted({cell.seed for cell in result.cells if cell.seed is not None})
    if seeds:
        parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    return " · ".join(parts)


def _other_size(result: RunResult) -> str:
    """The size at which all cells were scored, where it is not the last one of their training."""
    settings = [cell.resolved.get("train") or {} for cell in result.cells]
    trained = {_last_size(numbers.setting(train["image_size"])) for train in settings if "image_size" in train}
    scored = {tuple(cell.quality.image_size) for cell in result.cells if cell.quality and cell.quality.image_size}
    return numbers.size(next(iter(scored))) if len(scored) == len(trained) == 1 and scored != trained else ""


def _last_size(text: str) -> tuple[int, ...]:
    """Height and width of the last of growing sizes.

    >>> _last_size("512"), _last_size("60x80"), _last_size("256@0,512@0.5")
    ((512, 512), (60, 80), (512, 512))
    """
    sides = [int(side) for side in text.rsplit(",", maxsplit=1)[-1].partition("@")[0].split("x")]
    return (sides[0], sides[-1])


_PROTOCOL = {
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "image_size": "size {}",
    "lr": "lr {}",
    "schedule": "{}",
    "augmentation": "{} augmentation",
}


def _shared_setting(result: RunResult, key: str, text: str) -> str:
    values = {numbers.setting(cell.resolved["train"][key]) for cell in result.cells if key in (cell.resolved.get("train") or {})}
    if len(values) != 1:
        return ""
    value = values.pop()
    if key == "epochs" and value == "0":
        return AS_GIVEN
    return numbers.counted(int(value), "epoch") if key == "epochs" and value.isdigit() else text.format(value)


def _ratio_note(table: Table) -> list[str]:
    if table.reference is None:
        return []
    name = cell_name(table.reference.cell, [axis for axis in table.axes if axis != "seed"])
    words = f"× is the ratio to {name}, the first row; + and − are percentage points against it, of unrounded figures"
    texts = [text for row in table.rows for text in row.relative.values()]
    doubtful = f"; {NOT_SHOWN_NOTE}, corrected for multiple comparisons" if any(text.endswith(NOT_SHOWN) for text in texts) else ""
    return [f"{words}{doubtful}. Where noise is compared, the ratio is that of the verdict; none stands where the data cannot tell."]


def _timing(result: RunResult) -> list[str]:
    """Notes on the definition of latency and throughput, and on the conditions of their measurement."""
    single = [entry for entry in map(single_latency, result.cells) if entry]
    batched = [entry for entry in map(throughput, result.cells) if entry]
    definitions = []
    if single:
        interval = " with its 95 % interval" if all(entry.ci95_ms for entry in single) else ""
        definitions.append(f"latency is the median of single calls{interval}")
    if batched:
        definitions.append("throughput is of whole batches")
    backends = dict.fromkeys(f"{d.backend} {d.precision}" for d in map(deployment, result.cells) if d and d.latency)
    setups = dict.fromkeys(conditions(entry).partition(", ")[2] for entry in [*single, *batched])
    turns = _turns(result.race) if result.race and len(result.cells) > 1 else ""
    timed = f"Timed {' and '.join(backends)} at {' and '.join(setups)}{turns}: {'; '.join(definitions)}."
    races = {d.raced for d in map(deployment, result.cells) if d and d.latency}
    apart = "Not all were timed in one race: do not compare latencies across races. "
    settings = "Models with other measure settings were raced apart."
    apart += settings if result.race and result.race.groups else "Run all models in one command to race them together."
    return [timed, *([apart] if len(races) > 1 else [])]


def _turns(race: RaceRecord) -> str:
    """The rounds and starts of the race; empty for races of several groups, whose counts differ."""
    if race.rounds is None:
        return ""
    started = f" over {race.starts} starts of their processes" if race.starts is not None and race.starts > 1 else ""
    return f", models taking turns in {numbers.counted(race.rounds, 'round')}{started}"


def _count_notes(cell: CellResult) -> list[str]:
    """What stands outside of the counts of parameters and multiply-adds."""
    notes = []
    if cell.macs_not_counted:
        bound = f"at least {numbers.significant(cell.macs_at_least / 1e9)} G" if cell.macs_at_least else "none could be counted"
        notes.append(f"multiply-adds: {bound}, not ranked or compared, because {'; '.join(cell.macs_not_counted)}")
    shown = metric("params").value(cell)
    if shown is not None and shown.value != cell.params:
        notes.append(f"{numbers.significant((cell.params_in_buffers or 0) / 1e6)} M of its params are weights kept outside of parameters")
    return notes


def _cell_notes(cell: CellResult, table: Table) -> list[str]:
    name = cell_name(cell, table.axes)
    notes = [*cell.all_notes, *_count_notes(cell)]
    if cell.early_fusion:
        notes.append("all inputs are concatenated by channel (early fusion)")
    if cell.counts_missing:
        notes.append(cell.counts_missing)
    if cell.training and cell.training.start_words:
        notes.append(cell.training.start_words)
    if cell.training and cell.training.protocol_changed:
        notes.append(f"protocol changed: {cell.training.protocol_changed}")
    deployed = deployment(cell)
    notes += deployed.memory_mb.notes if deployed and deployed.memory_mb else []
    if deployed and deployed.error and deployed.backend == EAGER:  # of other forms the section on deployment says it
        notes.append(f"its cost was not measured: {deployed.error}")
    return [f"{name}: {note}" for note in notes]
