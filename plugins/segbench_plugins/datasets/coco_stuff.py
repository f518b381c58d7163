"""COCO-Stuff, 164 000 images of COCO 2017 (Caesar et al., CVPR 2018): ``images/{train,val}2017`` and ``annotations/{train,val}2017``.

Labels are the pixel maps of ``stuffthingmaps_trainval2017.zip``: 0 to 181 is the id in the authors' ``labels.txt`` less one, 11 ids
have no pixels, 255 is unlabelled. The 27 coarse classes are the authors' hierarchy as Ji et al. (IIC, ICCV 2019) number it.
"""

from __future__ import annotations

from pathlib import Path

from segbench import IGNORE_INDEX, Problem, Task
from segbench_plugins.datasets import CocoStuffOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable, read_class_list, voc_colour
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

UNLABELLED = 255
COARSE = (
    *(
        f"{name}-things"
        for name in [
            "electronic",
            "appliance",
            "food",
            "furniture",
            "indoor",
            "kitchen",
            "accessory",
            "animal",
            "outdoor",
            "person",
            "sports",
            "vehicle",
        ]
    ),
    *(
        f"{name}-stuff"
        for name in [
            "ceiling",
            "floor",
            "food",
            "furniture",
            "rawmaterial",
            "textile",
            "wall",
            "window",
            "building",
            "ground",
            "plant",
            "sky",
            "solid",
            "structural",
            "water",
        ]
    ),
)
OFFICIAL = {"train": 118287, "val": 5000}
_LABEL_FOLDERS = ("annotations", "stuffthingmaps")
_CONVERTED = "_labelTrainIds"  # pictures that mmsegmentation puts beside the originals
_LAYOUT = "Expected: images/train2017 and images/val2017, and the pixel maps in annotations/train2017 and annotations/val2017."


def task(options: CocoStuffOptions) -> Task:
    """The 171 classes, or 27 with ``coarse``. Colours follow VOC's rule on the official ids: the authors give none."""
    if options.coarse:
        return Task(class_names=COARSE, palette=tuple(voc_colour(index + 1) for index in range(27)), normalisation={"image": IMAGENET})
    rows = read_class_list("coco_stuff")
    palette = tuple(voc_colour(int(row["value"]) + 1) for row in rows)
    return Task(class_names=tuple(row["name"] for row in rows), palette=palette, normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: CocoStuffOptions) -> LabelledSamples:
    """The samples of one split, by name."""
    return open_split(_listing(root, split, options), _labels(coarse=options.coarse), split=split, partial=options.partial)


def check_data(root: Path, options: CocoStuffOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=OFFICIAL, official=OFFICIAL)


def _labels(*, coarse: bool) -> LabelTable:
    rows = read_class_list("coco_stuff")
    classes = {int(row["value"]): COARSE.index(row["group"]) if coarse else index for index, row in enumerate(rows)}
    return LabelTable({UNLABELLED: IGNORE_INDEX} | classes)


def _listing(root: Path, split: str, options: CocoStuffOptions) -> Listing:
    folder = f"{split}2017"
    images = find_base(root, ("images", "."), (folder,), _LAYOUT) / folder
    labels = next((root / place / folder for place in _LABEL_FOLDERS if (root / place / folder).is_dir()), root / "annotations" / folder)
    files = pair_files(images, labels, image_ending=".jpg", label_ending=".png")
    own = {name: paths for name, paths in files.items() if not name.endswith(_CONVERTED)}
    return Listing(own, f"images/{folder} and annotations/{folder}")
