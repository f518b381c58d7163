"""Pascal VOC 2012 segmentation: ``VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}``.

With ``augmented`` the training masks are those of SBD (Hariharan et al., ICCV 2011) in ``SegmentationClassAug``, usually 10 582.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segbench import DataError, Download, Problem, Task
from segbench_plugins.datasets import VocOptions
from segbench_plugins.datasets.files import IMAGENET, find_root
from segbench_plugins.datasets.label_table import LabelTable, voc_colour
from segbench_plugins.datasets.listing import Files, LabelledSamples, Listing, check_splits, open_split

VOID = 255
THINGS = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
)
CLASS_NAMES = ("background", *THINGS.split())
LABELS = LabelTable({index: index for index in (*range(len(CLASS_NAMES)), VOID)})
OFFICIAL = {"train": 1464, "val": 1449}
ARCHIVE = Download(
    target="VOCtrainval_11-May-2012.tar",
    # The first is the archive's home since September 2025, named by its keeper (pytorch/vision#9216); host redirects to it.
    urls=(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "http://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
        "https://dataset.bj.bcebos.com/voc/VOCtrainval_11-May-2012.tar",
    ),
    checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
    extract=".",
    provides="VOCdevkit/VOC2012/SegmentationClass",
)
_ROOTS = (".", "VOC2012", "VOCdevkit/VOC2012", "VOCtrainval_11-May-2012/VOCdevkit/VOC2012")
_LISTS = "ImageSets/Segmentation"
_LAYOUT = f"Expected: VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and {_LISTS}. Download: segbench data fetch voc2012"


def task(options: VocOptions) -> Task:
    """Background and 20 kinds of things; 255 marks their borders."""
    palette = tuple(voc_colour(index) for index in range(len(CLASS_NAMES)))
    return Task(class_names=CLASS_NAMES, palette=palette, ignore_index=VOID, normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: VocOptions) -> LabelledSamples:
    """The samples of ``train``, ``val``, or of ``trainval``: both, in this order."""
    return open_split(_listing(root, split, options), LABELS, split=split, partial=options.partial)


def check_data(root: Path, options: VocOptions) -> list[Problem]:
    """Lists, listed images and listed masks that do not exist."""
    try:
        _base(root)
    except DataError as error:
        return [Problem(str(error))]
    official = {"val": OFFICIAL["val"]} if options.augmented else OFFICIAL
    return check_splits(_listing, root, options, splits=OFFICIAL, official=official)


def downloads(root: Path, options: VocOptions) -> Iterable[Download]:
    """The training and validation archive, 2 GB. The SBD masks have no publisher's archive with a checksum: place them yourself."""
    return [ARCHIVE]


def _base(root: Path) -> Path:
    return find_root(root, _ROOTS, _LISTS, _LAYOUT)


def _listing(root: Path, split: str, options: VocOptions) -> Listing:
    base = _base(root)
    files: Files = {}
    for part in ("train", "val") if split == "trainval" else (split,):
        files |= _files(base, part, options)  # a stem that stood in both lists would be one sample
    return Listing(files, f"{_LISTS}/{split}.txt")


def _files(base: Path, split: str, options: VocOptions) -> Files:
    augmented = options.augmented and split == "train"
    masks = base / ("SegmentationClassAug" if augmented else "SegmentationClass")
    stems = _augmented_stems(base, masks) if augmented else _stems(base, split)
    return {stem: (base / "JPEGImages" / f"{stem}.jpg", masks / f"{stem}.png") for stem in stems}


def _stems(base: Path, split: str) -> list[str]:
    file = base / _LISTS / f"{split}.txt"
    if not file.is_file():
        raise DataError(f"split '{split}' of VOC 2012 is not here: there is no {file}. {_LAYOUT}")
    return file.read_text().split()


def _augmented_stems(base: Path, masks: Path) -> list[str]:
    """SBD's training list under either of its usual names, else every mask that is not for validation."""
    if not masks.is_dir():
        raise DataError(f"augmented=true needs the SBD masks in {masks}, which is not there. Place them, or leave the option out.")
    for name in ("trainaug", "train_aug"):
        if (base / _LISTS / f"{name}.txt").is_file():
            lines = (base / _LISTS / f"{name}.txt").read_text().splitlines()
            return [Path(line.split()[0]).stem for line in lines if line.strip()]
    held_out = set(_stems(base, "val"))
    return sorted(file.stem for file in masks.glob("*.png") if file.stem not in held_out)
