"""What a claim can speak of, and how it is read from a cell of ``run.json``.

A cell may hold one quantity several times (latency at three sizes); each reading carries its circumstances, so that a claim is held
against the reading that meets its conditions, and never against another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from segbench.results.records import CellResult, Deployment, Latency
from segbench.util.image_size import format_size


@dataclass(frozen=True)
class MetricReading:
    """One measured value and what it holds for. ``value`` is None where it was not measured; ``why`` may say why.

    What its uncertainty can be read from: the calls of each round of a race (``raced``), the 95 % ``interval`` that a race gave it, or
    the same quantity epoch by epoch.
    """

    value: float | None
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    raced: str | None = None
    rounds_ms: list[list[float]] = field(default_factory=list)
    start_rounds: list[int] = field(default_factory=list)
    interval: tuple[float, float] | None = None
    epochs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class MetricValue:
    """One reading of one cell."""

    cell: CellResult
    reading: MetricReading


@dataclass(frozen=True)
class Metric:
    """A measured quantity.

    read     all readings of a cell
    depends  on the ``network`` alone (and where it runs), or also on its ``training`` (data, loss, recipe, settings)
    rate     more is faster: a speed-up is subject / baseline, else baseline / subject
    noise    what makes it vary: nothing (a count), what its memory meter resolves, calls, epochs, or seeds and images (scores)
    unit     what stands behind a printed value, which is multiplied by ``scale`` and given with ``digits`` decimals
    """

    read: Callable[[CellResult], Iterator[MetricReading]]
    depends: Literal["network", "training"]
    name: str = ""
    noise: Literal["none", "memory", "calls", "epochs", "scores"] = "none"
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    rate: bool = False


def _count(name: str) -> Callable[[CellResult], Iterator[MetricReading]]:
    def read(cell: CellResult) -> Iterator[MetricReading]:
        yield MetricReading(getattr(cell, name))

    return read


def _part(name: str) -> Callable[[CellResult], Iterator[MetricReading]]:
    def read(cell: CellResult) -> Iterator[MetricReading]:
        if name in cell.params_per_part:
            yield MetricReading(cell.params_per_part[name])

    return read


def _cost(name: str) -> Callable[[CellResult], Iterator[MetricReading]]:
    def read(cell: CellResult) -> Iterator[MetricReading]:
        shape = cell.input_shape
        yield MetricReading(getattr(cell, name), {"input_size": format_size((shape[0][-2], shape[0][-1]))} if shape else {})

    return read


def _eager(cell: CellResult) -> Deployment | None:
    return next((d for d in cell.deployments if d.backend == "eager" and d.precision == "fp32"), None)


def _circumstances(latency: Latency) -> dict[str, Any]:
    found = {"device": latency.device, "batch_size": latency.batch_size, "input_size": format_size(latency.input_size)}
    return found if latency.threads is None else {**found, "threads": latency.threads}


def _latency_ms(cell: CellResult) -> Iterator[MetricReading]:
    deployment = _eager(cell)
    if deployment is not None:
        yield from _single_calls(deployment)


def _single_calls(deployment: Deployment) -> Iterator[MetricReading]:
    for latency in deployment.latency:
        if latency.batch_size == 1:
            yield _timed(latency.p50_ms, latency.ci95_ms, latency, deployment)


def _timed(value: float | None, interval: tuple[float, float] | None, latency: Latency, deployment: Deployment) -> MetricReading:
    return MetricReading(
        value,
        _circumstances(latency),
        raced=deployment.raced,
        rounds_ms=latency.rounds_ms,
        start_rounds=latency.start_rounds,
        interval=interval,
    )


def _throughput(cell: CellResult) -> Iterator[MetricReading]:
    deployment = _eager(cell)
    for latency in deployment.latency if deployment else []:
        if deployment is not None and latency.batch_size > 1:
            low, high = latency.ci95_ms or (None, None)
            rate = 1000 * latency.batch_size
            interval = (rate / high, rate / low) if low and high else None
            yield _timed(latency.images_per_second, interval, latency, deployment)


def _form(deployment: Deployment) -> dict[str, Any]:
    """In which form a model was deployed: the backend's name without its options, and the numeric format."""
    return {"backend": deployment.backend.partition("[")[0], "precision": deployment.precision}


def _deployed_latency_ms(cell: CellResult) -> Iterator[MetricReading]:
    for deployment in cell.deployments:
        for reading in _single_calls(deployment):
            yield replace(reading, circumstances={**_form(deployment), **reading.circumstances})


def _deployed_file_mb(cell: CellResult) -> Iterator[MetricReading]:
    for deployment in cell.deployments:
        if deployment.file_mb is not None:
            yield MetricReading(deployment.file_mb, _form(deployment))


def _inference_memory(cell: CellResult) -> Iterator[MetricReading]:
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
        yield MetricReading(memory.weights + memory.activation_peak, circumstances)


