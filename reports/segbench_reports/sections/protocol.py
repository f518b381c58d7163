"""The section on the protocol: the settings of training, scoring and measuring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from segbench import AS_GIVEN, CellResult, ClassWeights, RunResult
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


def _trained(key: str) -> Reader:
    """A setting of the training, of which a network that was taken as given had none here."""
    return lambda cell: "" if cell.is_as_given else _setting("train", key)(cell)


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
    trained = _setting("train", "image_size")(cell) if cell.is_as_given else "as trained"
    return f"{size if size not in ('', 'none') else trained}, {resize}"


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


def _unusual(cell: CellResult, key: str, usual: Any, text: str) -> str:
    """A setting of training in words; empty where it has its usual value, or the run was made before it existed."""
    values = cell.resolved.get("train")
    value = values.get(key, usual) if isinstance(values, Mapping) else usual
    return "" if value == usual or value in ((), []) else text.format(numbers.setting(value))


def _optimiser(cell: CellResult) -> str:
    if not cell.resolved.get("train"):
        return ""
    return (cell.training.optimizer if cell.training else None) or _unusual(cell, "optimizer", "adamw", "{}") or "AdamW"


def _weight_decay(cell: CellResult) -> str:
    decay = _setting("train", "weight_decay")(cell)
    return decay and decay + _unusual(cell, "decay_norms", True, ", none on norms and biases")


def _frozen(cell: CellResult) -> str:
    parts = _unusual(cell, "freeze", (), "{}")
    trained = cell.training.trainable_params if cell.training else None
    count = f" ({trained:,} parameters are trained)" if trained is not None else ""
    return f"{parts}{count}" if parts else ""


def _average(cell: CellResult) -> str:
    return _unusual(cell, "ema", None, "decay {}, less in the first steps; it is what was validated, kept and scored")


def _class_weights(cell: CellResult) -> str:
    names = cell.quality.class_names if cell.quality else []
    return "; ".join(_weights(one, names) for one in (cell.training.class_weights if cell.training else []))


def _weights(one: ClassWeights, names: Sequence[str]) -> str:
    rule = "inverse frequency" if one.beta is None else f"effective number of pixels, beta 1 - {1 - one.beta:.3g}"
    labels = names if len(names) == len(one.weights) else [str(index) for index in range(len(one.weights))]
    return f"{rule}: {', '.join(f'{name} {weight:.3g}' for name, weight in zip(labels, one.weights, strict=True))}"


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
    "trained on split": _trained("split"),
    "checkpoint chosen on split": _trained("select_on"),
    "scored on split": _scored,
    "image size, training": _trained("image_size"),
    "image size, evaluation": _evaluated_at,
    "test-time augmentation": _augmented,
    "epochs": lambda cell: f"0, {AS_GIVEN}" if cell.is_as_given else _setting("train", "epochs")(cell),
    "batch size": _batch,
    "class weights": _class_weights,
    "optimiser": lambda cell: "" if cell.is_as_given else _optimiser(cell),
    "learning rate": _setting("train", "lr"),
    "learning rate of the encoder": lambda cell: _unusual(cell, "encoder_lr", 1.0, "{} times the learning rate"),
    "schedule": _setting("train", "schedule"),
    "weight decay": _weight_decay,
    "not trained": _frozen,
    "moving average of the weights": _average,
    "sampling": lambda cell: _unusual(cell, "sampler", "shuffled", "{}: every class is drawn as often, with replacement"),
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
