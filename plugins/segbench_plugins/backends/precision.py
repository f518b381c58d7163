"""Common parts of the backends: a network cast to half the bits, and a check of the input shapes of fixed-size deployments."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from segbench import BackendError

Run = Callable[..., Tensor]
"""A deployed network: float32 images (N, C, H, W) to float32 logits (N, K, H, W)."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Cast(nn.Module):
    """A copy of a network in another dtype, with float32 images in and float32 logits out.

    Casting, not autocast, is deployed: autocast would keep float32 weights, and cast them again for each image.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().to(dtype)
        self.dtype = dtype

    def forward(self, *images: Tensor) -> Tensor:
        logits: Tensor = self.network(*(image.to(self.dtype) for image in images))
        return logits.float()


def in_precision(network: nn.Module, precision: str) -> nn.Module:
    """The network in eval mode and in a float precision; a copy of it unless that is fp32."""
    network.eval()
    return network if precision == "fp32" else Cast(network, DTYPES[precision]).eval()


def for_size(run: Run, expected_shapes: Sequence[Sequence[int]]) -> Run:
    """``run`` with a clear :class:`~segbench.BackendError` for inputs of other shapes than those it was made for."""
    expected = [tuple(shape) for shape in expected_shapes]

    def call(*images: Tensor) -> Tensor:
        shapes = [tuple(image.shape) for image in images]
        if shapes != expected:
            raise BackendError(
                f"made for inputs of shape {_shapes_text(expected)}, it was given {_shapes_text(shapes)}. "
                "Pad or resize the images, or export it again."
            )
        return run(*images)

    return call


def _shapes_text(shapes: Sequence[Sequence[int]]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes) or "nothing"
