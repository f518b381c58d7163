"""Read metrics from a cell of ``run.json``: all their values with circumstances, for claims, and the one that tables show.

A cell may hold one metric several times (latency at three sizes); each reading carries its circumstances, so that a claim is judged
by the reading that meets its conditions, and never by another.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Literal

from segbench.results.deployments import EAGER
from segbench.results.records import CellResult, Deployment, Latency, ModuleCost, ModuleLatency, Training
from segbench.results.scored_classes import only_class
from segbench.results.training_epochs import counted, median_speed
from segbench.util.image_size import format_size
from segbench.util.sequences import counted as counted_word

RecordName = Literal["cell", "quality", "metrics", "training", "deployment", "latency", "throughput", "memory_mb"]
"""A record of a cell that holds metrics; ``metrics`` are those of plugins (``quality.metrics``), ``latency`` and ``throughput`` the timings
that tables show."""


@dataclass(frozen=True)
class MetricReading:
    """One measured value with its circumstances. ``value`` is None where it was not measured; ``why`` may say why.

    Its uncertainty is read from the calls of each round of a race (``raced``), the 95 % ``interval`` that a race gave it, the same
    metric in each epoch that counts (the first one warms up), or in each of several fresh ``processes``.
    """

    value: float | None
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    raced: str | None = None
    rounds_ms: list[list[float]] = field(default_factory=list)
    start_rounds: list[int] = field(default_factory=list)
    interval: tuple[float, float] | None = None
    epochs: list[float] = field(default_factory=list)
    processes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class MetricValue:
    """One reading of one cell."""

    cell: CellResult
    reading: MetricReading


@dataclass(frozen=True)
class ShownValue:
    """The value of a cell that tables show: ``spread`` is its deviation over seeds, ``interval`` the 95 % interval of the value.

    ``at_least``: the value is a lower bound of a count. It is never marked best, compared or drawn.
    """

    value: float
    spread: float | None = None
    interval: tuple[float, float] | None = None
    at_least: bool = False


Readings = Callable[[CellResult], Iterator[MetricReading]]
"""All values of one metric in a cell."""

ModuleReadings = Callable[[CellResult, tuple[str, ...]], Iterator[MetricReading]]
"""All values in a cell of one metric of a part of the network: modules by dotted name or class."""

Shown = Callable[[CellResult], ShownValue | None]
"""The value of one metric in a cell that tables show."""


def stored(cell: CellResult, record: RecordName, key: str) -> float | None:
    """The number at a record and key, None where there is none."""
    value = getattr(_RECORDS[record](cell), key, None)
    return value if isinstance(value, (int, float)) else None


MASKS = "masks"
"""``kind`` of a row that is a folder of masks, whatever made them, and no network."""


def only_masks(cells: Iterable[CellResult]) -> bool:
    """True where every row is a folder of masks."""
    return all(cell.kind == MASKS for cell in cells)


def not_comparable(cell: CellResult) -> str:
    """The reason why nothing of a row may be ranked, compared or judged against a claim; empty for an ordinary row."""
    if cell.limit:
        return quick_try(cell.limit)
    quality = cell.quality
    return part_of_split(quality.images or 0, quality.split_images) if quality and quality.split_images else ""


def quick_try(limit: int) -> str:
    """What a row with ``data.limit`` is.

    >>> quick_try(20)
    'a quick try on at most 20 images of each split: not ranked, not compared, not judged against claims'
    """
    return f"a quick try on at most {counted_word(limit, 'image')} of each split: not ranked, not compared, not judged against claims"


def part_of_split(images: int, total: int) -> str:
    """What a row is of which only some of the split's images were scored.

    >>> part_of_split(20, 101)
    'scored on 20 of 101 images of the split: not ranked, not compared, not judged against claims'
    """
    return f"scored on {images} of {counted_word(total, 'image')} of the split: not ranked, not compared, not judged against claims"


def finite(value: float | None) -> float | None:
    """``value``, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def shown_deployment(cell: CellResult) -> Deployment | None:
    """The deployment that tables compare: eager, else the cell's first."""
    eager = (deployment for deployment in cell.deployments if deployment.backend == EAGER)
    return next(eager, cell.deployments[0] if cell.deployments else None)


