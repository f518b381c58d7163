"""Splits by place and pairs that lie elsewhere, in the ``folder`` dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench import DataError, OptionError, Sample, Task
from segbench_plugins.datasets.blocks import block_of

rasterio = pytest.importorskip("rasterio")

Load = Callable[[str, "Path | None", str], Sequence[Sample]]


def _tile(path: Path, left: float, top: float, *, bands: int, crs: str = "EPSG:32633", pixel: float = 10.0, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    place: Any = {"crs": crs, "transform": rasterio.Affine(pixel, 0, left, 0, -pixel, top)}
    with rasterio.open(path, "w", driver="GTiff", count=bands, height=size, width=size, dtype="uint8", **place) as file:
        file.write(np.zeros((bands, size, size), np.uint8))
    return path


def _grid(root: Path, side: int) -> None:
    """Tiles of 100 m in ``side`` columns and rows."""
    for row in range(side):
        for column in range(side):
            for folder, bands in (("images", 3), ("masks", 1)):
                _tile(root / folder / f"{row}_{column}.tif", 500000 + 100 * column, 5000000 - 100 * row, bands=bands)


def test_tiles_of_one_block_are_in_one_split(tmp_path: Path, load: Load, groups: Callable[[str, Path, str], list[str]]) -> None:
    _grid(tmp_path, 8)
    dataset = "folder[split_by=blocks[size=200],split=(0.5,0.25,0.25)]"
    parts = {split: [sample.id for sample in load(dataset, tmp_path, split)] for split in ("train", "val", "test")}
    blocks = {split: {tuple(int(part) // 2 for part in name.split("_")) for name in names} for split, names in parts.items()}

    assert [len(names) for names in parts.values()] == [32, 16, 16]  # 16 blocks of four tiles
    assert [len(squares) for squares in blocks.values()] == [8, 4, 4]
    assert len(set(groups(dataset, tmp_path, "train"))) == 8


def test_the_middle_of_a_tile_decides(tmp_path: Path) -> None:
    assert block_of(_tile(tmp_path / "a.tif", 500000, 5000000, bands=1), 100) == "EPSG:32633 5000 49999"
    assert block_of(_tile(tmp_path / "b.tif", 500040, 5000040, bands=1), 100) == "EPSG:32633 5000 49999"
    assert block_of(_tile(tmp_path / "c.tif", 500060, 5000060, bands=1), 100) == "EPSG:32633 5001 50000"
    assert block_of(_tile(tmp_path / "d.tif", 500000, 5000000, bands=1, crs="EPSG:32632"), 100) == "EPSG:32632 5000 49999"
    assert block_of(_tile(tmp_path / "e.tif", 13.0, 45.0, bands=1, crs="EPSG:4326", pixel=0.001), 0.5) == "EPSG:4326 26 89"


def test_too_few_blocks_and_tiles_without_place_are_explained(tmp_path: Path, load: Load, picture: Callable[..., Path]) -> None:
    _grid(tmp_path, 2)
    with pytest.raises(DataError, match=r"1 image or scene cannot make 3 splits\. Make the blocks smaller"):
        load("folder[split_by=blocks[size=1000000]]", tmp_path, "train")
    for folder, shape in (("images", (4, 4, 3)), ("masks", (4, 4))):
        picture(tmp_path / "plain" / folder / "x.png", np.zeros(shape))
    with pytest.raises(DataError, match=r"x\.png has no place on the map"):
        load("folder[split_by=blocks[size=200]]", tmp_path / "plain", "train")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("split_by=tiles", "Write split_by=blocks"),
        ("split_by=blocks", "Write split_by=blocks"),
        ("split_by=blocks[size=0]", "Write split_by=blocks"),
        ("split_by=blocks[size=9],train=a", "leave out group, train, val and test"),
    ],
)
def test_options_of_blocks_that_cannot_be_read(task_of: Callable[[str], Task], options: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        task_of(f"folder[{options}]")


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path: Path, load: Load) -> None:
    for name in "abc":
        _tile(tmp_path / "images" / f"{name}.tif", 500000, 5000000, bands=3)
        _tile(tmp_path / "masks" / f"{name}.tif", 700000, 5100000, bands=1, crs="EPSG:32632")

    with pytest.raises(DataError, match=r"lie in different places: EPSG:32633 at 500000, 5000000, and EPSG:32632 at 700000, 5100000"):
        load("folder", tmp_path, "train")[0]
    for name in "abc":
        _tile(tmp_path / "masks" / f"{name}.tif", 500000, 5000000, bands=1, pixel=20)
    with pytest.raises(DataError, match=r"pixels of \(10, 0\) per column and \(0, -10\) per row, and .* \(20, 0\) per column"):
        load("folder", tmp_path, "train")[0]
    for name in "abc":
        _tile(tmp_path / "masks" / f"{name}.tif", 500000.01, 5000000, bands=1)
    assert load("folder", tmp_path, "train")[0].mask.shape == (10, 10)
