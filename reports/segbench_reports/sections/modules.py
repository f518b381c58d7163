"""The breakdown of cost: time by part, by kind of module and by module, energy, and the phases of a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from segbench import CellResult, Latency, ModuleCost, ModuleCosts, RunResult, TrainingCost
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.view.cells import finite, single_latency

_MOST_MODULES, _MOST_KINDS = 12, 8
_STEP = ["model", "batch", "size", "precision", "step", "forward", "backward", "optimiser", "forward", "backward", "optimiser"]


def cost_breakdown(result: RunResult) -> str:
    """Tables by part and module, of training steps and of energy, one row per model; empty where no breakdown was measured."""
    cells = list({cell.model: cell for cell in reversed(result.cells) if cell.modules or cell.training_cost or cell.cost_notes}.values())[
        ::-1
    ]
    parts = [
        _parts(cells),
        _raced(result),
        *(_slowest_modules(cell) for cell in cells),
        _training(cells),
        _energy(cells),
        bullets(_notes(cells)),
    ]
    return "\n\n".join(part for part in parts if part)


def _parts(cells: Sequence[CellResult]) -> str:
    """Share of the time and of the multiply-adds in each part of each model."""
    measured = [(cell, cell.modules) for cell in cells if cell.modules and cell.modules.modules]
    names = list(dict.fromkeys(row.part for _, costs in measured for row in costs.modules if row.part))
    if not measured or not names:
        return ""
    rows = [
        [
            markdown(cell.model),
            _ms(costs.total_ms),
            *(_share_text([row for row in costs.modules if row.part == name], costs) for name in names),
        ]
        for cell, costs in measured
    ]
    unit = "time, MACs<br>% of all"
    return grid(["model", "one image<br>ms", *(f"{markdown(name)}<br>{unit}" for name in names)], rows)


def _raced(result: RunResult) -> str:
    """Modules that the race timed by themselves, and why others were not; one model's cells share one measurement."""
    parts = {
        (cell.model, part.name): part for cell in result.cells for deployment in cell.deployments for part in deployment.module_latency
    }
    timed = [[markdown(model), markdown(name), *_timing(timing)] for (model, name), part in parts.items() for timing in part.latency]
    missing = [
        f"{markdown(name)} of {markdown(model)} was not timed: {markdown(part.error)}."
        for (model, name), part in parts.items()
        if part.error
    ]
    if not parts:
        return ""
    intro = "**Modules timed by themselves**, in the race of the whole networks, on what one image gives them"
    head = ["model", "modules", "size", "p50<br>ms", "95 %<br>interval"]
    table = grid(head, timed, ["left", "left", "right", "right", "right"]) if timed else ""
    return "\n\n".join(filter(None, (intro, table, bullets(missing))))


def _timing(timing: Latency) -> list[str]:
    low, high = timing.ci95_ms or (None, None)
    interval = numbers.NOT_MEASURED if low is None or high is None else f"{_ms(low)} to {_ms(high)}"
    return [numbers.size(timing.input_size), _ms(timing.p50_ms), interval]


def _slowest_modules(cell: CellResult) -> str:
    costs = cell.modules
    if costs is None or not costs.modules:
        return ""
    slowest = [
        [markdown(row.name), markdown(row.kind), _count(row.params), _giga(row.macs), _ms(row.ms), *_shares([row], costs), _mark(row)]
        for row in costs.modules[:_MOST_MODULES]
    ]
    headers = ["module", "kind", "params", "MACs<br>G", "ms", "time<br>%", "MACs<br>%", ""]
    table = grid(headers, slowest, ["left", "left", "right", "right", "right", "right", "right", "left"])
    remaining = len(costs.modules) - len(slowest)
    more = (
        f"\n\n{numbers.counted(remaining, 'module')} more, with {_shares(costs.modules[len(slowest) :], costs)[0]} % of the time."
        if remaining > 0
        else ""
    )
    return folded(f"{markdown(cell.model)}: the slowest modules, and time by kind", f"{table}{more}\n\n{_kinds(costs)}")


def _kinds(costs: ModuleCosts) -> str:
    by_kind: dict[str, list[ModuleCost]] = {}
    for row in costs.modules:
        by_kind.setdefault(row.kind, []).append(row)
    slowest = sorted(by_kind.items(), key=lambda item: -_sum(item[1], lambda row: row.ms))[:_MOST_KINDS]
    rows = [[markdown(kind), str(len(rows)), _ms(_sum(rows, lambda row: row.ms)), *_shares(rows, costs)] for kind, rows in slowest]
    return grid(["kind", "modules", "ms", "time<br>%", "MACs<br>%"], rows)


