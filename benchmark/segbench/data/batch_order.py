"""The samples of each batch of an epoch, and each sample's seed: functions of (seed, epoch, index) and the split alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch

ItemT = TypeVar("ItemT")


def sample_seed(*parts: int) -> int:
    """A 63-bit seed from any number of integers; equal parts give equal seeds on every machine.

    >>> sample_seed(0, 1, 2) == sample_seed(0, 1, 2), sample_seed(0, 1, 2) == sample_seed(0, 2, 1)
    (True, False)
    """
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def count_batches(count: int, batch_size: int, *, world_size: int = 1) -> int:
    """Batches per epoch and process: the incomplete last one counts where every process gets at least two images of it.

    >>> count_batches(9, 4), count_batches(10, 4), count_batches(10, 2, world_size=2)
    (2, 3, 2)
    """
    full, remainder = divmod(count, batch_size * world_size)
    return full + (remainder // world_size >= 2)


def epoch_batches(count: int, batch_size: int, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1) -> Iterator[list[int]]:
    """One process's batches of sample indices: its slices of a permutation of all samples that every process shares.

    No index occurs twice in an epoch, all processes have equally many batches, and none holds a single image unless
    ``batch_size`` is 1: the few images that would be left over (others in each epoch) are dropped.
    """
    generator = torch.Generator().manual_seed(sample_seed(seed, epoch))
    order = torch.randperm(count, generator=generator).tolist()
    return _slices(order, batch_size, rank, world_size)


def drawn_batches(
    shares: Sequence[float], batch_size: int, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1
) -> Iterator[list[tuple[int, int]]]:
    """One process's batches of as many draws with replacement as there are samples, sample i with probability ``shares[i]``.

    Each draw is (index, how often it was drawn before in this epoch), so that repeated draws can be augmented in other ways.
    """
    generator = torch.Generator().manual_seed(sample_seed(seed, epoch))
    drawn = torch.multinomial(torch.tensor(shares, dtype=torch.float64), len(shares), replacement=True, generator=generator)
    before: Counter[int] = Counter()
    order = []
    for index in drawn.tolist():
        order.append((index, before[index]))
        before[index] += 1
    return _slices(order, batch_size, rank, world_size)


def _slices(order: Sequence[ItemT], batch_size: int, rank: int, world_size: int) -> Iterator[list[ItemT]]:
    """One process's slices of an order that all processes share."""
    step = batch_size * world_size
    for start in range(0, count_batches(len(order), batch_size, world_size=world_size) * step, step):
        chunk = order[start : start + step]
        yield list(chunk[len(chunk) * rank // world_size : len(chunk) * (rank + 1) // world_size])
