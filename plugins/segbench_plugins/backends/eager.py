"""PyTorch's eager mode: nothing is exported or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench import Options


def build(network: nn.Module, inputs: tuple[Tensor, ...], options: Options) -> Callable[..., Any]:
    """The network in eval mode; each call runs without autograd. ``inputs`` and ``options`` say nothing that eager mode needs."""
    del inputs, options
    network.eval()

    def call(*images: Tensor) -> Any:
        with torch.inference_mode():
            return network(*images)

    return call
