"""Pascal-Context with 59 classes (Mottaghi et al., CVPR 2014): images of VOC 2010 and labels in one of three forms.

==========================  ========================================================================================================
``59_context_labels/*.png``  the authors' label pictures: 0 background, 1 to 59 in the order of their ``59_labels.txt``
``trainval/*.mat``           the authors' full annotation: ``LabelMap`` with 459 labels, of which 59 are classes
``SegmentationClassContext``  pictures that mmsegmentation's converter makes: 0 background, 1 to 59 in *alphabetical* order
==========================  ========================================================================================================

Splits are VOC 2010's: ``ImageSets/SegmentationContext/{train,val}.txt``, else ``ImageSets/Main/{train,val}.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segbench import IGNORE_INDEX, DataError, Problem, Task
from segbench_plugins.datasets import PascalContextOptions
from segbench_plugins.datasets.files import IMAGENET, Array, read_matlab
from segbench_plugins.datasets.label_table import LabelTable, read_class_list, voc_colour
from segbench_plugins.datasets.listing import LabelledSamples, LabelReader, Listing, check_splits, find_base, open_split

OFFICIAL = {"train": 4998, "val": 5105}
_FULL_LABELS = 460  # 0, and 459 labels
_FORMS = {"59_context_labels": ".png", "trainval": ".mat", "SegmentationClassContext": ".png"}
_LISTS = ("ImageSets/SegmentationContext", "ImageSets/Main")
_LAYOUT = (
    "Expected: VOCdevkit/VOC2010 with JPEGImages and ImageSets, and in it or beside it the labels: "
    "59_context_labels, trainval (*.mat) or SegmentationClassContext."
)


def task(options: PascalContextOptions) -> Task:
    """The 59 classes; with ``background`` it is a class too, the first of 60. Colours follow VOC's rule: the authors give none."""
    names = tuple(row["name"] for row in read_class_list("pascal_context"))
    first = 0 if options.background else 1
    palette = tuple(voc_colour(index) for index in range(first, 60))
    return Task(class_names=("background", *names)[first:], palette=palette, normalisation={"image": IMAGENET})


def load(root: Path, split: str, options: PascalContextOptions) -> LabelledSamples:
    """The samples of one split, in the order of its list."""
    base, labels = _folders(root)
    reader = _reader(labels.name, background=options.background)
    return open_split(_list(base, labels, split), reader, split=split, partial=options.partial)


def check_data(root: Path, options: PascalContextOptions) -> list[Problem]:
    """Lists, listed images and listed labels that do not exist."""
    return check_splits(lambda root, split, _: _list(*_folders(root), split), root, options, splits=OFFICIAL, official=OFFICIAL)


@dataclass(frozen=True)
class FullLabels:
    """Class ids of the authors' MATLAB files of 459 labels."""

    table: LabelTable

    def read(self, path: Path) -> Array:
        return self.table.apply(read_matlab(path, "LabelMap"), path)


def _reader(folder: str, *, background: bool) -> LabelReader:
    rows = read_class_list("pascal_context")
    first = 1 if background else 0
    outside = 0 if background else IGNORE_INDEX
    if folder == "trainval":
        classes = {int(row["value_of_459"]): index + first for index, row in enumerate(rows)}
        return FullLabels(LabelTable(dict.fromkeys(range(_FULL_LABELS), outside) | classes))
    if folder == "SegmentationClassContext":
        order = sorted(range(len(rows)), key=lambda index: int(rows[index]["value_of_459"]))  # the 459 labels are in alphabetical order
        return LabelTable({0: outside} | {value: index + first for value, index in enumerate(order, start=1)})
    return LabelTable({0: outside} | {int(row["value"]): index + first for index, row in enumerate(rows)})


def _folders(root: Path) -> tuple[Path, Path]:
    """The folder of VOC 2010 and that of the labels."""
    base = find_base(root, (".", "VOC2010", "VOCdevkit/VOC2010"), ("JPEGImages", "ImageSets"), _LAYOUT)
    for folder in _FORMS:
        for place in (base, root, base.parent):
            if (place / folder).is_dir():
                return base, place / folder
    raise DataError(f"there are no labels of Pascal-Context in {root}. {_LAYOUT}")


def _list(base: Path, labels: Path, split: str) -> Listing:
    ending = _FORMS[labels.name]
    for folder in _LISTS:
        file = base / folder / f"{split}.txt"
        if file.is_file():
            stems = dict.fromkeys(file.read_text().split())
            return Listing({s: (base / "JPEGImages" / f"{s}.jpg", labels / f"{s}{ending}") for s in stems}, f"{folder}/{split}.txt")
    raise DataError(f"split '{split}' of Pascal-Context is not here: there is no {_LISTS[0]}/{split}.txt in {base}, nor in {_LISTS[1]}.")
