"""CrackForest, road cracks (Shi et al., IEEE TITS 2016): ``image/001.jpg`` to ``118.jpg`` and ``groundTruth/001.mat``, or PNG masks.

In a MATLAB file ``groundTruth.Segmentation`` is 1 for road and 2 for crack; two files have a few pixels of 3, which the authors do not
explain: not scored. PNG masks (``mask_png``, ``masks`` ..) are 0 and 255, or 0 and 1 with 255 for pixels that do not count. The authors
give no split: here blocks of ten neighbouring numbers go to train, train, train, val, test in turn (78, 20 and 20 of 118).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segbench import IGNORE_INDEX, DataError, Problem, Task, counted, read_mask
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import IMAGENET, Array, read_matlab
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import LabelledSamples, Listing, block_split, check_splits, find_base, open_split, pair_files

SPLITS = ("train", "val", "test")
OFFICIAL = {"train": 78, "val": 20, "test": 20}
SEGMENTS = LabelTable({1: 0, 2: 1, 3: IGNORE_INDEX})
MASKS = LabelTable({0: 0, 1: 1, 255: IGNORE_INDEX})
BINARY_MASKS = LabelTable({0: 0, 255: 1})  # every image has a crack: without a 1, it is 255
_LABEL_FOLDERS = {"groundTruth": ".mat", "mask_png": ".png", "masks": ".png", "mask": ".png"}
_LAYOUT = "Expected: CrackForest-dataset with image (001.jpg ..) and groundTruth (001.mat ..), or PNG masks in mask_png."


def task(options: ReadyOptions) -> Task:
    """Road and crack."""
    return Task(
        class_names=("background", "crack"),
        palette=((0, 0, 0), (255, 0, 0)),
        headline="crack",
        normalisation={"image": IMAGENET},
    )


def load(root: Path, split: str, options: ReadyOptions) -> LabelledSamples:
    """The samples of one split, by number."""
    return open_split(_listing(root, split, options), CrackLabels(), split=split, partial=options.partial)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=SPLITS, optional=("test",), official=OFFICIAL)


@dataclass(frozen=True)
class CrackLabels:
    """Cracks of a MATLAB file or of a PNG mask."""

    def read(self, path: Path) -> Array:
        if path.suffix == ".mat":
            return SEGMENTS.apply(read_matlab(path, "groundTruth", "Segmentation"), path)
        mask = read_mask(path)
        return (MASKS if (mask.values == 1).any() else BINARY_MASKS).apply(mask.values, path, valid=mask.valid)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    base = find_base(root, (".", "CrackForest-dataset", "CrackForest-dataset-master"), ("image",), _LAYOUT)
    folder = next((name for name in _LABEL_FOLDERS if (base / name).is_dir()), None)
    if folder is None:
        raise DataError(f"there are no labels of CrackForest in {base}. {_LAYOUT}")
    files = pair_files(base / "image", base / folder, image_ending=(".jpg", ".png"), label_ending=_LABEL_FOLDERS[folder])
    odd = [name for name in files if not name.isdigit()]
    if odd:
        raise DataError(f"{base / 'image'}: '{odd[0]}' is no number such as 001: splits of CrackForest are by number. {_LAYOUT}")
    pattern = ("train", "train", "train", "val", "test")
    chosen = {name: paths for name, paths in files.items() if block_split(int(name) - 1, size=10, pattern=pattern) == split}
    if not chosen:
        raise DataError(
            f"split '{split}' of CrackForest is not here: of {counted(len(files), 'image')} in {base / 'image'} none belongs to it."
        )
    return Listing(chosen, f"image and {folder}")
