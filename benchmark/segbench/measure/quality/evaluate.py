"""Evaluation of a network on a split: one confusion matrix per image, at the size of its label, in float32 whatever training ran in.

An image's matrix depends on that image alone: not on its batch, on the order, or on how many processes share the work.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.analysis.statistics.plugin_scores import MetricValues
from segbench.config.settings import Settings
from segbench.data.batches import EvalBatch
from segbench.data.loaders import eval_loader
from segbench.data.tiling import tiled_logits
from segbench.measure.quality.augmentation import augmented_logits, is_augmented
from segbench.measure.quality.boundary import boundary_counts
from segbench.measure.quality.calibration import BINS, confidence_sums, highest_probability
from segbench.measure.quality.confusion import confusion_matrix
from segbench.measure.quality.mapped import MappedClasses
from segbench.measure.quality.plugin_metrics import ImageMetrics, metric_values
from segbench.networks.finite import NonFinite, unordered
from segbench.networks.losses import AppliedLoss, valid_pixels
from segbench.networks.network import Network, resize_logits
from segbench.plugin.class_map import ClassMap
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import LossBatch, MetricSpec, Progress, Sample, Task
from segbench.util.distributed import ProcessRank, gathered, total
from segbench.util.image_size import Size, parse_growing_size, parse_size

_ROUNDING = 1e-3


@dataclass(frozen=True)
class Evaluation:
    """Matrices (N, K, K) int64 (rows = label, columns = prediction) and ids in the order of the split; all processes have all of them.

    ``loss`` is the mean over valid pixels, where a loss was given. ``predictions`` (H, W) uint8 (int64 above 256 classes) of the wanted
    images. ``seconds`` is wall time, loading included. ``boundary`` and ``boundary_uncut`` (N, 2, K) int64 and ``calibration`` (N, 3, 15)
    float64 are the sums of :mod:`segbench.measure.quality.boundary` and :mod:`segbench.measure.quality.calibration`, null where they were
    not asked for. ``nonfinite`` counts pixels and images without a highest logit: their matrices mean nothing. ``differing`` is the
    largest difference between the logits of two passes over the first images, where they differ. ``metrics`` are the values of plugins'
    metrics by name.
    """

    ids: tuple[str, ...]
    matrices: npt.NDArray[np.int64]
    seconds: float
    predictions: Mapping[int, Tensor] = field(default_factory=dict)
    loss: float | None = None
    boundary: npt.NDArray[np.int64] | None = None
    boundary_uncut: npt.NDArray[np.int64] | None = None
    calibration: npt.NDArray[np.float64] | None = None
    metrics: Mapping[str, MetricValues] = field(default_factory=dict)
    nonfinite: NonFinite = field(default_factory=NonFinite)
    differing: float | None = None


def evaluate(
    network: Network,
    samples: Sequence[Sample],
    *,
    task: Task,
    plan: InputPlan,
    settings: Settings,
    device: str,
    workers: int | Literal["auto"] = 0,
    rank: int = 0,
    world_size: int = 1,
    want_pictures: Collection[int] = (),
    loss: AppliedLoss | None = None,
    progress: Progress | None = None,
    detailed: bool = False,
    twice: bool = False,
    class_map: ClassMap | None = None,
    metrics: Sequence[MetricSpec] = (),
) -> Evaluation:
    """Evaluate ``network`` in eval mode (its mode is put back). With several processes each calls this with its ``rank``.

    ``detailed``: boundaries and calibration too, as far as the settings ask for them; choosing a checkpoint needs neither.
    ``twice``: a second pass over the first batch, to see whether it gives the same.
    ``class_map``: from the network's classes to those of ``task``, where they differ; then K is the number of its ``class_names``. Of
    classes that it merges the probabilities are summed. ``metrics``: of plugins, computed beside.
    """
    started = time.perf_counter()
    process = ProcessRank(rank, world_size, device)
    scored = MappedClasses(task, class_map)
    classes, ignored = scored.count, scored.ignore_index
    matrices = torch.zeros(len(samples), classes, classes, dtype=torch.int64)
    boundaries = torch.zeros(2, len(samples), 2, classes, dtype=torch.int64) if detailed and settings.eval.boundary else None
    calibrated = detailed and settings.eval.calibration
    calibration = torch.zeros(len(samples), 3, BINS, dtype=torch.float64) if calibrated else None
    losses = torch.zeros(2, dtype=torch.float64, device=device)
    nonfinite = torch.zeros(2, dtype=torch.int64, device=device)
    differing: float | None = None
    ids: dict[int, str] = {}
    predictions: dict[int, Tensor] = {}
    image_metrics = ImageMetrics(metrics, ignore_index=ignored)
    loader = eval_loader(
        samples,
        task=task,
        plan=plan,
        image_size=evaluation_size(settings),
        resize=settings.eval.resize,
        batch_size=settings.eval.batch_size or settings.train.batch_size,
        workers=workers,
        rank=rank,
        world_size=world_size,
        device=device,
    )
    with _evaluation_mode(network):
        for batch in loader:
            ids.update(zip(batch.indices, batch.ids, strict=True))
            outputs = _augmented(network, batch, settings) if is_augmented(settings.eval) else _outputs(network, batch.inputs, settings)
            if twice and len(ids) == len(batch.ids):
                differing = _difference(outputs["logits"], _again(network, batch, settings))
            for position, index in enumerate(batch.indices):
                image = _outputs_of_image(outputs, batch, position)
                mask = scored.labels(batch.masks[position])
                logits = scored.logits(image["logits"])
                highest, prediction = (values[0] for values in logits.max(dim=1))  # four times as fast as argmax on a CPU
                bad = unordered(highest).sum()
                nonfinite += torch.stack([bad, (bad > 0).long()])
                prediction = scored.prediction(prediction)
                matrices[index] = confusion_matrix(prediction, mask, num_classes=classes, ignore_index=ignored)
                image_metrics.add(index, prediction, mask, name=batch.ids[position])
                if boundaries is not None:
                    for place, cut in enumerate((True, False)):
                        counts = boundary_counts(prediction, mask, num_classes=classes, ignore_index=ignored, cut=cut)
                        boundaries[place, index] = counts
                if calibration is not None:
                    confidence = highest_probability(logits[0], highest)
                    calibration[index] = confidence_sums(confidence, prediction, mask, ignore_index=ignored)
                if index in want_pictures:
                    predictions[index] = prediction.to(torch.uint8 if classes <= 256 else torch.int64).cpu()
                if loss is not None:
                    losses += _sum_loss(loss, image, batch, position, task, progress or Progress(0, 1, 0, 1))
    value, pixels = total(losses, process).tolist()
    bad_pixels, bad_images = total(nonfinite, process).tolist()
    ids = gathered(ids, process)
    image_values = gathered(image_metrics.values, process)
    all_matrices = total(matrices, process).numpy()
    boundary, boundary_uncut = (None, None) if boundaries is None else total(boundaries, process).numpy()
    return Evaluation(
        ids=tuple(ids[index] for index in range(len(samples))),
        matrices=all_matrices,
        seconds=time.perf_counter() - started,
        predictions=gathered(predictions, process),
        loss=value / pixels if loss is not None and pixels else None,
        boundary=boundary,
        boundary_uncut=boundary_uncut,
        calibration=None if calibration is None else total(calibration, process).numpy(),
        metrics=metric_values(metrics, all_matrices, image_values),
        nonfinite=NonFinite(bad_pixels, bad_images),
        differing=differing,
    )


def evaluation_size(settings: Settings) -> Size:
    """``eval.image_size``, or the last size trained at.

    >>> evaluation_size(Settings(train={"image_size": "64@0,96x128@0.5"}))
    (96, 128)
    """
    if settings.eval.image_size is not None:
        return parse_size(settings.eval.image_size, key="eval.image_size")
    return parse_growing_size(settings.train.image_size)[-1][1]


def _again(network: Network, batch: EvalBatch, settings: Settings) -> Tensor:
    """The logits of one more pass over a batch."""
    return (_augmented(network, batch, settings) if is_augmented(settings.eval) else _outputs(network, batch.inputs, settings))["logits"]


def _difference(first: Tensor, second: Tensor) -> float | None:
    """The largest difference of two passes' logits where they differ by more than rounding (a thousandth of their deviation)."""
    known = first.isfinite() & second.isfinite()
    if not bool(known.any()):
        return None
    difference = float((first[known] - second[known]).abs().max())
    return difference if difference > _ROUNDING * float(first[known].float().std(correction=0)) else None


