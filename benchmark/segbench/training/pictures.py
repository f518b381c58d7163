"""Pictures of fixed samples: input, label, prediction and where the two differ, side by side in one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from segbench.names import slug
from segbench.network import resize_logits
from segbench.specs import Sample, Task

Pixels = npt.NDArray[np.uint8]

_GAP = 4
_IGNORED, _WRONG, _RIGHT = (120, 120, 120), (215, 48, 39), (247, 247, 247)


def fixed_indices(count: int, wanted: int) -> tuple[int, ...]:
    """``wanted`` positions spread over ``count`` samples, always the same.

    >>> fixed_indices(10, 3), fixed_indices(2, 4)
    ((0, 4, 9), (0, 1))
    """
    if wanted >= count:
        return tuple(range(count))
    return tuple(round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted))


def write_pictures(
    samples: Sequence[Sample], predictions: Mapping[int, Tensor], *, task: Task, directory: Path, suffix: str = ""
) -> list[Path]:
    """One PNG per prediction (H, W), named after the sample's id; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, prediction in sorted(predictions.items()):
        sample = samples[index]
        path = directory / f"{index:04d}-{slug(sample.id)}{suffix}.png"
        Image.fromarray(picture(sample, prediction, task)).save(path)
        paths.append(path)
    return paths


def picture(sample: Sample, prediction: Tensor, task: Task) -> Pixels:
    """Input, label, prediction and error map as one (H, W, 3) image: errors red, ignored pixels grey."""
    mask, predicted = sample.mask.numpy(), prediction.numpy().astype(np.int64)
    ignored = mask == task.ignore_index
    palette = np.array([*(task.palette or default_palette(task.num_classes)), _IGNORED], dtype=np.uint8)
    colours = np.array([_WRONG, _RIGHT, _IGNORED], dtype=np.uint8)
    errors = colours[np.where(ignored, 2, mask == predicted)]
    gap = np.full((mask.shape[0], _GAP, 3), 255, dtype=np.uint8)
    label = palette[np.where(ignored, task.num_classes, mask)]
    return np.concatenate([_visible(sample, task), gap, label, gap, palette[predicted], gap, errors], axis=1)


def default_palette(num_classes: int) -> list[tuple[int, int, int]]:
    """Pascal VOC's colours: the bits of a class number, dealt to red, green and blue from the highest down.

    >>> default_palette(3)
    [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    """

    def channel(number: int, first: int) -> int:
        return sum((number >> (first + 3 * bit) & 1) << (7 - bit) for bit in range(3))

    return [(channel(k, 0), channel(k, 1), channel(k, 2)) for k in range(num_classes)]


def _visible(sample: Sample, task: Task) -> Pixels:
    """The first input as an image of the label's size: RGB as it is, anything else stretched between its 2nd and 98th percentile."""
    name = next(iter(task.inputs))
    values = sample.inputs[name]
    channels = values[:3] if values.shape[0] >= 3 else values[:1].expand(3, -1, -1)
    image = channels.float().nan_to_num()
    if values.dtype != torch.uint8:
        low, high = np.percentile(image.numpy(), [2, 98])
        image = (image - float(low)) / max(float(high - low), 1e-12) * 255
    resized = resize_logits(image[None], (sample.mask.shape[0], sample.mask.shape[1]))[0]
    pixels: Pixels = resized.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return pixels
