"""The section on parameters and operations, one row per model."""

from __future__ import annotations

from segbench import CellResult, RunResult
from segbench_reports.sections.modules import cost_breakdown
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import grid
from segbench_reports.view.cells import deployment

_HEADERS = [
    "model",
    "input",
    "params",
    "params in training",
    "parts",
    "MACs<br>G",
    "FLOPs<br>G",
    "fvcore<br>G",
    "not counted by fvcore",
    "auxiliary outputs, counted too",
    "memory<br>MB",
]


def costs(result: RunResult) -> str:
    """Exact counts of each model as deployed, and its cost by part and module; empty columns are left out."""
    breakdown = cost_breakdown(result)
    return "\n\n".join(filter(None, [_counts(result), f"### Where it sits\n\n{breakdown}" if breakdown else ""]))


def _counts(result: RunResult) -> str:
    models = {cell.model: cell for cell in reversed(result.cells) if cell.params is not None}
    rows = [_row(models[name]) for name in dict.fromkeys(cell.model for cell in result.cells) if name in models]
    if not rows:
        return ""
    columns = [i for i in range(len(_HEADERS)) if any(row[i] for row in rows)]
    body = [[row[i] or numbers.NOT_MEASURED for i in columns] for row in rows]
    left = (0, 1, 4, 8, 9, 10)
    return grid([_HEADERS[i] for i in columns], body, ["left" if i in left else "right" for i in columns])


def _row(cell: CellResult) -> list[str]:
    uncounted = ", ".join(f"{name} ×{count}" for name, count in (cell.uncounted_ops or {}).items())
    return [
        markdown(cell.model),
        " + ".join("x".join(map(str, shape)) for shape in cell.input_shape or []),
        _count(cell.params),
        _count(cell.params_trained) if cell.params_trained != cell.params else "",
        markdown(", ".join(f"{part} {_count(count)}" for part, count in cell.params_per_part.items())),
        _giga(cell.macs) or _at_least(cell),
        _giga(cell.flops),
        _giga(cell.fvcore_flops) or markdown(cell.fvcore_error or ""),
        markdown(uncounted),
        markdown(cell.auxiliary_kept or ""),
        _memory(cell),
    ]


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}".replace(",", "\u202f")


def _at_least(cell: CellResult) -> str:
    if not cell.macs_not_counted:
        return ""
    return f"≥{_giga(cell.macs_at_least)}" if cell.macs_at_least else "not counted"


def _giga(value: int | None) -> str:
    return "" if value is None else numbers.significant(value / 1e9, 4)


def _memory(cell: CellResult) -> str:
    deployed = deployment(cell)
    memory = deployed.memory_mb if deployed else None
    if memory is None:
        return ""
    parts = {
        "weights": (memory.weights, None),
        "activations": (memory.activation_peak, memory.activation_peak_ci95),
        "peak of the process": (memory.inference_peak, memory.inference_peak_ci95),
        "training step": (memory.training_peak, None),
    }
    return ", ".join(f"{name} {numbers.bounded(value, interval)}" for name, (value, interval) in parts.items() if value is not None)
