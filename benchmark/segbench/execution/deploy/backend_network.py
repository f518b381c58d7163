"""BackendNetwork: a backend's callable as a network; the images it is given, and the fixed canvas that they are brought to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.config.settings import Settings
from segbench.data.batches import Normaliser
from segbench.data.loaders import EvalItems, Failure
from segbench.data.transforms import evaluation_size as resized_to
from segbench.errors import BackendError, DataError
from segbench.measure.quality.evaluate import evaluation_size
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Sample, Task
from segbench.util.image_size import Size, parse_size
from segbench.util.sequences import evenly_spaced

Images = tuple[Tensor, ...]
Run = Callable[..., Any]


class EvaluationImages(Sequence[Images]):
    """The inputs (1, C, h, w) of each sample of a split, resized and normalised for evaluation; read when asked for."""

    def __init__(self, samples: Sequence[Sample], *, task: Task, plan: InputPlan, settings: Settings, device: str) -> None:
        self._items = EvalItems(samples, task, plan, evaluation_size(settings), settings.eval.resize)
        self._normalise = Normaliser(plan, torch.device(device))
        self._device = device

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        item = self._items[index]
        if isinstance(item, Failure):
            raise item.error
        return self._normalise({name: image[None].to(self._device) for name, image in item["inputs"].items()})


class NoiseImages(Sequence[Images]):
    """Normal noise (1, C, h, w) in place of normalised images, for a task without a dataset."""

    def __init__(self, channels: Sequence[int], size: Size, count: int, device: str) -> None:
        self._shapes = [(1, channel, *size) for channel in channels]
        self._count, self._device = count, device

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        return tuple(torch.randn(shape, generator=generator).to(self._device) for shape in self._shapes)


class CalibrationImages(Sequence[Images]):
    """Calibration images for quantization: ``count`` of ``frames``, spread evenly, each brought to the canvas."""

    def __init__(self, frames: Sequence[Images], count: int, canvas: Size) -> None:
        self._frames, self._canvas = frames, canvas
        self._indices = evenly_spaced(len(frames), count)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        return fit(self._frames[self._indices[index]], self._canvas)


class BackendNetwork(nn.Module):
    """A deployment under the calling convention of :class:`~segbench.networks.network.Network`, so that evaluation can score it.

    Images are given to it one by one; with a ``canvas`` smaller ones are padded up to it, and their logits cut back.
    """

    def __init__(self, run: Run, canvas: Size | None) -> None:
        super().__init__()
        self._run, self._canvas = run, canvas

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": torch.cat([self.one(tuple(x[i : i + 1] for x in inputs)) for i in range(inputs[0].shape[0])])}

    def one(self, images: Images) -> Tensor:
        """Logits (1, K, h, w) of one image. Raises :class:`BackendError` where the backend gives anything else."""
        height, width = images[0].shape[-2:]
        canvas = self._canvas or (height, width)
        if height > canvas[0] or width > canvas[1]:
            raise BackendError(f"an image of {height}x{width} does not fit into the fixed size {canvas[0]}x{canvas[1]} of the export")
        # copies: a backend is foreign code, and what it does to them must not reach the next view of the image
        logits = self._run(*(x.clone() for x in fit(images, canvas)))
        if not isinstance(logits, Tensor) or logits.ndim != 4 or tuple(logits.shape[-2:]) != canvas:
            what = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise BackendError(f"a call gives {what} where logits (1, K, {canvas[0]}, {canvas[1]}) were expected")
        return logits.to(images[0].device)[..., :height, :width]


def canvas_of(samples: Sequence[Sample], settings: Settings) -> Size:
    """The size (height, width) into which every image of a split fits as it is evaluated; with tiles, into which every tile fits.

    Raises :class:`DataError` for an empty split.
    """
    if not len(samples):
        raise DataError("the scored split is empty: there is nothing to compare the deployed forms on.")
    size = evaluation_size(settings)
    if settings.eval.resize == "warp":
        largest = size
    else:
        masks = (tuple(samples[index].mask.shape) for index in range(len(samples)))
        sizes = [resized_to((mask[0], mask[1]), size, settings.eval.resize) for mask in masks]
        largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
    if settings.eval.tile is None:
        # test-time augmentation makes images larger, too
        grown = max(1.0, *settings.eval.scales)
        return math.ceil(largest[0] * grown), math.ceil(largest[1] * grown)
    tile = parse_size(settings.eval.tile, key="eval.tile")
    return min(tile[0], largest[0]), min(tile[1], largest[1])


def fit(images: Images, canvas: Size) -> Images:
    """Images (1, C, h, w) on a canvas: cut at the bottom and right where larger, padded there with 0 (the mean) where smaller."""
    height, width = images[0].shape[-2:]
    if (height, width) == canvas:
        return images
    cut = (image[..., : canvas[0], : canvas[1]] for image in images)
    return tuple(functional.pad(x, (0, canvas[1] - x.shape[-1], 0, canvas[0] - x.shape[-2])) for x in cut)


def resize(images: Images, size: Size) -> Images:
    """Images (1, C, h, w) at another size, bilinear."""
    return tuple(functional.interpolate(image, size=size, mode="bilinear", align_corners=False) for image in images)
