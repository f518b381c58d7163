from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segbench import DataError, DatasetSpec, NoOptions, Sample, StoreError, Task
from segbench.data.preview import legend, write_preview
from segbench.data.visualization import IGNORED, WRONG, colorize, default_palette, error_map, overlay, prediction_panel, to_rgb

PALETTE = ((10, 20, 30), (200, 100, 50))
TASK = Task(class_names=("land", "water"), inputs={"sar": 2, "optical": 13}, palette=PALETTE, rgb=())
PHOTO = Task(class_names=("road", "crack"))


def _spec(samples: list[Sample], task: Task) -> DatasetSpec:
    return DatasetSpec(name="memory", summary="", task=lambda options: task, splits=("train",), load=lambda *args: samples)


def _scene(name: str = "a", size: int = 24) -> Sample:
    mask = torch.zeros(size, size, dtype=torch.int64)
    mask[:, size // 2 :] = 1
    mask[0] = 255
    return Sample({"sar": torch.full((2, size, size), -12.5), "optical": torch.full((13, size, size), 1500, dtype=torch.int16)}, mask, name)


def test_photographs_stay_as_they_are() -> None:
    image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)

    assert np.array_equal(to_rgb(image, "image"), image.permute(1, 2, 0).numpy())
    assert to_rgb(image[:1], "image")[1, 1].tolist() == [3, 3, 3]


def test_radar_shows_vv_from_minus_25_to_0_decibel() -> None:
    radar = torch.tensor([[[-25.0, -12.5, 0.0, torch.nan]], [[5.0, 5.0, 5.0, 5.0]]])

    assert to_rgb(radar, "sar")[0, :, 0].tolist() == [0, 128, 255, 0]


def test_thirteen_bands_show_red_green_and_blue() -> None:
    optical = torch.zeros(13, 1, 1, dtype=torch.int16)
    optical[3], optical[2], optical[1] = 3000, 1500, 9000  # B4, B3, B2

    assert to_rgb(optical, "optical")[0, 0].tolist() == [255, 128, 255]


def test_other_inputs_are_stretched_between_percentiles() -> None:
    values = torch.linspace(-7, 900, 101)[None, None]
    picture = to_rgb(values, "height")[0, :, 0]

    assert picture[0] == picture[2] == 0
    assert picture[-1] == picture[-3] == 255
    assert picture[50] == pytest.approx(128, abs=2)
    assert to_rgb(torch.full((5, 2, 2), torch.nan), "height").max() == 0


def test_labels_take_the_tasks_colours_and_ignored_pixels_grey() -> None:
    picture = colorize(torch.tensor([[0, 1, 255, -1, 37]]), TASK)

    assert [tuple(p) for p in picture[0].tolist()] == [*PALETTE, IGNORED, IGNORED, IGNORED]


def test_default_colours_differ_for_many_classes() -> None:
    assert len(set(default_palette(40))) == 40
    assert default_palette(2) == default_palette(3)[:2]


def test_errors_are_red_where_the_label_counts() -> None:
    picture = error_map(torch.tensor([[0, 1, 1]], dtype=torch.uint8), torch.tensor([[0, 0, 255]]), TASK)

    assert tuple(picture[0, 1].tolist()) == WRONG
    assert tuple(picture[0, 2].tolist()) == IGNORED
    assert tuple(picture[0, 0].tolist()) not in (WRONG, IGNORED)


def test_an_overlay_blends_labels_and_leaves_ignored_pixels() -> None:
    picture = np.full((1, 2, 3), 100, np.uint8)

    assert overlay(picture, torch.tensor([[1, 255]]), TASK, opacity=0.5)[0].tolist() == [[150, 100, 75], [100, 100, 100]]


def test_a_panel_has_inputs_label_prediction_and_errors_side_by_side() -> None:
    sample = _scene()
    panel = prediction_panel(sample, torch.ones(24, 24, dtype=torch.uint8), TASK)

    assert panel.width == 5 * 24 + 4 * 4  # sar, optical, label, prediction, errors, with gaps
    assert panel.height == 24 + 16
    assert panel.getpixel((3 * 28 + 5, 16 + 10)) == PALETTE[1]
    assert panel.getpixel((4 * 28 + 5, 16 + 10)) == WRONG


def test_a_legend_names_each_class_in_its_colour() -> None:
    picture = legend(TASK, width=500)

    assert picture.getpixel((5, 8)) == PALETTE[0]
    assert picture.getpixel((155, 8)) == PALETTE[1]
    assert picture.getpixel((305, 8)) == IGNORED


def test_a_preview_is_written_whole(tmp_path: Path) -> None:
    samples = [_scene(str(i)) for i in range(5)]
    path = write_preview(_spec(samples, TASK), NoOptions(), TASK, None, tmp_path / "new" / "sheet.png", "train", 4)

    with Image.open(path) as sheet:
        assert sheet.width == 2 * (3 * 24 + 2 * 4) + 4
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_large_images_are_shrunk_and_odd_labels_are_shown(tmp_path: Path) -> None:
    sample = Sample({"image": torch.zeros(3, 480, 960, dtype=torch.uint8)}, torch.ones(10, 20, dtype=torch.int64), "a")
    path = write_preview(_spec([sample], PHOTO), NoOptions(), PHOTO, None, tmp_path / "sheet.png", "train", 3)

    with Image.open(path) as sheet:
        assert sheet.width == 2 * 240 + 4


def test_a_preview_of_nothing_and_one_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split 'train' of 'memory' has 0 samples"):
        write_preview(_spec([], PHOTO), NoOptions(), PHOTO, None, tmp_path / "sheet.png", "train")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_preview(_spec([_scene()], TASK), NoOptions(), TASK, None, tmp_path / "file" / "sheet.png", "train")
