"""ISPRS Vaihingen, 33 tiles at 9 cm in infrared, red and green: ``top/top_mosaic_09cm_area1.tif`` and labels of the same name.

Official are 16 tiles to train on and 17 to test on. Five of the 16 are kept for validation, as in Volpi and Tuia, TGRS 2017
(arXiv 1608.00775); ``trainval`` is all 16. Means and deviations are computed, as the bands are no colours.
"""

from __future__ import annotations

from pathlib import Path

from segbench import Problem, Task
from segbench_plugins.datasets import IsprsOptions
from segbench_plugins.datasets.isprs import CLASSES, ERODED_LABELS, LABELS, tile_listing
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, open_split

TRAIN = ("1", "3", "5", "7", "13", "17", "21", "23", "26", "32", "37")
VAL = ("11", "15", "28", "30", "34")
TEST = ("2", "4", "6", "8", "10", "12", "14", "16", "20", "22", "24", "27", "29", "31", "33", "35", "38")
TILES = {"train": TRAIN, "val": VAL, "test": TEST, "trainval": TRAIN + VAL}
_NAME = "top_mosaic_09cm_area{}.tif"
_COMPLETE = "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE"
_IMAGES = {"top": _NAME, "ISPRS_semantic_labeling_Vaihingen/top": _NAME}
_LABELS = {
    _COMPLETE: _NAME,
    "gts_for_participants": _NAME,
    "ISPRS_semantic_labeling_Vaihingen/gts_for_participants": _NAME,
}
_ERODED = {"ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE": "top_mosaic_09cm_area{}_noBoundary.tif"}
_LAYOUT = f"Expected: the folder top of the archive beside {_COMPLETE} or gts_for_participants (with eroded=true: .._eroded_COMPLETE)."


def task(options: IsprsOptions) -> Task:
    """Six classes, "clutter" among them."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), rgb=())


def load(root: Path, split: str, options: IsprsOptions) -> LabelledSamples:
    """The tiles of one split."""
    labels = ERODED_LABELS if options.eroded else LABELS
    return open_split(_listing(root, split, options), labels, split=split, partial=options.partial)


def check_data(root: Path, options: IsprsOptions) -> list[Problem]:
    """Splits and tiles that are not there."""
    return check_splits(_listing, root, options, splits=("train", "val", "test"), optional=("test",))


def _listing(root: Path, split: str, options: IsprsOptions) -> Listing:
    return tile_listing(root, TILES[split], _IMAGES, _ERODED if options.eroded else _LABELS, split=split, layout=_LAYOUT)
