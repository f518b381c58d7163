"""FloodNet, houses and roads after hurricane Harvey (Rahnemoonfar et al., IEEE Access 2021), supervised version 1.0.

``{train,val,test}/train-org-img/ID.jpg`` and ``train-label-img/ID_lab.png`` (``val-..``, ``test-..``), labels 0 to 9 in the order of
github.com/BinaLab/FloodNet-Supervised_v1.0. Background is the first of the ten classes. Colours are those of the authors' colour masks.
"""

from __future__ import annotations

from pathlib import Path

from segbench import Problem, Task
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

CLASSES = {
    "background": (0, 0, 0),
    "building flooded": (255, 0, 0),
    "building non-flooded": (180, 120, 120),
    "road flooded": (160, 150, 20),
    "road non-flooded": (140, 140, 140),
    "water": (61, 230, 250),
    "tree": (0, 82, 255),
    "vehicle": (255, 0, 245),
    "pool": (255, 235, 0),
    "grass": (4, 250, 7),
}
LABELS = LabelTable({index: index for index in range(len(CLASSES))})
OFFICIAL = {"train": 1445, "val": 450, "test": 448}
_LAYOUT = "Expected: FloodNet-Supervised_v1.0 with train/train-org-img, train/train-label-img, and the same for val and test."


def task(options: ReadyOptions) -> Task:
    """Ten classes, background among them."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: ReadyOptions) -> LabelledSamples:
    """The samples of one split, by name."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=OFFICIAL, optional=("test",), official=OFFICIAL)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    folders = (f"{split}/{split}-org-img", f"{split}/{split}-label-img")
    base = find_base(root, (".", "FloodNet-Supervised_v1.0"), folders, _LAYOUT)
    images, labels = (base / folder for folder in folders)
    return Listing(pair_files(images, labels, image_ending=".jpg", label_ending="_lab.png"), " and ".join(folders))
