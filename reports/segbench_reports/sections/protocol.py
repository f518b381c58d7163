"""The section on the protocol: the settings of training, scoring and measuring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from segbench import CellResult, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import folded, grid
from segbench_reports.view.cells import deployment, single_latency
from segbench_reports.view.summary import conditions

Reader = Callable[[CellResult], str]


def protocol(result: RunResult) -> str:
    """A table of the main settings, and all resolved ones folded below; where cells differ, each value once."""
    rows = [[label, _values(result.cells, read)] for label, read in _LINES.items()]
    rows = [row for row in [*_names(result), *_task(result), *rows] if row[1]]
    if not rows:
        return ""
    all_settings = _all_settings(result.cells)
    table = grid(["setting", "value"], rows, ["left", "left"])
    return f"{table}\n\n{all_settings}" if all_settings else table


def _names(result: RunResult) -> list[list[str]]:
    """What stands behind each short name of a model."""
    names = {cell.model: cell.identity for cell in result.cells}
    return [[f"model {markdown(name)}", markdown(identity)] for name, identity in names.items() if name != identity]


def _setting(section: str, key: str) -> Reader:
    def read(cell: CellResult) -> str:
        values = cell.resolved.get(section)
        return numbers.setting(values[key]) if isinstance(values, Mapping) and key in values else ""

    return read


def _scored(cell: CellResult) -> str:
    if cell.quality is None:
        return ""
    images = f" ({numbers.counted(cell.quality.images, 'image')})" if cell.quality.images is not None else ""
    return f"{cell.quality.split}{images}"


def _evaluated_at(cell: CellResult) -> str:
    size, resize = _setting("eval", "image_size")(cell), _setting("eval", "resize")(cell)
    if not resize:
        return ""
    tile = _setting("eval", "tile")(cell)
    if tile not in ("", "none"):
        return f"tiles of {tile}, overlap {_setting('eval', 'overlap')(cell)}"
    if resize == "none":
        return "each image's own size"
    return f"{size if size not in ('', 'none') else 'as trained'}, {resize}"


def _augmented(cell: CellResult) -> str:
    values = cell.resolved.get("eval")
    if not isinstance(values, Mapping):
        return ""
    flip, scales = bool(values.get("flip")), [float(scale) for scale in values.get("scales") or (1.0,)]
    if not flip and scales == [1.0]:
        return ""
    views = [*(["the mirror image"] if flip else []), *([f"scales {numbers.setting(scales)}"] if scales != [1.0] else [])]
    passes = len(scales) * (2 if flip else 1)
    return f"mean probabilities over {' and '.join(views)}: {passes} passes per image; latency is of one"


def _batch(cell: CellResult) -> str:
    batch, accumulate = _setting("train", "batch_size")(cell), _setting("train", "accumulate")(cell)
    return f"{batch} x {accumulate} accumulated" if accumulate not in ("", "1") else batch


def _precision(cell: CellResult) -> str:
    return (cell.training.precision if cell.training else None) or _setting("train", "precision")(cell)


def _device(cell: CellResult) -> str:
    return (cell.training.device if cell.training else None) or str(cell.resolved.get("device") or "")


def _latency_conditions(cell: CellResult) -> str:
    entry = single_latency(cell)
    return conditions(entry) if entry else ""


def _training_memory_method(cell: CellResult) -> str:
    deployed = deployment(cell)
    memory = deployed.memory_mb if deployed else None
    return (memory.training_method if memory and memory.training_peak is not None else None) or ""


_LINES: dict[str, Reader] = {
    "dataset": lambda cell: cell.dataset_identity or "",
    "recipe": lambda cell: cell.recipe or "",
    "loss": lambda cell: cell.loss or "",
    "trained on split": _setting("train", "split"),
    "checkpoint chosen on split": _setting("train", "select_on"),
    "scored on split": _scored,
    "image size, training": _setting("train", "image_size"),
    "image size, evaluation": _evaluated_at,
    "test-time augmentation": _augmented,
    "epochs": _setting("train", "epochs"),
    "batch size": _batch,
    "optimiser": lambda cell: "AdamW" if cell.resolved.get("train") else "",
    "learning rate": _setting("train", "lr"),
    "schedule": _setting("train", "schedule"),
    "weight decay": _setting("train", "weight_decay"),
    "gradient clipping": _setting("train", "clip"),
    "early stopping, patience": _setting("train", "patience"),
    "augmentation": _setting("train", "augmentation"),
    "precision, training": _precision,
    "device": _device,
    "seed": lambda cell: "" if cell.seed is None else str(cell.seed),
    "latency": _latency_conditions,
    "memory of a training step": _training_memory_method,
}


def _task(result: RunResult) -> Iterable[list[str]]:
    names, inputs = result.task.class_names, result.task.inputs
    if names:
        yield ["classes", f"{len(names)}: {markdown(', '.join(names))}"]
    if inputs:
        yield ["inputs", markdown(", ".join(f"{name} ({numbers.counted(count, 'channel')})" for name, count in inputs.items()))]


def _values(cells: Sequence[CellResult], read: Reader) -> str:
    texts = dict.fromkeys(text for cell in cells if (text := read(cell)))
    return markdown(" / ".join(texts))


def _all_settings(cells: Sequence[CellResult]) -> str:
    """Every resolved setting by its dotted key."""
    texts: dict[str, dict[str, None]] = {}
    for cell in cells:
        for key, value in _flat(cell.resolved):
            texts.setdefault(key, {})[numbers.setting(value)] = None
    rows = [[markdown(key), markdown(" / ".join(values))] for key, values in texts.items()]
    return folded("All resolved settings", grid(["key", "value"], rows, ["left", "left"])) if rows else ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
