"""Bright stripes of random angle, width and colour on noise: drawn on access, the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from segbench import Sample
from segbench_example import StripesOptions

# seeds of a split lie far apart, so that no image of one stands in the other
FIRST_SEED = {"train": 0, "val": 1_000_000}


@dataclass(frozen=True)
class Stripes(Sequence[Sample]):
    """The samples of one split."""

    split: str
    length: int
    size: int
    seed: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < self.length:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(self.seed * 2_000_000 + FIRST_SEED[self.split] + index)
        angle, offset, width, *color = torch.rand(6, generator=generator).tolist()
        rows, columns = torch.meshgrid(
            torch.linspace(-1, 1, self.size),
            torch.linspace(-1, 1, self.size),
            indexing="ij",
        )
        distance = (math.cos(math.pi * angle) * columns + math.sin(math.pi * angle) * rows - (offset - 0.5)).abs()
        mask = (distance < 0.1 + 0.2 * width).long()
        image = 90 + 30 * torch.randn(3, self.size, self.size, generator=generator)
        image += mask * (60 + 60 * torch.tensor(color).view(3, 1, 1))
        return Sample(
            {"image": image.clamp(0, 255).to(torch.uint8)},
            mask,
            f"{self.split}-{index:04d}",
        )


def load(root: Path | None, split: str, options: StripesOptions) -> Stripes:
    """One split; nothing is read from disk."""
    return Stripes(
        split,
        options.samples if split == "train" else options.samples // 2,
        options.size,
        options.seed,
    )