def single_latency(cell: CellResult) -> Latency | None:
    """The shown deployment's first timing at batch 1."""
    return single_timing(shown_deployment(cell))


def batch_latency(cell: CellResult) -> Latency | None:
    """The shown deployment's timing at the largest batch above 1."""
    return batch_timing(shown_deployment(cell))


def single_timing(deployment: Deployment | None) -> Latency | None:
    """A deployment's first timing at batch 1."""
    return next((entry for entry in deployment.latency if entry.batch_size == 1), None) if deployment else None


def batch_timing(deployment: Deployment | None) -> Latency | None:
    """A deployment's timing at the largest batch above 1."""
    entries = [entry for entry in deployment.latency if entry.batch_size > 1] if deployment else []
    return max(entries, key=lambda entry: entry.batch_size, default=None)


def half_interval(entry: Latency) -> float | None:
    """The wider side of the interval of the median, so that ± covers what was measured."""
    if entry.ci95_ms is None or entry.p50_ms is None:
        return None
    return max(entry.ci95_ms[1] - entry.p50_ms, entry.p50_ms - entry.ci95_ms[0], 0.0)


def shown_latency(cell: CellResult) -> ShownValue | None:
    """Median of single calls."""
    entry = single_latency(cell)
    median = finite(entry.p50_ms) if entry else None
    return None if entry is None or median is None else ShownValue(median, interval=entry.ci95_ms)


def shown_throughput(cell: CellResult) -> ShownValue | None:
    """Images per second in the largest batch, at the median time of a call."""
    entry = batch_latency(cell)
    speed = finite(entry.rate) if entry else None
    if entry is None or speed is None:
        return None
    return ShownValue(speed, interval=entry.rate_ci95)


def shown_memory(cell: CellResult) -> ShownValue | None:
    """Peak of the whole process during one call."""
    deployment = shown_deployment(cell)
    memory = deployment.memory_mb if deployment else None
    peak = finite(memory.inference_peak) if memory else None
    return None if memory is None or peak is None else ShownValue(peak, interval=memory.inference_peak_ci95)


def shown_energy(cell: CellResult) -> ShownValue | None:
    """Joules per image of single calls, where a meter was read."""
    deployment = shown_deployment(cell)
    for entry in deployment.latency if deployment else []:
        joules = finite(entry.energy_j_per_image)
        if entry.batch_size == 1 and joules is not None:
            return ShownValue(joules)
    return None


def only_class_of(cell: CellResult) -> str | None:
    """The class that a cell's every prediction on labelled pixels is of; None where it predicts several, or the labels are of it alone."""
    return only_class(cell.quality)


def count(cell: CellResult, record: RecordName, key: str, *, at_input: bool = False) -> Iterator[MetricReading]:
    """The stored number; with the size of the input where it depends on that."""
    shape = cell.input_shape if at_input else None
    yield MetricReading(stored(cell, record, key), {"input_size": format_size((shape[0][-2], shape[0][-1]))} if shape else {})


def score(cell: CellResult, key: str, record: RecordName = "quality") -> Iterator[MetricReading]:
    """A score of the cell, without its value where it is of images that were trained on."""
    quality = cell.quality
    if quality is None:
        return
    circumstances = {"split": quality.split, "images": quality.images, "epochs": cell.resolved.get("train", {}).get("epochs")}
    if quality.training_score is not None:
        yield MetricReading(None, circumstances, f"the network was trained on the scored split ({quality.split})")
    else:
        plugin_score = quality.metrics.get(key) if record == "metrics" else None
        yield MetricReading(stored(cell, record, key), circumstances, plugin_score.reason if plugin_score else "")


WEIGHTS_ELSEWHERE = 0.01
"""From this share of the parameters on, weights outside of them are counted as parameters: fixed filters of a blur stay below."""


def all_params(cell: CellResult) -> int | None:
    """Parameters, with the weights that are kept in buffers where those are more than fixed filters."""
    return None if cell.params is None else with_weights_elsewhere(cell.params, cell.params_in_buffers or 0)


def with_weights_elsewhere(params: int, elsewhere: int) -> int:
    """Parameters and weights outside of them, where those are more than fixed filters.

    >>> with_weights_elsewhere(1000, 9), with_weights_elsewhere(1000, 500)
    (1000, 1500)
    """
    return params + elsewhere if elsewhere > WEIGHTS_ELSEWHERE * params else params


