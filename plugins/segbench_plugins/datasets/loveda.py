"""LoveDA, land cover from the air (Wang et al., NeurIPS Datasets 2021): ``{Train,Val}/{Urban,Rural}/{images_png,masks_png}``.

Labels are 1 to 7; 0 is no data and is not scored. Classes and colours are those of github.com/Junjue-Wang/LoveDA. The labels of the
test split are withheld by the authors.
"""

from __future__ import annotations

from pathlib import Path

from segbench import IGNORE_INDEX, Problem, Task
from segbench_plugins.datasets import LovedaOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import Files, LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

NO_DATA = 0
CLASSES = {
    "background": (255, 255, 255),
    "building": (255, 0, 0),
    "road": (255, 255, 0),
    "water": (0, 0, 255),
    "barren": (159, 129, 183),
    "forest": (0, 255, 0),
    "agriculture": (255, 195, 128),
}
LABELS = LabelTable({NO_DATA: IGNORE_INDEX} | {value: value - 1 for value in range(1, 8)})
OFFICIAL = {"train": 2522, "val": 1669}
_SCENES = {"both": ("Urban", "Rural"), "urban": ("Urban",), "rural": ("Rural",)}
_LAYOUT = "Expected: Train and Val, each with Urban and Rural, each with images_png and masks_png."


def task(options: LovedaOptions) -> Task:
    """Seven classes of land; "background" is one of them, as in the authors' evaluation."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: LovedaOptions) -> LabelledSamples:
    """The samples of one split: those of towns, then those of the country."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def check_data(root: Path, options: LovedaOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=OFFICIAL, official=OFFICIAL if options.scene == "both" else None)


def _listing(root: Path, split: str, options: LovedaOptions) -> Listing:
    folders = [f"{split.capitalize()}/{scene}" for scene in _SCENES[options.scene]]
    base = find_base(root, (".", "LoveDA", "loveDA"), folders, _LAYOUT)
    files: Files = {}
    for folder in folders:
        images, labels = base / folder / "images_png", base / folder / "masks_png"
        files |= pair_files(images, labels, image_ending=".png", label_ending=".png", prefix=f"{folder}/")
    return Listing(files, " and ".join(f"{folder}/images_png and masks_png" for folder in folders))