def _augmented(network: Network, batch: EvalBatch, settings: Settings) -> dict[str, Tensor]:
    """Mean over mirror images and scales, as logits at the inputs' size."""

    def predict(inputs: tuple[Tensor, ...]) -> Tensor:
        return _outputs(network, inputs, settings)["logits"]

    return {"logits": augmented_logits(predict, batch.inputs, batch.content, flip=settings.eval.flip, scales=settings.eval.scales)}


def _outputs(network: Network, inputs: tuple[Tensor, ...], settings: Settings) -> dict[str, Tensor]:
    """Raw outputs, or blended logits at the inputs' size where images are taken in tiles.

    ``forward`` is called directly, past a compiled one: every new image size would compile again.
    """
    if settings.eval.tile is None:
        return network.forward(*inputs)

    def predict(part: tuple[Tensor, ...]) -> Tensor:
        return resize_logits(network.forward(*part)["logits"], (part[0].shape[-2], part[0].shape[-1]))

    tile = parse_size(settings.eval.tile, key="eval.tile")
    return {"logits": tiled_logits(predict, inputs, tile=tile, overlap=settings.eval.overlap)}


def _outputs_of_image(outputs: Mapping[str, Tensor], batch: EvalBatch, position: int) -> dict[str, Tensor]:
    """One image's outputs (1, K, H, W) float32 at the size of its label."""
    mask = batch.masks[position]
    padded, content = (batch.inputs[0].shape[-2], batch.inputs[0].shape[-1]), batch.content[position]
    resized = {}
    for name, value in outputs.items():
        logits = value[position : position + 1].float()
        if padded != content:
            logits = resize_logits(logits, padded)[..., : content[0], : content[1]]
        resized[name] = resize_logits(logits, (mask.shape[0], mask.shape[1]))
    return resized


def _sum_loss(loss: AppliedLoss, outputs: Mapping[str, Tensor], batch: EvalBatch, position: int, task: Task, progress: Progress) -> Tensor:
    """Loss times valid pixels, and valid pixels, of one image."""
    mask = batch.masks[position]
    extras = {name: value[None].to(mask.device) for name, value in loss.prepare(mask.cpu()).items()} if loss.prepare else {}
    inputs: tuple[Tensor, ...] = ()
    if loss.spec.takes == "batch":
        inputs = tuple(resize_logits(x[position : position + 1], (mask.shape[0], mask.shape[1])) for x in batch.inputs)
    value = loss(outputs, LossBatch(inputs, mask[None], extras), progress)
    pixels = valid_pixels(mask, task.ignore_index)
    counted = torch.where(pixels > 0, value.total.double() * pixels, 0.0)
    return torch.stack([counted, pixels.double()])


@contextlib.contextmanager
def _evaluation_mode(network: Network) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)