def params(cell: CellResult) -> Iterator[MetricReading]:
    """Parameters, with weights that are kept in buffers."""
    yield MetricReading(all_params(cell))


def shown_params(cell: CellResult) -> ShownValue | None:
    """Parameters, with weights that are kept in buffers."""
    value = all_params(cell)
    return None if value is None else ShownValue(value)


def multiply_adds(key: str) -> Readings:
    """The count ``key`` at the input's size; without its value where some multiply-adds could not be counted."""

    def read(cell: CellResult) -> Iterator[MetricReading]:
        why = f"not all multiply-adds could be counted: {'; '.join(cell.macs_not_counted)}" if cell.macs_not_counted else ""
        yield from (replace(reading, why=why) for reading in count(cell, "cell", key, at_input=True))

    return read


def shown_macs(cell: CellResult) -> ShownValue | None:
    """The multiply-adds; a lower bound where not all could be counted."""
    if cell.macs is None and cell.macs_at_least:
        return ShownValue(cell.macs_at_least, at_least=True)
    return None if cell.macs is None else ShownValue(cell.macs)


def encoder_params(cell: CellResult) -> Iterator[MetricReading]:
    """Parameters of the part that the model calls its encoder."""
    if "encoder" in cell.params_per_part:
        yield MetricReading(cell.params_per_part["encoder"])


def size_decimal_mb(cell: CellResult) -> Iterator[MetricReading]:
    """The parameters as 32-bit floats, in MB of 10^6 bytes."""
    yield MetricReading(None if (count := all_params(cell)) is None else 4 * count / 1e6)


def module_params(cell: CellResult, modules: tuple[str, ...]) -> Iterator[MetricReading]:
    """Parameters of the named modules with everything below them."""
    yield _summed(cell, modules, "params", {})


def module_macs(cell: CellResult, modules: tuple[str, ...]) -> Iterator[MetricReading]:
    """Multiply-adds of the named modules with everything below them, for one image."""
    yield _summed(cell, modules, "macs", _module_size(cell))


def module_ms(cell: CellResult, modules: tuple[str, ...]) -> Iterator[MetricReading]:
    """Milliseconds of one call that are spent in the named modules and below them: as raced by themselves, else as marked in a call."""
    raced = _module_latency(cell, modules)
    if raced is not None:
        deployment, part = raced
        for timing in part.latency:
            reading = _timed(timing.p50_ms, timing.ci95_ms, timing, deployment)
            # the batch is always 1
            yield replace(reading, circumstances={k: v for k, v in reading.circumstances.items() if k != "batch_size"})
        if not part.latency:
            yield MetricReading(None, {}, part.error or "its modules were not timed")
        return
    costs = cell.modules
    timed_on = {"device": costs.device, "threads": costs.threads} if costs else {}
    yield _summed(cell, modules, "ms", {**timed_on, **_module_size(cell)})


def module_count(cell: CellResult, modules: tuple[str, ...]) -> Iterator[MetricReading]:
    """How many modules stand directly below the named ones."""
    rows, why = _rows_below(cell, modules)
    names = {row.name for row in rows or []}
    children = {name[len(top) + 1 :].partition(".")[0] for name in names for top in modules if name.startswith(f"{top}.")}
    yield MetricReading(None if rows is None else len(children), {}, why)


def _module_latency(cell: CellResult, modules: tuple[str, ...]) -> tuple[Deployment, ModuleLatency] | None:
    """The race's record of just these modules, and the deployment that they are of."""
    deployment = _eager(cell)
    parts = [part for part in deployment.module_latency if set(part.name.split("+")) == set(modules)] if deployment else []
    return (deployment, parts[0]) if deployment and parts else None


def _summed(cell: CellResult, modules: tuple[str, ...], key: str, circumstances: Mapping[str, Any]) -> MetricReading:
    rows, why = _rows_below(cell, modules)
    values = [getattr(row, key) for row in rows or []]
    if rows is None or None in values:
        return MetricReading(None, circumstances, why or f"{key} of its modules could not be had")
    return MetricReading(sum(values), circumstances)


