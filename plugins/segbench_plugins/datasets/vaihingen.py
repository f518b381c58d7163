"""ISPRS Vaihingen, 33 tiles at 9 cm in infrared, red and green: ``top/top_mosaic_09cm_area1.tif`` and labels of the same name.

Official are 16 tiles to train on and 17 to test on. Five of the 16 are kept for validation, as in Volpi and Tuia, TGRS 2017
(arXiv 1608.00775); ``trainval`` is all 16. Means and deviations are computed, as the bands are no colours.
"""

from __future__ import annotations

from segbench import Task
from segbench_plugins.datasets import IsprsOptions
from segbench_plugins.datasets.isprs import CLASSES, IsprsTiles

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


_TILES = IsprsTiles(TILES, _IMAGES, _LABELS, _ERODED, _LAYOUT)
load = _TILES.load
check_data = _TILES.check_data
