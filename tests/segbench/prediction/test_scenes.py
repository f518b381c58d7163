from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segbench.data.window import Window
from segbench.errors import ConfigError, DataError
from segbench.plugin.specs import Normalisation, Task
from segbench.prediction.predictor import Predictor
from segbench.prediction.scenes import FileScene, image_scenes, paired_scenes

TWO = Task(
    class_names=("land", "water"),
    inputs={"sar": 2, "optical": 3},
    normalisation={"sar": Normalisation((0.0,) * 2, (1.0,) * 2), "optical": Normalisation((0.0,) * 3, (1.0,) * 3)},
)
ALL = Window(0, 0, 6, 8)


def _read(scene: Any, predictor: Predictor, window: Window = ALL) -> Any:
    with scene.open(predictor.task, predictor.plan) as opened:
        return opened.read(window)


def test_a_folders_images_are_taken_in_order_and_all_else_is_left(photo: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".hidden.png"):
        photo(name)
    (tmp_path / "images" / "notes.txt").write_text("x")
    (tmp_path / "images" / "folder.png").mkdir()
    assert [scene.id for scene in image_scenes([tmp_path / "images"])] == ["a", "b"]


def test_images_of_one_name_get_ids_that_differ(photo: Callable[..., Path], tmp_path: Path) -> None:
    files = [
        photo("a.png"),
        photo("a.jpg"),
        photo("b.png"),
        photo("b.png", folder=tmp_path / "other"),
        photo("b.png", folder=tmp_path / "x" / "other"),
    ]
    ids = [scene.id for scene in image_scenes(files)]
    assert ids == ["a_png", "a_jpg", "images-b_png", "other-b_png", "other-b_png-2"]
    assert [scene.id for scene in image_scenes([files[0], files[0]])] == ["a"]


def test_what_is_not_there_or_holds_no_images_is_said(tmp_path: Path, photo: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="there is no image or folder"):
        image_scenes([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"'.*empty' holds no images \(.*\.png"):
        image_scenes([tmp_path / "empty"])
    photo("a.png", folder=tmp_path / "deep" / "inside")
    with pytest.raises(ConfigError, match=r"It has folders \(inside\): give those"):
        image_scenes([tmp_path / "deep"])


def test_inputs_are_matched_by_stem_or_by_what_a_patterns_star_stands_for(photo: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("x", "y"):
        photo(f"{name}.png", folder=tmp_path / "sar")
        photo(f"{name}.png", folder=tmp_path / "optical")
        photo(f"{name}_S1Hand.png", folder=tmp_path / "S1")
        photo(f"{name}_S2Hand.png", folder=tmp_path / "S2")
    by_stem = paired_scenes({"optical": str(tmp_path / "optical"), "sar": str(tmp_path / "sar")}, TWO)
    assert [(scene.id, list(scene.paths)) for scene in by_stem] == [("x", ["sar", "optical"]), ("y", ["sar", "optical"])]
    by_pattern = paired_scenes({"sar": str(tmp_path / "S1" / "*_S1Hand.png"), "optical": str(tmp_path / "S2" / "*_S2Hand.png")}, TWO)
    assert [scene.id for scene in by_pattern] == ["x", "y"]
    assert by_pattern[1].paths["optical"].name == "y_S2Hand.png"
    with pytest.raises(ConfigError, match=r"4 files without a partner .*patterns"):
        paired_scenes({"sar": str(tmp_path / "S1"), "optical": str(tmp_path / "S2")}, TWO)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sar": "."}, r"'optical' is missing. The network takes sar \(2 channels\) and optical \(3 channels\)"),
        ({"sar": ".", "optical": ".", "dem": "."}, "there is no input 'dem'"),
        ({"sar": "gone", "optical": "gone"}, "there is no folder or file 'gone'"),
        ({"sar": "a*b*.tif", "optical": "gone"}, r"A pattern has one \*"),
        ({"sar": "nothing-*.tif", "optical": "gone"}, "no file is like 'nothing-"),
    ],
)
def test_inputs_that_cannot_be_found_are_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        paired_scenes(given, TWO)


