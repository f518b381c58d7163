"""ADE20K, scene parsing benchmark: ``ADEChallengeData2016/{images,annotations}/{training,validation}``.

Labels are 1 to 150 in the order of the authors' ``objectInfo150.txt``; 0 is "other" and is not scored. Colours are those of the
authors' ``color150.mat`` (github.com/CSAILVision/semantic-segmentation-pytorch).
"""

from __future__ import annotations

from pathlib import Path

from segbench import IGNORE_INDEX, Problem, Task
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable, read_class_list
from segbench_plugins.datasets.listing import LabelledSamples, Listing, check_splits, find_base, open_split, pair_files

OTHER = 0
LABELS = LabelTable({OTHER: IGNORE_INDEX} | {value: value - 1 for value in range(1, 151)})
OFFICIAL = {"train": 20210, "val": 2000}
_FOLDERS = {"train": "training", "val": "validation"}
_LAYOUT = "Expected: ADEChallengeData2016 with images and annotations, each with the folders training and validation."


def task(options: ReadyOptions) -> Task:
    """The 150 classes, named by the first word that the authors give each."""
    rows = read_class_list("ade20k")
    palette = tuple((int(row["red"]), int(row["green"]), int(row["blue"])) for row in rows)
    return Task(class_names=tuple(row["name"] for row in rows), palette=palette, normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: ReadyOptions) -> LabelledSamples:
    """The samples of one split, by name."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Splits that are not there, images without labels and labels without image."""
    return check_splits(_listing, root, options, splits=OFFICIAL, official=OFFICIAL)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    folders = (f"images/{_FOLDERS[split]}", f"annotations/{_FOLDERS[split]}")
    base = find_base(root, (".", "ADEChallengeData2016", "ade/ADEChallengeData2016"), folders, _LAYOUT)
    images, labels = (base / folder for folder in folders)
    return Listing(pair_files(images, labels, image_ending=".jpg", label_ending=".png"), " and ".join(folders))
