"""The reference network: fixed, and timed in every race, so that races of different days can be compared. ``run.json`` calls it the anchor.

Time over the reference's time cancels the machine's speed of that day, as far as both depend on it alike. They do not always: a
load that takes memory bandwidth slows a network that waits for memory more than one that computes. The reference is therefore made of
what segmentation networks are made of (strided, plain and dilated convolutions, a 1 x 1 head, bilinear resizing), it is
never changed under the same name, and a ratio of two ratios is only drawn between races on the same processor, thread count, torch and
input size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.execution.costs.contender_process import Observed, answer_commands
from segbench.execution.costs.memory_layout import randomised_layout
from segbench.execution.jobs import ReferenceJob
from segbench.measure.contender import Contender, local_contender
from segbench.results.records import Memory
from segbench.util.image_size import Size
from segbench.util.processes import Channel

REFERENCE = "anchor-1"
"""Name and version; another network gets another number, so that old ratios are not taken for new ones."""


class ReferenceNetwork(nn.Module):
    """Three convolutions at a quarter of the size, a head of eight classes, and logits (N, 8, H, W) resized to the image's size.

    >>> network = ReferenceNetwork()
    >>> tuple(network(torch.zeros(1, 3, 30, 44)).shape), sum(p.numel() for p in network.parameters())
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


class ReferenceModel:
    """The reference network at any size and batch, to be raced."""

    def __init__(self, *, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.device, self.threads = device, threads
        self.network = ReferenceNetwork().eval().to(device)

    def contender(self, name: str, size: Size, batch_size: int) -> Contender:
        """The reference network at one size and batch, to be raced in this process."""
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(batch_size, 3, *size, generator=generator).to(self.device)

        def call() -> object:
            with torch.inference_mode():
                return self.network(image)

        threads = self.threads if self.device == "cpu" else None
        return local_contender(name, call, batch_size=batch_size, input_size=size, device=self.device, threads=threads)

    def memory(self) -> Memory:
        """Not measured for the reference network."""
        raise RuntimeError("the memory of the reference network is not measured")

    def observed(self) -> Observed:
        """Nothing: it is no plugin's code."""
        return Observed()


def serve(job: ReferenceJob, channel: Channel) -> None:
    """Answer a race's commands about the reference network in a process of its own."""
    blocks = randomised_layout()
    answer_commands(ReferenceModel(device=job.device, threads=job.threads), channel)
    blocks.clear()
