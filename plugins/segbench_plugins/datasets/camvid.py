"""CamVid in the SegNet layout: ``train train.txt trainannot val ..``, label PNGs of ids 0 to 10, 11 = unlabelled.

The lists name files of one machine (``/SegNet/CamVid/train/X.png /SegNet/CamVid/trainannot/X.png``): of each path only the
last two parts count, below the data folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segbench import DataError, Problem, Task
from segbench_plugins.datasets import CamvidOptions, camvid_splits
from segbench_plugins.datasets.files import IMAGENET, PhotoSamples, find_root, missing, require

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
_LAYOUT = "Expected: train.txt and val.txt beside the folders train, trainannot, val, valannot (and test) of the SegNet version."


def task(options: CamvidOptions) -> Task:
    """Eleven classes in SegNet's order, with SegNet's colours."""
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: CamvidOptions) -> PhotoSamples:
    """The samples of one split, in the order of its list."""
    pairs = _read_list(root, split)
    require((path for pair in pairs for path in pair), split=split, listed=f"{split}.txt")
    ids = tuple(f"{split}/{image.stem}" for image, _ in pairs)
    return PhotoSamples(ids, pairs, ignore_index=task(options).ignore_index, void=VOID)


def groups(root: Path, split: str, options: CamvidOptions) -> Sequence[str]:
    """The film that each frame is from: ``0001TP``, ``0006R0``, ``0016E5`` or ``Seq05VD``."""
    return [image.stem.split("_")[0] for image, _ in _read_list(root, split)]


def check_data(root: Path, options: CamvidOptions) -> list[Problem]:
    """Splits without a list, and listed files that do not exist."""
    problems = []
    for split in camvid_splits(options):
        try:
            pairs = _read_list(root, split)
        except DataError as error:
            problems.append(Problem(str(error), "warning" if split == "test" and root.is_dir() else "error", where=split))
            continue
        problem = missing((path for pair in pairs for path in pair), split=split, listed=f"{split}.txt")
        problems += [problem] if problem else []
    return problems


def _read_list(root: Path, split: str) -> tuple[tuple[Path, Path], ...]:
    base = find_root(root, (".", "CamVid", "SegNet/CamVid"), "train.txt", _LAYOUT)
    file = base / f"{split}.txt"
    if not file.is_file():
        without = " If your copy has no test frames, say so: camvid[test=false]." if split == "test" else ""
        raise DataError(f"split '{split}' of CamVid is not here: there is no {file}.{without}")
    pairs = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        words = line.split()
        if len(words) not in (0, 2):
            raise DataError(f"{file}:{number}: expected an image and a label path, got '{line}'")
        if words:
            image, mask = (base.joinpath(*PurePosixPath(word).parts[-2:]) for word in words)
            pairs.append((image, mask))
    return tuple(pairs)