def _training(cells: Sequence[CellResult]) -> str:
    measured = [(cell.model, cell.training_cost) for cell in cells if cell.training_cost]
    if not measured:
        return ""
    headers = [f"{name}<br>ms" if 4 <= i <= 7 else f"{name}<br>MB" if i > 7 else name for i, name in enumerate(_STEP)]
    return "**A training step taken apart**\n\n" + grid(headers, [_step(markdown(model), cost) for model, cost in measured])


def _step(model: str, cost: TrainingCost) -> list[str]:
    return [
        model,
        str(cost.batch_size or numbers.NOT_MEASURED),
        numbers.size(cost.image_size) if cost.image_size else numbers.NOT_MEASURED,
        markdown(cost.precision or numbers.NOT_MEASURED),
        *(_ms(value) for value in (cost.step_ms, cost.forward_ms, cost.backward_ms, cost.optimiser_ms)),
        *(_ms(value) for value in (cost.forward_mb, cost.backward_mb, cost.optimiser_mb)),
    ]


def _energy(cells: Sequence[CellResult]) -> str:
    """Joules per image with the method of counting; "not measured" where no cell has a counter."""
    entries = [(cell.model, single_latency(cell)) for cell in cells]
    measured = [(model, entry) for model, entry in entries if entry and entry.energy_j_per_image is not None]
    if not measured:
        return "**Energy per image**: not measured." if cells else ""
    methods = numbers.listed(list(dict.fromkeys(entry.energy_method or "" for _, entry in measured)))
    rows = [[markdown(model), numbers.significant(entry.energy_j_per_image or 0.0)] for model, entry in measured]
    return f"**Energy per image** ({markdown(methods)})\n\n{grid(['model', 'J per image<br>batch 1'], rows)}"


def _notes(cells: Sequence[CellResult]) -> Iterable[str]:
    measured = [cell.modules for cell in cells if cell.modules]
    if measured:
        yield "Times are own times: what passes in a module but not in its children, medians over calls in eval mode with one image."
        overheads = [costs.tick_overhead for costs in measured if costs.tick_overhead is not None]
        if overheads:
            yield f"Taking the time of each module costs {100 * max(overheads):.1f} % of a call at most, which is subtracted."
        yield from dict.fromkeys(markdown(numbers.sentence(costs.rule.capitalize())) for costs in measured if costs.rule)
    methods = dict.fromkeys(cell.training_cost.memory_method for cell in cells if cell.training_cost and cell.training_cost.memory_method)
    if methods:
        names = markdown(numbers.listed([method for method in methods if method]))
        yield f"Memory of a training step's phases is their peak above what was in use before the step ({names})."
    yield from _cost_notes(cells)


def _cost_notes(cells: Sequence[CellResult]) -> Iterable[str]:
    """Why a cost was not measured: once for all models that share the reason, which are named where they are not all of several."""
    models: dict[str, list[str]] = {}
    for cell in cells:
        for note in dict.fromkeys(cell.cost_notes):
            models.setdefault(note, []).append(cell.model)
    for note, names in models.items():
        text = markdown(numbers.sentence(note))
        yield text[:1].upper() + text[1:] if len(names) == len(cells) > 1 else f"{markdown(', '.join(names))}: {text}"


def _share_text(rows: Sequence[ModuleCost], costs: ModuleCosts) -> str:
    return ", ".join(_shares(rows, costs))


def _shares(rows: Sequence[ModuleCost], costs: ModuleCosts) -> list[str]:
    """Per cent of the time and of the multiply-adds, of all modules together."""
    return [_share(_sum(rows, read), _sum(costs.modules, read)) for read in (lambda row: row.ms, lambda row: row.macs)]


def _share(part: float, total: float) -> str:
    return numbers.percent(part / total) if total > 0 else numbers.NOT_MEASURED


def _sum(rows: Iterable[ModuleCost], read: Callable[[ModuleCost], float | None]) -> float:
    return sum(read(row) or 0.0 for row in rows)


def _mark(row: ModuleCost) -> str:
    return f"**{markdown(row.mark)}**" if row.mark else ""


def _ms(value: float | None) -> str:
    return numbers.NOT_MEASURED if value is None or finite(value) is None else numbers.significant(value)


def _count(value: int | None) -> str:
    return numbers.NOT_MEASURED if value is None else f"{value:,}".replace(",", "\u202f")


def _giga(value: int | None) -> str:
    return numbers.NOT_MEASURED if value is None else numbers.significant(value / 1e9)