def _training_memory(cell: CellResult) -> Iterator[MetricReading]:
    deployment = _eager(cell)
    memory = deployment.memory_mb if deployment else None
    if memory is None or memory.training_peak is None:
        return
    if _device(cell) != "cuda":
        why = "the memory of a training step is that of the whole process on a CPU, interpreter included"
        yield MetricReading(None, _training_circumstances(cell), why)
    else:
        yield MetricReading(memory.training_peak, _training_circumstances(cell))


def _train_rate(cell: CellResult) -> Iterator[MetricReading]:
    if cell.training is not None:
        epochs = [row.images_per_second for row in cell.training.history if row.images_per_second is not None]
        yield MetricReading(cell.training.images_per_second, _training_circumstances(cell), epochs=epochs)


def _seconds_per_epoch(cell: CellResult) -> Iterator[MetricReading]:
    done = cell.training
    if done is not None and done.seconds is not None and done.epochs_run:
        yield MetricReading(done.seconds / done.epochs_run, _training_circumstances(cell), epochs=_epoch_seconds(cell))


def _training_hours(cell: CellResult) -> Iterator[MetricReading]:
    done = cell.training
    if done is not None and done.seconds is not None:
        yield MetricReading(done.seconds / 3600, _training_circumstances(cell), epochs=_epoch_seconds(cell))


def _epoch_seconds(cell: CellResult) -> list[float]:
    return [row.seconds for row in cell.training.history if row.seconds is not None] if cell.training else []


def _score(name: str) -> Callable[[CellResult], Iterator[MetricReading]]:
    def read(cell: CellResult) -> Iterator[MetricReading]:
        quality = cell.quality
        if quality is None:
            return
        circumstances = {"split": quality.split, "images": quality.images, "epochs": cell.resolved.get("train", {}).get("epochs")}
        if quality.training_score is not None:
            yield MetricReading(None, circumstances, f"the network was trained on the scored split ({quality.split})")
        else:
            yield MetricReading(getattr(quality, name), circumstances)

    return read


def _device(cell: CellResult) -> Any:
    device = cell.resolved.get("device")
    return device.split(":")[0] if isinstance(device, str) else device


def _training_circumstances(cell: CellResult) -> dict[str, Any]:
    train = cell.resolved.get("train", {})
    found = {"device": _device(cell), "batch_size": train.get("batch_size"), "image_size": train.get("image_size")}
    return {**found, "precision": cell.training.precision if cell.training else None}


def _quality(name: str) -> Metric:
    return Metric(_score(name), "training", name=name, noise="scores", unit="%", scale=100.0)


METRICS: Mapping[str, Metric] = {
    "params": Metric(_count("params"), "network", unit="M", scale=1e-6),
    "params_trained": Metric(_count("params_trained"), "network", unit="M", scale=1e-6),
    "encoder_params": Metric(_part("encoder"), "network", unit="M", scale=1e-6),
    "size_mb": Metric(_count("size_mb"), "network", unit="MB"),
    "macs": Metric(_cost("macs"), "network", unit="G", scale=1e-9, digits=3),
    "flops": Metric(_cost("flops"), "network", unit="G", scale=1e-9, digits=3),
    "fvcore_flops": Metric(_cost("fvcore_flops"), "network", unit="G", scale=1e-9, digits=3),
    "latency_ms": Metric(_latency_ms, "network", noise="calls", unit="ms"),
    "deployed_latency_ms": Metric(_deployed_latency_ms, "network", noise="calls", unit="ms"),
    "deployed_file_mb": Metric(_deployed_file_mb, "network", unit="MB"),
    "throughput_images_per_second": Metric(_throughput, "network", noise="calls", unit="images/s", rate=True),
    "inference_memory_mb": Metric(_inference_memory, "network", noise="memory", unit="MB", digits=1),
    "training_memory_mb": Metric(_training_memory, "network", noise="memory", unit="MB", digits=1),
    "train_images_per_second": Metric(_train_rate, "training", noise="epochs", unit="images/s", rate=True),
    "train_seconds_per_epoch": Metric(_seconds_per_epoch, "training", noise="epochs", unit="s"),
    "training_hours": Metric(_training_hours, "training", noise="epochs", unit="h", digits=1),
    "miou": _quality("miou"),
    "miou_micro": _quality("miou_micro"),
    "miou_imagewise": _quality("miou_imagewise"),
    "miou_frequency_weighted": _quality("miou_frequency_weighted"),
    "pixel_accuracy": _quality("pixel_accuracy"),
    "mean_accuracy": _quality("mean_accuracy"),
    "headline_iou": _quality("headline_iou"),
}
"""Every quantity that a claim can name. Costs and speeds are of the eager deployment in fp32, ``deployed_*`` of every form with its backend
and precision among the circumstances; latency is the median at batch 1."""
