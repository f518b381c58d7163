"""ISPRS Potsdam, 38 tiles of 6000x6000 at 5 cm: ``2_Ortho_RGB/top_potsdam_2_10_RGB.tif``, ``5_Labels_all/top_potsdam_2_10_label.tif``.

Official are 24 tiles to train on and 14 to test on. Seven of the 24 are kept for validation, as in Volpi and Tuia, TGRS 2017
(arXiv 1608.00775); ``trainval`` is all 24.
"""

from __future__ import annotations

from segbench import Task
from segbench_plugins.datasets import IsprsOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.isprs import CLASSES, IsprsTiles

VAL = ("2_11", "2_12", "4_10", "5_11", "6_7", "7_8", "7_10")
TRAIN = ("2_10", "3_10", "3_11", "3_12", "4_11", "4_12", "5_10", "5_12", "6_8", "6_9", "6_10", "6_11", "6_12", "7_7", "7_9", "7_11", "7_12")
TEST = ("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13")
TILES = {"train": TRAIN, "val": VAL, "test": TEST, "trainval": TRAIN + VAL}
_IMAGES = {"2_Ortho_RGB": "top_potsdam_{}_RGB.tif"}
_LABELS = {"5_Labels_all": "top_potsdam_{}_label.tif", "5_Labels_for_participants": "top_potsdam_{}_label.tif"}
_ERODED = {
    "5_Labels_all_noBoundary": "top_potsdam_{}_label_noBoundary.tif",
    "5_Labels_for_participants_no_Boundary": "top_potsdam_{}_label_noBoundary.tif",
}
_LAYOUT = "Expected: the folders 2_Ortho_RGB and 5_Labels_all of the archive (with eroded=true: 5_Labels_all_noBoundary)."


def task(options: IsprsOptions) -> Task:
    """Six classes, "clutter" among them."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": IMAGENET})


_TILES = IsprsTiles(TILES, _IMAGES, _LABELS, _ERODED, _LAYOUT)
load = _TILES.load
check_data = _TILES.check_data