def _rows_below(cell: CellResult, modules: tuple[str, ...]) -> tuple[list[ModuleCost] | None, str]:
    """Rows of the modules and of all below them, each once; None with the reason where one of them is not there."""
    if cell.modules is None:
        return None, "the costs of its modules were not measured (measure.modules, with measure.latency)"
    rows = cell.modules.modules
    tops = {name: [row.name for row in rows if name in (row.name, row.kind) or row.name.startswith(f"{name}.")] for name in modules}
    missing = [name for name, names in tops.items() if not names]
    if missing:
        return None, f"the network has no module {', '.join(missing)}"
    wanted = {name for names in tops.values() for name in names}
    return [row for row in rows if row.name in wanted or any(row.name.startswith(f"{name}.") for name in wanted)], ""


def _module_size(cell: CellResult) -> dict[str, Any]:
    shapes = cell.modules.input_shape if cell.modules else []
    return {"input_size": format_size((shapes[0][-2], shapes[0][-1]))} if shapes else {}


def latency_ms(cell: CellResult) -> Iterator[MetricReading]:
    """Median of single calls in eager mode, size by size."""
    deployment = _eager(cell)
    if deployment is not None:
        yield from _single_calls(deployment)


def throughput(cell: CellResult) -> Iterator[MetricReading]:
    """Images per second of whole batches in eager mode."""
    deployment = _eager(cell)
    for latency in deployment.latency if deployment else []:
        if deployment is not None and latency.batch_size > 1:
            yield _timed(latency.rate, latency.rate_ci95, latency, deployment)


def deployed_latency_ms(cell: CellResult) -> Iterator[MetricReading]:
    """Median of single calls through every backend."""
    for deployment in cell.deployments:
        for reading in _single_calls(deployment):
            yield replace(reading, circumstances={**_backend(deployment), **reading.circumstances})


def deployed_file_mb(cell: CellResult) -> Iterator[MetricReading]:
    """Size of every exported file."""
    for deployment in cell.deployments:
        if deployment.file_mb is not None:
            yield MetricReading(deployment.file_mb, _backend(deployment))


def inference_memory_mb(cell: CellResult) -> Iterator[MetricReading]:
    """Peak of one call: the allocator's on CUDA, weights and activations on a CPU."""
    deployment = _eager(cell)
    memory = deployment.memory_mb if deployment else None
    if memory is None:
        return
    circumstances: dict[str, Any] = {"device": _device(cell), "batch_size": memory.batch_size}
    if memory.input_size:
        circumstances["input_size"] = format_size(memory.input_size)
    if _device(cell) == "cuda":
        yield MetricReading(memory.inference_peak, circumstances)
    elif memory.weights is not None and memory.activation_peak is not None:
        # the peak of a whole process holds the interpreter and its libraries too, which would bring every ratio near 1
        processes = [memory.weights + peak for peak in memory.activation_peaks]
        yield MetricReading(memory.weights + memory.activation_peak, circumstances, processes=processes)


def training_memory_mb(cell: CellResult) -> Iterator[MetricReading]:
    """Peak of one training step on CUDA."""
    deployment = _eager(cell)
    memory = deployment.memory_mb if deployment else None
    if memory is None or memory.training_peak is None:
        return
    if _device(cell) != "cuda":
        why = "the memory of a training step is that of the whole process on a CPU, interpreter included"
        yield MetricReading(None, _training_circumstances(cell), why)
    else:
        yield MetricReading(memory.training_peak, _training_circumstances(cell))


def train_rate(cell: CellResult) -> Iterator[MetricReading]:
    """Images per second while training: the median over the epochs that count."""
    if cell.training is not None:
        epochs = [row.images_per_second for row in counted(cell.training.history) if row.images_per_second is not None]
        yield MetricReading(_train_rate(cell.training), _training_circumstances(cell), epochs=epochs)


def shown_train_rate(cell: CellResult) -> ShownValue | None:
    """The same for tables."""
    speed = finite(_train_rate(cell.training)) if cell.training else None
    return None if speed is None else ShownValue(speed)


def _train_rate(training: Training) -> float | None:
    """From the epochs themselves, since earlier versions stored a quotient of sums."""
    median = median_speed(training.history)
    return training.images_per_second if median is None else median


