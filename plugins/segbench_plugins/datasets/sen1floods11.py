"""Sen1Floods11, the 446 hand-labelled chips: Sentinel-1 (VV, VH, float32 dB) and Sentinel-2 (13 bands, int16 reflectance x 10 000).

Folders are ``S1Hand S2Hand LabelHand`` as in the bucket, or ``S1 S2 Labels`` as in the official sample; lists are CSV files without a
header, ``Ghana_103272_S1Hand.tif,Ghana_103272_LabelHand.tif``. A missing radar pixel is NaN, a missing optical pixel is 0 in all bands:
radar NaN becomes ``fill_db`` (0 dB would be brighter than any land), and where both are missing the label is ignored, as is label -1.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench import IGNORE_INDEX, DataError, Download, OptionError, Problem, Sample, Task
from segbench_plugins.datasets import Sen1Floods11Options
from segbench_plugins.datasets.files import RASTERIO_HINT, Array, Samples, read_raster, tensor, unreadable
from segbench_plugins.datasets.listing import Files, Listing, check_splits, complete_files

UNLABELLED = -1
OFFICIAL = {"train": 252, "val": 89, "test": 90, "bolivia": 15}
LISTS = {"train": "train", "val": "valid", "test": "test", "bolivia": "bolivia"}
BUCKET = "https://storage.googleapis.com/sen1floods11/v1.1"
_CHIPS = "data/flood_events/HandLabeled"
_SPLITS = "splits/flood_handlabeled"
_LAYOUTS = (("S1Hand", "S2Hand", "LabelHand"), ("S1", "S2", "Labels"))
_CHIP_ROOTS = (".", _CHIPS, f"v1.1/{_CHIPS}", "HandLabeled", "sample")
_LIST_ROOTS = (".", _SPLITS, f"v1.1/{_SPLITS}", "splits", "flood_handlabeled")
_NAME = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*_\d+")
_EXPECTED = "Expected: folders S1Hand, S2Hand and LabelHand (or S1, S2 and Labels). Download: segbench data fetch sen1floods11"


def task(options: Sen1Floods11Options) -> Task:
    """Land and water; means and deviations are left to be computed from the training split."""
    if len(options.fill_db) != 2:
        raise OptionError(f"sen1floods11: fill_db needs two values, for VV and VH, got {options.fill_db}")
    return Task(
        class_names=("land", "water"),
        inputs={"sar": 2, "optical": 13},
        palette=((181, 157, 115), (30, 100, 200)),
        headline="water",
        rgb=(),
    )


@dataclass(frozen=True)
class ChipSamples(Samples):
    """Chips on disk; ``fill_db`` stands in for missing radar."""

    ids: tuple[str, ...]
    chips: tuple[tuple[Path, ...], ...]
    fill_db: tuple[float, ...]

    def read(self, index: int) -> Sample:
        radar_file, optical_file, label_file = self.chips[index]
        radar, radar_missing = _fill_missing(_read_bands(radar_file, 2).astype(np.float32), self.fill_db)
        optical = _read_bands(optical_file, 13).astype(np.int16)
        label = _read_bands(label_file, 1)[0].astype(np.int64)
        label[label == UNLABELLED] = IGNORE_INDEX
        all_missing = radar_missing & (optical == 0).all(axis=0) if radar_missing.shape == optical.shape[1:] else radar_missing
        if all_missing.shape == label.shape:  # the harness reports unequal sizes
            label[all_missing] = IGNORE_INDEX
        return Sample({"sar": tensor(radar), "optical": tensor(optical)}, tensor(label), self.ids[index])


def load(root: Path, split: str, options: Sen1Floods11Options) -> ChipSamples:
    """The samples of one split, in the order of its list."""
    chips = complete_files(_listing(root, split, options), split=split, partial=options.partial)
    return ChipSamples(tuple(chips), tuple(chips.values()), options.fill_db)


def groups(root: Path, split: str, options: Sen1Floods11Options) -> Sequence[str]:
    """The flood event that each chip is from: ``Ghana``, ``India``, .. (one event per country)."""
    return [name.split("_")[0] for name in load(root, split, options).ids]


def check(task: Task, options: Sen1Floods11Options) -> list[str]:
    """rasterio has to be installed, to read GeoTIFF."""
    return [] if importlib.util.find_spec("rasterio") else [RASTERIO_HINT]


def check_data(root: Path, options: Sen1Floods11Options) -> list[Problem]:
    """Lists and listed chips that do not exist."""
    return check_splits(_listing, root, options, splits=LISTS, optional=("bolivia",), official=OFFICIAL)


def downloads(root: Path, options: Sen1Floods11Options) -> Iterator[Download]:
    """The four lists, then the chips they name: 1 338 files. The bucket publishes no list of checksums; it sends an MD5 with each file."""
    for name in LISTS.values():
        yield _download(f"{_SPLITS}/flood_{name}_data.csv")
    for listed in LISTS.values():
        for name in _names(root / _SPLITS / f"flood_{listed}_data.csv"):
            for folder in _LAYOUTS[0]:
                yield _download(f"{_CHIPS}/{folder}/{name}_{folder}.tif")


def _download(target: str) -> Download:
    return Download(target=target, urls=(f"{BUCKET}/{target}",))


def _listing(root: Path, split: str, options: Sen1Floods11Options) -> Listing:
    base, folders = _chip_folders(root)
    file = _list_file(root, split)
    radar, optical, label = (base / folder for folder in folders)
    files: Files = {
        name: (radar / f"{name}_S1Hand.tif", optical / f"{name}_S2Hand.tif", label / f"{name}_LabelHand.tif") for name in _names(file)
    }
    return Listing(files, file.name)


def _chip_folders(root: Path) -> tuple[Path, tuple[str, ...]]:
    if not root.is_dir():
        raise DataError(f"the data folder {root} is not there. {_EXPECTED}")
    for candidate in _CHIP_ROOTS:
        for folders in _LAYOUTS:
            if all((root / candidate / folder).is_dir() for folder in folders):
                return root / candidate, folders
    raise DataError(f"{root} does not look right. {_EXPECTED}")


def _list_file(root: Path, split: str) -> Path:
    for candidate in _LIST_ROOTS:
        for file in sorted((root / candidate).glob(f"flood_{LISTS[split]}_data*.csv")):
            return file
    raise DataError(
        f"split '{split}' of Sen1Floods11 is not here: there is no flood_{LISTS[split]}_data.csv in {root} or {root / _SPLITS}. "
        "It has a row for each chip: Ghana_103272_S1Hand.tif,Ghana_103272_LabelHand.tif"
    )


def _names(file: Path) -> list[str]:
    """Chip names such as ``Ghana_103272``. They become parts of paths and addresses: anything else is refused."""
    names = []
    with file.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            if not row:
                continue
            name = row[0].strip().removesuffix(".tif").removesuffix("_S1Hand")
            if not _NAME.fullmatch(name):
                raise DataError(f"{file}:{number}: '{row[0]}' is not a chip such as Ghana_103272_S1Hand.tif. The list has no header row.")
            names.append(name)
    return names


def _read_bands(path: Path, count: int) -> Array:
    bands = read_raster(path)
    if len(bands) != count:
        raise unreadable(path, ValueError(f"it has {len(bands)} bands instead of {count}"))
    return bands


def _fill_missing(radar: Array, fill_db: Sequence[float]) -> tuple[Array, Array]:
    """Radar without NaN, and where any band was missing."""
    gaps: Array = ~np.isfinite(radar)
    return np.where(gaps, np.asarray(fill_db, radar.dtype)[:, None, None], radar), np.asarray(gaps.any(axis=0))
