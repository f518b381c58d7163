"""Pixels of each class in each image of a split: what class weights and balanced sampling are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from segbench.data.samples import read_sample
from segbench.plugin.specs import Sample, Task
from segbench.util.devices import usable_cores
from segbench.util.sequences import counted

ClassPixels = npt.NDArray[np.int64]
"""Labelled pixels (images, classes), at the labels' own resolution."""


def count_class_pixels(samples: Sequence[Sample], task: Task) -> ClassPixels:
    """Count every label of a split, ignored pixels left out. Raises :class:`~segbench.errors.DataError` for a sample that does not fit."""

    def count(index: int) -> ClassPixels:
        mask = read_sample(samples, index, task=task).mask.numpy()
        return np.bincount(mask[mask != task.ignore_index].astype(np.int64), minlength=task.num_classes)

    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding leaves the interpreter's lock
        return np.stack(list(pool.map(count, range(len(samples)))))


def balanced_shares(pixels: ClassPixels) -> npt.NDArray[np.float64]:
    """For each image the probability that a draw takes it: a class is drawn evenly, then an image by its pixels of that class.

    >>> balanced_shares(np.array([[6, 0], [2, 0], [0, 5], [8, 5]])).tolist()
    [0.1875, 0.0625, 0.25, 0.5]
    """
    occurring = pixels[:, pixels.sum(axis=0) > 0].astype(np.float64)
    shares: npt.NDArray[np.float64] = (occurring / occurring.sum(axis=0)).mean(axis=1)
    return shares


def sampling_note(shares: npt.NDArray[np.float64]) -> str:
    """What balanced sampling makes of an epoch, in words."""
    count = len(shares)
    different = float((1 - (1 - shares) ** count).sum())
    return (
        f"balanced sampling: an epoch draws {counted(count, 'image')} with replacement, on average {different:.0f} different ones; "
        f"the most frequent one comes {count * float(shares.max()):.1f} times"
    )