def train_seconds_per_epoch(cell: CellResult) -> Iterator[MetricReading]:
    """Duration of an epoch: the median over those that count, else the mean."""
    training = cell.training
    if training is not None and training.seconds is not None and training.epochs_run:
        epochs = _epoch_seconds(cell)
        seconds = statistics.median(epochs) if epochs else training.seconds / training.epochs_run
        yield MetricReading(seconds, _training_circumstances(cell), epochs=epochs)


def training_hours(cell: CellResult) -> Iterator[MetricReading]:
    """Duration of the whole training."""
    training = cell.training
    if training is not None and training.seconds is not None:
        yield MetricReading(training.seconds / 3600, _training_circumstances(cell), epochs=_epoch_seconds(cell))


def epoch_val_miou(cell: CellResult) -> Iterator[MetricReading]:
    """mIoU on the validation split after each epoch; without its value where that split was trained on."""
    why = _why_no_validation(cell)
    for row in cell.training.history if cell.training else []:
        yield MetricReading(None if why else row.val_miou, {"epoch": row.epoch}, why)


def _why_no_validation(cell: CellResult) -> str:
    split = cell.training.select_on if cell.training else None
    if split is None:
        return "training had no validation split (train.select_on)"
    # "trainval" holds "val"; what only looks alike is not judged either
    scored_on_training = cell.quality is not None and cell.quality.split == split and cell.quality.training_score is not None
    if split in str(cell.resolved.get("train", {}).get("split")) or scored_on_training:
        return f"the network was trained on the validation split ({split})"
    return ""


def epoch_train_loss(cell: CellResult) -> Iterator[MetricReading]:
    """Mean training loss of each epoch."""
    for row in cell.training.history if cell.training else []:
        yield MetricReading(row.train_loss, {"epoch": row.epoch})


def _eager(cell: CellResult) -> Deployment | None:
    return next((d for d in cell.deployments if d.backend == EAGER and d.precision == "fp32"), None)


def _single_calls(deployment: Deployment) -> Iterator[MetricReading]:
    for latency in deployment.latency:
        if latency.batch_size == 1:
            yield _timed(latency.p50_ms, latency.ci95_ms, latency, deployment)


def _timed(value: float | None, interval: tuple[float, float] | None, latency: Latency, deployment: Deployment) -> MetricReading:
    timed_at = {"device": latency.device, "batch_size": latency.batch_size, "input_size": format_size(latency.input_size)}
    return MetricReading(
        value,
        timed_at if latency.threads is None else {**timed_at, "threads": latency.threads},
        raced=deployment.raced,
        rounds_ms=latency.rounds_ms,
        start_rounds=latency.start_rounds,
        interval=interval,
    )


def _backend(deployment: Deployment) -> dict[str, Any]:
    """The backend's name without its options, and the numeric format."""
    return {"backend": deployment.backend.partition("[")[0], "precision": deployment.precision}


def _epoch_seconds(cell: CellResult) -> list[float]:
    return [row.seconds for row in counted(cell.training.history) if row.seconds is not None] if cell.training else []


def _device(cell: CellResult) -> Any:
    device = cell.resolved.get("device")
    return device.split(":")[0] if isinstance(device, str) else device


def _training_circumstances(cell: CellResult) -> dict[str, Any]:
    train = cell.resolved.get("train", {})
    circumstances = {"device": _device(cell), "batch_size": train.get("batch_size"), "image_size": train.get("image_size")}
    return {**circumstances, "precision": cell.training.precision if cell.training else None}


def _memory(cell: CellResult) -> Any:
    deployment = shown_deployment(cell)
    return deployment.memory_mb if deployment else None


def _plugin_scores(cell: CellResult) -> SimpleNamespace:
    """Values of plugins' metrics by name."""
    metrics = cell.quality.metrics if cell.quality else {}
    return SimpleNamespace(**{name: score.value for name, score in metrics.items()})


_RECORDS: Mapping[RecordName, Callable[[CellResult], Any]] = {
    "cell": lambda cell: cell,
    "quality": lambda cell: cell.quality,
    "metrics": _plugin_scores,
    "training": lambda cell: cell.training,
    "deployment": shown_deployment,
    "latency": single_latency,
    "throughput": batch_latency,
    "memory_mb": _memory,
}
