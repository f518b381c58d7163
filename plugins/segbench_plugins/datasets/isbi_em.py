"""ISBI 2012 electron microscopy (Arganda-Carreras et al., Frontiers in Neuroanatomy 2015): 30 labelled slices of 512x512.

``train-volume.tif`` and ``train-labels.tif`` are stacks of 30 pages; folders of numbered PNGs (``image`` and ``label``, ..) do as well.
Labels are 255 inside cells and 0 on membranes: both are classes. The labels of the test volume are withheld, so that the slices are divided
here: blocks of five neighbours go to train, train, val, test, train, train in turn (20, 5 and 5 of 30).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segbench import DataError, Problem, Sample, Task, read_image
from segbench_plugins.datasets import ReadyOptions
from segbench_plugins.datasets.files import Samples, tensor
from segbench_plugins.datasets.label_table import LabelTable
from segbench_plugins.datasets.listing import LabelledSamples, Listing, block_split, check_splits, complete_files, pair_files
from segbench_plugins.datasets.pages import page_count

SPLITS = ("train", "val", "test")
OFFICIAL = {"train": 20, "val": 5, "test": 5}
LABELS = LabelTable({255: 0, 0: 1})
_STACKS = ("train-volume.tif", "train-labels.tif")
_FOLDERS = (("image", "label"), ("images", "labels"), ("train/image", "train/label"), ("images", "masks"))
_LAYOUT = "Expected: train-volume.tif and train-labels.tif of 30 pages each, or folders image and label of numbered PNGs (0.png ..)."


def task(options: ReadyOptions) -> Task:
    """Cells and the membranes between them; means and deviations are computed, as the pictures are grey."""
    return Task(class_names=("cell", "membrane"), inputs={"image": 1}, palette=((255, 255, 255), (0, 0, 0)), headline="membrane", rgb=())


@dataclass(frozen=True)
class SliceSamples(Samples):
    """Slices of the two stacks; ``ids`` are page numbers."""

    ids: tuple[str, ...]
    stacks: tuple[Path, Path]

    def read(self, index: int) -> Sample:
        volume, labels = self.stacks
        page = int(self.ids[index])
        pixels = read_image(volume, channels=1, pages=page).pixels
        return Sample({"image": tensor(pixels)}, tensor(LABELS.read(labels, page=page)), self.ids[index])


def load(root: Path, split: str, options: ReadyOptions) -> SliceSamples | LabelledSamples:
    """The slices of one split, by number."""
    stacks = _stacks(root)
    listing = _listing(root, split, options)
    if stacks:
        return SliceSamples(tuple(listing.files), stacks)
    files = complete_files(listing, split=split, partial=options.partial)
    return LabelledSamples(tuple(files), tuple(files.values()), LABELS, channels=1)


def check_data(root: Path, options: ReadyOptions) -> list[Problem]:
    """Stacks of unequal length, slices without labels and labels without slice."""
    return check_splits(_listing, root, options, splits=SPLITS, optional=("test",), official=OFFICIAL)


def _listing(root: Path, split: str, options: ReadyOptions) -> Listing:
    stacks = _stacks(root)
    files = {str(page): stacks for page in range(_count_slices(stacks))} if stacks else _numbered_files(root)
    pattern = ("train", "train", "val", "test", "train", "train")
    chosen = {name: paths for name, paths in files.items() if block_split(int(name), size=5, pattern=pattern) == split}
    if not chosen:
        raise DataError(f"split '{split}' of ISBI EM is not here: of the {len(files)} slices in {root} none belongs to it.")
    return Listing(chosen, " and ".join(_STACKS) if stacks else "the folders of slices")


def _stacks(root: Path) -> tuple[Path, Path] | None:
    for folder in (root, root / "ISBI-2012-challenge"):
        volume, labels = (folder / name for name in _STACKS)
        if volume.is_file() or labels.is_file():
            return volume, labels
    return None


def _count_slices(stacks: tuple[Path, Path]) -> int:
    for path in stacks:
        if not path.is_file():
            raise DataError(f"{path} is not there. {_LAYOUT}")
    volume, labels = (page_count(path) for path in stacks)
    if volume != labels:
        raise DataError(f"{stacks[0]} has {volume} pages, but {stacks[1]} has {labels}: they must be as many. {_LAYOUT}")
    return volume


def _numbered_files(root: Path) -> dict[str, tuple[Path, ...]]:
    for images, labels in _FOLDERS:
        if (root / images).is_dir() and (root / labels).is_dir():
            files = pair_files(root / images, root / labels, image_ending=".png", label_ending=".png")
            odd = [name for name in files if not name.isdigit()]
            if odd:
                raise DataError(f"{root / images}: '{odd[0]}' is no number such as 0 or 29: splits are by number. {_LAYOUT}")
            return dict(sorted(files.items(), key=lambda item: int(item[0])))
    raise DataError(f"{root} does not look right: there are no slices. {_LAYOUT}" if root.is_dir() else f"{root} is not there. {_LAYOUT}")
