from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from segbench import DataError, Download, OptionError, Problem, Sample, Task
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import resolve

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
Array = npt.NDArray[Any]
Geotiff = Callable[[Path, Array], Path]

BUCKET_FOLDERS = ("S1Hand", "S2Hand", "LabelHand")


def _chip(root: Path, name: str, geotiff: Geotiff, folders: tuple[str, ...] = BUCKET_FOLDERS) -> None:
    """A 4x4 chip: radar is missing in the first row, optical in the first column, label -1 in the last row."""
    radar = np.full((2, 4, 4), -12.0, np.float32)
    radar[1] = -20
    radar[:, 0] = np.nan
    optical = np.full((13, 4, 4), 900, np.int16)
    optical[:, :, 0] = 0
    label = np.array([[0, 0, 1, 1]] * 3 + [[-1] * 4], np.int16)[None]
    bands_of: tuple[Array, ...] = (radar, optical, label)
    for folder, ending, bands in zip(folders, BUCKET_FOLDERS, bands_of, strict=True):
        geotiff(root / folder / f"{name}_{ending}.tif", bands)


def _lists(folder: Path, **names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test", "bolivia"):
        rows = [f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names.get(split, "").split()]
        (folder / f"flood_{split}_data.csv").write_text("".join(rows))


@pytest.fixture
def root(tmp_path: Path, geotiff: Geotiff) -> Path:
    for name in ("Ghana_1", "Sri-Lanka_2", "Bolivia_3"):
        _chip(tmp_path, name, geotiff)
    _lists(tmp_path, train="Ghana_1 Sri-Lanka_2", valid="Ghana_1", test="Ghana_1", bolivia="Bolivia_3")
    return tmp_path


def test_the_first_row_of_a_list_is_a_chip_and_not_a_header(root: Path, load: Load, groups: Callable[[str, Path, str], list[str]]) -> None:
    assert [s.id for s in load("sen1floods11", root, "train")] == ["Ghana_1", "Sri-Lanka_2"]
    assert [s.id for s in load("sen1floods11", root, "bolivia")] == ["Bolivia_3"]
    assert groups("sen1floods11", root, "train") == ["Ghana", "Sri-Lanka"]


def test_tensors_keep_their_stored_types(root: Path, load: Load) -> None:
    sample = load("sen1floods11", root, "train")[0]

    assert sample.inputs["sar"].dtype == torch.float32
    assert sample.inputs["optical"].dtype == torch.int16
    assert sample.inputs["optical"].shape == (13, 4, 4)
    assert sample.mask.dtype == torch.int64


def test_missing_radar_gets_the_stated_value_and_not_zero(root: Path, load: Load) -> None:
    default = load("sen1floods11", root, "train")[0].inputs["sar"]
    chosen = load("sen1floods11[fill_db=(-30,-40)]", root, "train")[0].inputs["sar"]

    assert default[:, 0, 0].tolist() == [-13.0, -21.0]
    assert chosen[:, 0, 3].tolist() == [-30.0, -40.0]
    assert chosen[:, 1, 3].tolist() == [-12.0, -20.0]
    assert torch.isfinite(default).all()


def test_pixels_are_ignored_where_both_inputs_are_missing_and_where_nobody_labelled(
    root: Path, load: Load, task_of: Callable[[str], Task]
) -> None:
    ignore = task_of("sen1floods11").ignore_index
    mask = load("sen1floods11", root, "train")[0].mask

    assert mask[0].tolist() == [ignore, 0, 1, 1]  # radar is missing in the whole row, optical only in the first column
    assert mask[1].tolist() == [0, 0, 1, 1]
    assert mask[3].tolist() == [ignore] * 4


def test_the_layout_of_the_official_sample_and_of_the_bucket_are_found(tmp_path: Path, geotiff: Geotiff, load: Load) -> None:
    _chip(tmp_path / "a" / "sample", "Ghana_1", geotiff, ("S1", "S2", "Labels"))
    _lists(tmp_path / "a" / "splits", train="Ghana_1")
    _chip(tmp_path / "b" / "v1.1/data/flood_events/HandLabeled", "Ghana_1", geotiff)
    _lists(tmp_path / "b" / "v1.1/splits/flood_handlabeled", train="Ghana_1")

    assert len(load("sen1floods11", tmp_path / "a", "train")) == len(load("sen1floods11", tmp_path / "b", "train")) == 1


def test_listed_chips_that_are_missing_are_an_error_unless_partial(root: Path, load: Load, problems: Check) -> None:
    (root / "S2Hand" / "Sri-Lanka_2_S2Hand.tif").unlink()

    with pytest.raises(DataError, match=r"Sri-Lanka_2_S2Hand\.tif is not there, but listed in flood_train_data\.csv"):
        load("sen1floods11", root, "train")
    assert [p.where for p in problems("sen1floods11", root) if p.severity == "error"] == ["train"]
    assert [s.id for s in load("sen1floods11[partial=true]", root, "train")] == ["Ghana_1"]
    found = problems("sen1floods11[partial=true]", root)
    assert {p.severity for p in found} == {"warning"}
    assert "split 'train' has 1 of the 252 samples of the whole dataset" in found[0].message


def test_partial_needs_the_list_of_one_split_only(root: Path, load: Load, problems: Check) -> None:
    for split in ("valid", "test", "bolivia"):
        (root / f"flood_{split}_data.csv").unlink()

    assert [s.id for s in load("sen1floods11[partial=true]", root, "train")] == ["Ghana_1", "Sri-Lanka_2"]
    assert {p.severity for p in problems("sen1floods11[partial=true]", root)} == {"warning"}
    assert {p.where for p in problems("sen1floods11", root) if p.severity == "error"} == {"val", "test"}


def test_a_list_with_a_header_or_a_path_in_it_is_refused(root: Path, load: Load) -> None:
    for row in ("image,label\n", "../../etc/passwd,x\n"):
        (root / "flood_test_data.csv").write_text(row)
        with pytest.raises(DataError, match=r"flood_test_data\.csv:1: .* is not a chip"):
            load("sen1floods11", root, "test")


def test_a_chip_with_another_number_of_bands_is_named(root: Path, geotiff: Geotiff, load: Load) -> None:
    geotiff(root / "S2Hand" / "Ghana_1_S2Hand.tif", np.ones((12, 4, 4), np.int16))

    with pytest.raises(DataError, match=r"Ghana_1_S2Hand\.tif: it has 12 bands instead of 13"):
        load("sen1floods11", root, "train")[0]


def test_one_fill_value_for_two_polarisations_is_refused(task_of: Callable[[str], Task]) -> None:
    with pytest.raises(OptionError, match="fill_db needs two values"):
        task_of("sen1floods11[fill_db=(-13)]")


def test_an_empty_folder_is_refused_with_the_way_to_get_the_data(tmp_path: Path, load: Load) -> None:
    with pytest.raises(DataError, match="segbench data fetch sen1floods11"):
        load("sen1floods11", tmp_path, "train")


def test_downloads_are_the_lists_and_then_the_chips_they_name(tmp_path: Path, catalog: Catalog) -> None:
    chosen = catalog.dataset("sen1floods11")
    assert chosen.spec.fetch is not None
    downloads = iter(resolve(chosen.spec.fetch)(tmp_path, chosen.options))
    lists: list[Download] = [next(downloads) for _ in range(4)]
    _lists(tmp_path / "splits/flood_handlabeled", valid="Ghana_1")
    chips = list(downloads)

    assert [d.target.rpartition("/")[2] for d in lists] == [f"flood_{s}_data.csv" for s in ("train", "valid", "test", "bolivia")]
    assert [d.target for d in chips] == [
        f"data/flood_events/HandLabeled/{folder}/Ghana_1_{folder}.tif" for folder in ("S1Hand", "S2Hand", "LabelHand")
    ]
    assert all(d.urls == (f"https://storage.googleapis.com/sen1floods11/v1.1/{d.target}",) for d in (*lists, *chips))


def test_the_real_chip_separates_water_by_its_radar(real_data: Callable[[str], Path], tmp_path: Path, load: Load) -> None:
    pytest.importorskip("rasterio")
    (tmp_path / "sample").symlink_to(real_data("sen1floods11") / "sample")
    _lists(tmp_path, train="Spain_7370579")
    sample = load("sen1floods11", tmp_path, "train")[0]
    water, valid = sample.mask == 1, sample.mask != 255
    dark = (sample.inputs["sar"][1] < -21.6) & valid

    # known figure: VH < -21.6 dB scores water IoU 0.567 on this chip
    assert float((dark & water).sum() / (dark | water).sum()) == pytest.approx(0.567, abs=0.001)
