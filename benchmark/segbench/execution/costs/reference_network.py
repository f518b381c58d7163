"""The anchor: a fixed reference network that every race includes, so that races of different days have something in common.

Time over the anchor's time cancels how fast the machine was that day, as far as the model and the anchor feel it alike. They do not feel
everything alike: a load that takes memory bandwidth slows a network that waits for memory more than one that computes. The anchor is
therefore made of what segmentation networks are made of (strided, plain and dilated convolutions, a 1 x 1 head, bilinear resizing), it is
never changed under the same name, and a ratio of two ratios is only drawn between races on the same processor, thread count, torch and
input size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.execution.cells.job import Emit
from segbench.execution.costs.contender_process import attend
from segbench.execution.costs.memory_layout import randomised_layout
from segbench.measure.contender import Contender, local_contender
from segbench.util.image_size import Size

REFERENCE = "anchor-1"
"""Name and version; another network gets another number, so that old ratios are not taken for new ones."""


class ReferenceNetwork(nn.Module):
    """Three convolutions at a quarter of the size, a head of eight classes, and logits (N, 8, H, W) resized to the image's size.

    >>> tuple(ReferenceNetwork()(torch.zeros(1, 3, 30, 44)).shape), sum(p.numel() for p in ReferenceNetwork().parameters())
    ((1, 8, 30, 44), 32264)
    """

    def __init__(self) -> None:
        super().__init__()
        # the numbers do not matter for its time, but equal ones make its outputs comparable, too
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.stem = nn.Conv2d(3, 24, 3, stride=2, padding=1)
            self.down = nn.Conv2d(24, 48, 3, stride=2, padding=1)
            self.context = nn.Conv2d(48, 48, 3, padding=2, dilation=2)
            self.head = nn.Conv2d(48, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, 8, H, W) of images (N, 3, H, W)."""
        features = functional.relu(self.down(functional.relu(self.stem(image))))
        logits = self.head(functional.relu(self.context(features)))
        return functional.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


class AnchorDeployment:
    """The anchor as it takes part in a race, at whatever size and batch it is asked for."""

    def __init__(self, *, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.device, self.threads = device, threads
        self.network = ReferenceNetwork().eval().to(device)

    def contender(self, name: str, size: Size, batch_size: int) -> Contender:
        """The anchor at one size and batch."""
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(batch_size, 3, *size, generator=generator).to(self.device)

        def call() -> object:
            with torch.inference_mode():
                return self.network(image)

        threads = self.threads if self.device == "cpu" else None
        return local_contender(name, call, batch_size=batch_size, input_size=size, device=self.device, threads=threads)

    def memory(self) -> dict[str, Any]:
        """Nobody asks for it."""
        raise RuntimeError("the anchor's memory is not measured")


def serve(job: Mapping[str, Any], emit: Emit) -> None:
    """Answer a race's commands in a process of its own; the job has ``device`` and ``threads``."""
    held = randomised_layout()
    attend(AnchorDeployment(device=str(job["device"]), threads=int(job["threads"])), job, emit)
    held.clear()


__all__ = ["REFERENCE", "AnchorDeployment", "ReferenceNetwork", "serve"]