def test_a_grey_picture_stands_for_three_equal_channels_and_what_is_transparent_is_missing(
    predictor: Predictor, photo: Callable[..., Path]
) -> None:
    (grey,) = image_scenes([photo("grey.png", (6, 8), mode="L")])
    found = _read(grey, predictor)["image"]
    assert found.shape == (3, 6, 8)
    assert torch.equal(found[0], found[2])
    path = photo("clear.png", (6, 8), mode="RGBA")
    (clear,) = image_scenes([path])
    stored = np.asarray(Image.open(path)).transpose(2, 0, 1)
    opaque = np.where(stored[3] > 0, stored[:3].astype(np.float32), np.nan)  # what is transparent has no value
    assert np.array_equal(_read(clear, predictor)["image"].numpy(), opaque, equal_nan=True)


def test_colours_for_a_network_of_one_channel_are_refused(predictor_of: Callable[..., Predictor], photo: Callable[..., Path]) -> None:
    task = Task(class_names=("a", "b"), inputs={"image": 1}, normalisation={"image": Normalisation((0.0,), (1.0,))})
    (scene,) = image_scenes([photo("a.png")])
    with pytest.raises(DataError, match="has 3 bands, the network takes 1"):
        _read(scene, predictor_of(task))


def test_one_raster_may_hold_all_inputs(predictor_of: Callable[..., Predictor], geotiff: Callable[..., Path]) -> None:
    values = np.random.default_rng(0).normal(size=(5, 6, 8)).astype(np.float32)
    (scene,) = image_scenes([geotiff("both.tif", values)])
    found = _read(scene, predictor_of(TWO), Window(1, 2, 3, 4))
    assert np.array_equal(found["sar"].numpy(), values[:2, 1:4, 2:6])
    assert np.array_equal(found["optical"].numpy(), values[2:, 1:4, 2:6])


def test_bands_are_chosen_and_named_where_they_do_not_fit(predictor_of: Callable[..., Predictor], geotiff: Callable[..., Path]) -> None:
    task = Task(class_names=("a", "b"), normalisation={"image": Normalisation((0.0,) * 3, (1.0,) * 3)})
    values = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    path = geotiff("four.tif", values)
    with pytest.raises(DataError, match=r"has 4 bands, the network takes 3: 'image'. Choose some with --bands"):
        _read(FileScene("x", {"image": path}), predictor_of(task))
    assert np.array_equal(_read(FileScene("x", {"image": path}, (4, 3, 1)), predictor_of(task))["image"].numpy(), values[[3, 2, 0]])
    with pytest.raises(DataError, match="has the bands 1 to 4, but --bands asks for 4,5,6"):
        _read(FileScene("x", {"image": path}, (4, 5, 6)), predictor_of(task))
    with pytest.raises(DataError, match=r"Give each input by itself: --input sar=DIR --input optical=DIR"):
        _read(FileScene("x", {"": path}), predictor_of(TWO))


def test_inputs_of_other_size_or_ground_are_refused(predictor_of: Callable[..., Predictor], geotiff: Callable[..., Path]) -> None:
    sar, optical = np.zeros((2, 6, 8), np.float32), np.zeros((3, 6, 8), np.float32)
    first = geotiff("sar.tif", sar)
    with pytest.raises(DataError, match=r"sar.tif has 6x8 pixels, small.tif 5x8: inputs must be of one size"):
        _read(FileScene("x", {"sar": first, "optical": geotiff("small.tif", optical[:, :5])}), predictor_of(TWO))
    with pytest.raises(DataError, match="do not cover the same ground"):
        _read(FileScene("x", {"sar": first, "optical": geotiff("away.tif", optical, origin=(600000, 4600000))}), predictor_of(TWO))
    with pytest.raises(DataError, match="do not cover the same ground"):
        _read(FileScene("x", {"sar": first, "optical": geotiff("zone.tif", optical, crs="EPSG:32632")}), predictor_of(TWO))
    assert _read(FileScene("x", {"sar": first, "optical": geotiff("nowhere.tif", optical, crs=None)}), predictor_of(TWO))["sar"].shape == (
        2,
        6,
        8,
    )


@pytest.mark.parametrize("content", [b"", b"II*\x00garbage", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"not an image at all" * 50])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_hostile_files_are_one_message(predictor: Predictor, tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^cannot read bad.{ending}: .+") as caught:
        _read(FileScene("x", {"": path}), predictor)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value).replace(f"'{path}'", "")
