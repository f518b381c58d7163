"""DeepGlobe road extraction (Demir et al., CVPR Workshops 2018): ``train/ID_sat.jpg`` and ``train/ID_mask.png``, 6 226 pairs.

Masks are near 0 or 255 in three equal channels; the authors binarise them at 128. Their validation and test masks are withheld, so that
the labelled images are divided here: by the hash of the id, about 70, 15 and 15 per cent, whatever else is on disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench import IGNORE_INDEX, DataError, Problem, Task, counted, read_mask
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import IMAGENET, Array
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

THRESHOLD = 128
SPLITS = ("train", "val", "test")
_ENDS = (0.7, 0.85, 1.0)
_LAYOUT = "Expected: the folder train with ID_sat.jpg and ID_mask.png."


def task(options: ReadyOptions) -> Task:
    """Ground and road."""
    return Task(
        class_names=("background", "road"),
        palette=((0, 0, 0), (255, 255, 255)),
        headline="road",
        normalisation={"image": IMAGENET},
    )


def load(root: Path, split: str, options: ReadyOptions) -> LabelledSamples:
    """The samples of one split, by id."""
    return open_split(_listing(root, split, options), RoadLabels(), split=split, partial=options.partial)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Images without mask, and masks without image."""
    return check_splits(_listing, root, options, splits=SPLITS)


@dataclass(frozen=True)
class RoadLabels:
    """Road where a mask is at least 128."""

    def read(self, path: Path) -> Array:
        mask = read_mask(path)
        road = (mask.values >= THRESHOLD).astype(np.int64)
        return road if mask.valid is None else np.where(mask.valid, road, np.int64(IGNORE_INDEX))


def split_of(name: str) -> str:
    """The split of an image: shares of the hash of its id.

    >>> split_of("104")
    'train'
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return next(split for split, end in zip(SPLITS, _ENDS, strict=True) if place < end)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    folder = find_base(root, (".", "road-train-2", "deepglobe"), ("train",), _LAYOUT) / "train"
    files = pair_files(folder, folder, image_ending="_sat.jpg", label_ending="_mask.png")
    chosen = {name: paths for name, paths in files.items() if split_of(name) == split}
    if not chosen:
        images = f"{counted(len(files), 'image')} in {folder}"
        raise DataError(f"split '{split}' of DeepGlobe roads is not here: of {images} none belongs to it. {_LAYOUT}")
    return Listing(chosen, "train")
