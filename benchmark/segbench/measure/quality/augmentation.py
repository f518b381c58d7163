"""Test-time augmentation: probabilities averaged over mirror images and scales of the same image.

Probabilities, not logits, are averaged, at the size of the network's input, every view with the same weight; the result is the
logarithm of the mean. Views are made of the normalised inputs, by bilinear interpolation without antialiasing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from segbench.config.settings import EvalSettings
from segbench.networks.network import resize_logits
from segbench.util.image_size import Size

Predict = Callable[[tuple[Tensor, ...]], Tensor]


def is_augmented(settings: EvalSettings) -> bool:
    """True where mirror images or further scales are evaluated beside the plain image."""
    return settings.flip or settings.scales != (1.0,)


def without_augmentation(settings: EvalSettings) -> EvalSettings:
    """The same settings for the plain image alone."""
    return settings.model_copy(update={"flip": False, "scales": (1.0,)})


def augmented_logits(
    predict: Predict, inputs: tuple[Tensor, ...], content: Sequence[Size], *, flip: bool, scales: Sequence[float]
) -> Tensor:
    """Logarithm (N, K, H, W) of the mean probabilities over all views of inputs (N, C, H, W).

    ``predict`` gives logits (N, K, h, w) at any size; ``content`` is the height and width of each image without its padding, which
    stays on the right and at the bottom in mirror images, too.
    """
    size = (inputs[0].shape[-2], inputs[0].shape[-1])
    total: Tensor | None = None
    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            views = tuple(_mirror(x, content) for x in inputs) if mirrored else inputs
            if scale != 1.0:
                views = tuple(_rescale(x, scale) for x in views)
            probabilities = resize_logits(predict(views).float(), size).softmax(dim=1)
            probabilities = _mirror(probabilities, content) if mirrored else probabilities
            total = probabilities if total is None else total + probabilities
    assert total is not None
    mean = total / (len(scales) * (2 if flip else 1))
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()


def _mirror(values: Tensor, content: Sequence[Size]) -> Tensor:
    """Each image (C, H, W) of a batch mirrored left to right within its content."""
    mirrored = values.clone()
    for position, (height, width) in enumerate(content):
        mirrored[position, :, :height, :width] = values[position, :, :height, :width].flip(-1)
    return mirrored


def _rescale(values: Tensor, scale: float) -> Tensor:
    size = tuple(max(1, round(length * scale)) for length in values.shape[-2:])
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)
