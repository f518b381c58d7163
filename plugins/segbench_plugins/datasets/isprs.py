"""Common parts of the two ISPRS benchmarks of aerial images, Potsdam and Vaihingen: classes, colours and tiles.

Classes and colours: isprs.org, "2D Semantic Labeling Contest". The reference with eroded boundaries, which the contest scores, paints a
band around each object black: not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench import IGNORE_INDEX, DataError, Problem
from segbench_plugins.datasets import IsprsOptions
from segbench_plugins.datasets.label_table import ColourTable
from segbench_plugins.datasets.listing import Files, LabelledSamples, Listing, check_splits, open_split

CLASSES = {
    "impervious surface": (255, 255, 255),
    "building": (0, 0, 255),
    "low vegetation": (0, 255, 255),
    "tree": (0, 255, 0),
    "car": (255, 255, 0),
    "clutter": (255, 0, 0),
}
BOUNDARY = (0, 0, 0)
MISPRINT = (252, 255, 0)  # cars in one label file of Potsdam
LABELS = ColourTable({colour: index for index, colour in enumerate(CLASSES.values())} | {MISPRINT: 4})
ERODED_LABELS = ColourTable({**LABELS.ids, BOUNDARY: IGNORE_INDEX})


@dataclass(frozen=True)
class IsprsTiles:
    """One of the two benchmarks: its official tiles by split, and the folders and file names of its images and labels."""

    tiles: Mapping[str, Sequence[str]]
    images: Mapping[str, str]
    labels: Mapping[str, str]
    eroded: Mapping[str, str]
    layout: str

    def load(self, root: Path, split: str, options: IsprsOptions) -> LabelledSamples:
        """The tiles of one split."""
        labels = ERODED_LABELS if options.eroded else LABELS
        return open_split(self.listing(root, split, options), labels, split=split, partial=options.partial)

    def check_data(self, root: Path, options: IsprsOptions) -> list[Problem]:
        """Splits and tiles that are not there."""
        return check_splits(self.listing, root, options, splits=("train", "val", "test"), optional=("test",))

    def listing(self, root: Path, split: str, options: IsprsOptions) -> Listing:
        """The files of one split."""
        labels = self.eroded if options.eroded else self.labels
        return tile_listing(root, self.tiles[split], self.images, labels, split=split, layout=self.layout)


def tile_listing(
    root: Path, tiles: Iterable[str], images: Mapping[str, str], labels: Mapping[str, str], *, split: str, layout: str
) -> Listing:
    """The files of tiles; ``images`` and ``labels`` map folders to the names of their files, with ``{}`` for the tile."""
    if not root.is_dir():
        raise DataError(f"the data folder {root} is not there. {layout}")
    image_folder, image_name = _present(root, images, layout)
    label_folder, label_name = _present(root, labels, layout)
    files: Files = {tile: (image_folder / image_name.format(tile), label_folder / label_name.format(tile)) for tile in tiles}
    if not any(path.is_file() for paths in files.values() for path in paths):
        raise DataError(f"split '{split}' is not here: none of its tiles ({', '.join(files)}) lies in {image_folder} or {label_folder}.")
    return Listing(files, f"the official tiles of '{split}'")


def _present(root: Path, folders: Mapping[str, str], layout: str) -> tuple[Path, str]:
    for folder, name in folders.items():
        for place in (root / folder / Path(folder).name, root / folder):  # archives are often unpacked into a folder of their own name
            if place.is_dir() and any(place.glob(name.format("*"))):
                return place, name
    wanted = " or ".join(f"{folder}/{name.format('*')}" for folder, name in folders.items())
    raise DataError(f"{root} does not look right: there is no {wanted}. {layout}")
