"""Cityscapes, fine annotations: ``leftImg8bit/{train,val}/CITY/*_leftImg8bit.png`` and ``gtFine/{train,val}/CITY/*_gtFine_labelIds.png``.

Of the 34 label ids, 19 are classes and the others are not scored: ids, classes and colours are those of cityscapesScripts,
``helpers/labels.py``. The labels of the test split are withheld by the authors.
"""

from __future__ import annotations

from pathlib import Path

from segbench import IGNORE_INDEX, Problem, Task
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

CLASSES = {  # name: label id, colour
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
LABELS = LabelTable(dict.fromkeys(range(34), IGNORE_INDEX) | {value: index for index, (value, _) in enumerate(CLASSES.values())})
OFFICIAL = {"train": 2975, "val": 500}
_LAYOUT = "Expected: leftImg8bit and gtFine side by side, each with train/CITY and val/CITY (gtFine_trainvaltest.zip)."


def task(options: ReadyOptions) -> Task:
    """The 19 classes that are evaluated, in the order of their train ids."""
    return Task(class_names=tuple(CLASSES), palette=tuple(colour for _, colour in CLASSES.values()), normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: ReadyOptions) -> LabelledSamples:
    """The samples of one split, by name."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=OFFICIAL, official=OFFICIAL)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    folders = (f"leftImg8bit/{split}", f"gtFine/{split}")
    base = find_base(root, (".", "cityscapes", "Cityscapes"), folders, _LAYOUT)
    images, labels = (base / folder for folder in folders)
    files = pair_files(images, labels, image_ending="_leftImg8bit.png", label_ending="_gtFine_labelIds.png", pattern="*/*")
    return Listing(files, f"leftImg8bit/{split} and gtFine/{split} (*_gtFine_labelIds.png)")
