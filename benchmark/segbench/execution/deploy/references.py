"""Write the eager network's logits with their images, and measure the drift of a deployment against them in another process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.execution.deploy.backend_network import BackendNetwork, Images, Run, fit, resize
from segbench.measure.drift import DriftMeter, differs_from_export_size
from segbench.networks.network import DeployedNetwork
from segbench.results.records import Drift
from segbench.util.image_size import Size, format_size
from segbench.util.sequences import evenly_spaced, first_line

_LARGE = (576, 640)
_IMAGES_ELSEWHERE = 2
"""Number of images on which a deployment for any size is tried at each of the three others."""


def write_references(network: DeployedNetwork, frames: Sequence[Images], folder: Path, *, count: int, canvas: Size, any_size: bool) -> None:
    """The eager network's logits on ``count`` images at the canvas, and with ``any_size`` at three others: a folder per size."""
    indices = evenly_spaced(len(frames), count)
    _write(network, (frames[index] for index in indices), folder, canvas)
    for size in other_sizes(canvas) if any_size else ():
        _write(network, (resize(frames[index], size) for index in indices[:_IMAGES_ELSEWHERE]), folder, size)


def other_sizes(size: Size) -> tuple[Size, Size, Size]:
    """Three sizes at which a deployment for any size is tried: smaller, of another aspect, and so large that every branch that
    depends on the size (attention that pools above some number of positions) goes the other way.

    >>> other_sizes((256, 256)), other_sizes((48, 64))
    (((128, 128), (256, 384), (576, 640)), ((24, 32), (48, 96), (576, 640)))
    """
    height, width = size
    return (height // 2, width // 2), (height, width * 3 // 2), (max(2 * height, _LARGE[0]), max(2 * width, _LARGE[1]))


def measure_drift(run: Run, references: Path, size: Size) -> Drift:
    """The drift of a deployment on the references of one size."""
    meter, network = DriftMeter(), BackendNetwork(run, size)
    for file in sorted((references / format_size(size)).glob("*.pt")):
        reference = torch.load(file, weights_only=True)
        with torch.inference_mode():
            meter.add(network.one(tuple(reference["images"])).cpu(), reference["logits"])
    return meter.result(size)


def drift_everywhere(run: Run, references: Path, canvas: Size, *, any_size: bool) -> Drift:
    """The drift at the canvas, and at three other sizes for a deployment that takes any."""
    drift = measure_drift(run, references, canvas)
    if not any_size:
        return drift
    elsewhere = [_drift_at(run, references, size) for size in other_sizes(canvas)]
    return drift.model_copy(update={"sizes": elsewhere})


def _drift_at(run: Run, references: Path, size: Size) -> Drift:
    try:
        return measure_drift(run, references, size)
    except Exception as error:  # foreign code: a failure at one size is a note of its drift
        text = first_line(error)
        return Drift(images=0, input_size=size, notes=[f"{type(error).__name__}: {text}"])


def require_any_size(drift: Drift) -> None:
    """Raise :class:`BackendError` where a deployment for any size computes something else at one of them."""
    for other in drift.sizes:
        if not differs_from_export_size(other, drift):
            continue
        assert other.input_size is not None
        assert drift.input_size is not None
        size, export_size = format_size(other.input_size), format_size(drift.input_size)
        if other.max_abs is None:
            raise BackendError(
                f"exported for any size, it fails at {size} ({'; '.join(other.notes)}). Export it at a fixed size (dynamic=false)."
            )
        raise BackendError(
            f"exported for any size at {export_size}, it computes something else at {size}: logits off by up to {other.max_abs:.3g} "
            f"(at {export_size}: {drift.max_abs or 0.0:.3g}). Export it at a fixed size (dynamic=false)."
        )


def _write(network: DeployedNetwork, images: Iterable[Images], folder: Path, size: Size) -> None:
    place = folder / format_size(size)
    place.mkdir(parents=True, exist_ok=True)
    for number, inputs in enumerate(images):
        with torch.inference_mode():
            # the eager network sees the canvas, too: drift is of the arithmetic, not of the padding
            logits: Tensor = network(*fit(inputs, size))
        # and only what is no padding is compared
        height, width = (min(a, b) for a, b in zip(inputs[0].shape[-2:], size, strict=True))
        reference = {
            "images": [x[..., :height, :width].cpu().clone() for x in inputs],
            "logits": logits[..., :height, :width].cpu().clone(),
        }
        torch.save(reference, place / f"{number:04}.pt")
