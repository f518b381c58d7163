"""CamVid in the SegNet layout: ``train train.txt trainannot val ..``, label PNGs of ids 0 to 10, 11 = unlabelled.

The lists name files of one machine (``/SegNet/CamVid/train/X.png /SegNet/CamVid/trainannot/X.png``): of each path only the
last two parts count, below the data folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segbench import IGNORE_INDEX, DataError, Problem, Task
from segbench_plugins.datasets import CamvidOptions, camvid_splits
from segbench_plugins.datasets.files import IMAGENET
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import Files, LabelledSamples, Listing, check_splits, complete_files, open_split

VOID = 11
CLASSES = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
LABELS = LabelTable({index: index for index in range(len(CLASSES))} | {VOID: IGNORE_INDEX, 255: IGNORE_INDEX})
OFFICIAL = {"train": 367, "val": 101, "test": 233}
_ROOTS = (".", "CamVid", "SegNet/CamVid")
_LAYOUT = "Expected: train.txt and val.txt beside the folders train, trainannot, val, valannot (and test) of the SegNet version."


def task(options: CamvidOptions) -> Task:
    """Eleven classes in SegNet's order, with SegNet's colours."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: CamvidOptions) -> LabelledSamples:
    """The samples of one split, in the order of its list."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def groups(root: Path, split: str, options: CamvidOptions) -> Sequence[str]:
    """The film that each frame is from: ``0001TP``, ``0006R0``, ``0016E5`` or ``Seq05VD``."""
    files = complete_files(_listing(root, split, options), split=split, partial=options.partial)
    return [image.stem.split("_")[0] for image, _ in files.values()]


def check_data(root: Path, options: CamvidOptions) -> list[Problem]:
    """Splits without a list, and listed files that do not exist."""
    return check_splits(_listing, root, options, splits=camvid_splits(options), optional=("test",), official=OFFICIAL)


def _listing(root: Path, split: str, options: CamvidOptions) -> Listing:
    if not root.is_dir():
        raise DataError(f"the data folder {root} is not there. {_LAYOUT}")
    file = next((root / place / f"{split}.txt" for place in _ROOTS if (root / place / f"{split}.txt").is_file()), None)
    if file is None:
        without = " If your copy has no test frames, say so: camvid[test=false]." if split == "test" else ""
        raise DataError(f"split '{split}' of CamVid is not here: there is no {root / split}.txt.{without} {_LAYOUT}")
    return Listing(_read_list(file, split), file.name)


def _read_list(file: Path, split: str) -> Files:
    files: Files = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        words = line.split()
        if len(words) not in (0, 2):
            raise DataError(f"{file}:{number}: expected an image and a label path, got '{line}'")
        if words:
            image, mask = (file.parent.joinpath(*PurePosixPath(word).parts[-2:]) for word in words)
            files[f"{split}/{image.stem}"] = (image, mask)
    return files
