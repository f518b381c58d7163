"""PyTorch's eager mode, with images laid out channels first or last: nothing is exported or compiled."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from segbench_plugins.backends.precision import Run, in_precision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench_plugins.backends import TorchOptions


def build(network: nn.Module, inputs: tuple[Tensor, ...], options: TorchOptions) -> Run:
    """The network in eval mode; each call runs without autograd. Eager mode does not need ``inputs``."""
    del inputs
    form = in_precision(network, options.precision)

    def call(*images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = form(*images)
            return logits

    return call


def build_channels_last(network: nn.Module, inputs: tuple[Tensor, ...], options: TorchOptions) -> Run:
    """The same with weights and images in the memory order (N, H, W, C), which convolutions on most devices prefer."""
    del inputs
    form = in_precision(network, options.precision)
    form = copy.deepcopy(form) if form is network else form
    form = form.eval().to(memory_format=torch.channels_last)

    def call(*images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = form(*(image.contiguous(memory_format=torch.channels_last) for image in images))
            return logits.contiguous()

    return call
