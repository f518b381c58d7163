from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.data.reader import read as layers
from segbench.plugin.specs import Normalisation, Task
from segbench.prediction.predict import PredictSettings, PredictSummary, predict
from segbench.prediction.predictor import Predictor
from segbench.prediction.scenes import image_scenes

rasterio = pytest.importorskip("rasterio")
FLOAT = Task(
    class_names=("dark", "bright"),
    inputs={"image": 2},
    normalisation={"image": Normalisation((0.0,) * 2, (1.0,) * 2)},
    palette=((1, 2, 3), (4, 5, 6)),
)


def _values(bands: int, height: int, width: int, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(1).integers(0, 256, (bands, height, width)).astype(dtype)


def _run(predictor: Predictor, path: Path, out: Path, how: PredictSettings | None = None) -> PredictSummary:
    return predict(predictor, image_scenes([path]), out, how or PredictSettings())


@pytest.mark.parametrize("tile", [None, (64, 64), (200, 90)])
def test_a_mask_lies_where_its_image_lies(predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path, tile: Any) -> None:
    values = _values(3, 300, 410)
    path = geotiff("scene.tif", values)
    done = _run(predictor, path, tmp_path / "out", PredictSettings(tile=tile))
    with rasterio.open(path) as image, rasterio.open(tmp_path / "out" / "masks" / "scene.tif") as mask:
        assert (mask.crs, mask.transform, mask.shape) == (image.crs, image.transform, image.shape)
        assert mask.nodata == 255
        assert mask.colormap(1)[1] == (200, 210, 220, 255)
        assert mask.tags(1)["class_1"] == "bright"
        assert np.array_equal(mask.read(1), values.astype(float).mean(axis=0) > 127.5)
    (entry,) = done.record.images.values()
    assert entry["area_m2"] == {name: count * 100.0 for name, count in entry["pixels"].items()}
    with Image.open(tmp_path / "out" / "overlays" / "scene.png") as overlay:
        assert overlay.size == (410, 300)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # this test's own reading
def test_degrees_have_no_area_and_rasters_without_place_have_none(
    predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path
) -> None:
    for name, crs in (("degrees.tif", "EPSG:4326"), ("nowhere.tif", None)):
        path = geotiff(name, _values(3, 20, 20), crs=crs)
        done = _run(predictor, path, tmp_path / name)
        assert next(iter(done.record.images.values()))["area_m2"] is None
        with rasterio.open(path) as image, rasterio.open(tmp_path / name / "masks" / name) as mask:
            assert mask.crs == image.crs


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # as above
def test_control_points_are_kept(predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    path = geotiff("gcp.tif", _values(3, 20, 20), crs=None)
    points = [GroundControlPoint(row=r, col=c, x=500000 + 10 * c, y=4600000 - 10 * r) for r, c in ((0, 0), (0, 19), (19, 0))]
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, "EPSG:32631")
    _run(predictor, path, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "masks" / "gcp.tif") as mask:
        found, crs = mask.gcps
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
    assert crs.to_epsg() == 32631


@pytest.mark.parametrize("nodata", [-9999.0, float("nan")])
def test_pixels_without_data_are_no_class_and_do_not_spread(
    predictor_of: Callable[..., Predictor], geotiff: Callable[..., Path], tmp_path: Path, nodata: float
) -> None:
    values = np.where(np.arange(40) < 20, -1.0, 1.0).astype(np.float32)[None, None].repeat(2, 0).repeat(30, 1)
    values[:, :10] = nodata  # in both bands
    values[0, 10:12] = nodata  # in one: the other still tells
    done = _run(predictor_of(FLOAT), geotiff("gaps.tif", values, nodata=nodata), tmp_path / "out", PredictSettings(tile=(16, 16)))
    with rasterio.open(tmp_path / "out" / "masks" / "gaps.tif") as mask:
        found = mask.read(1)
    assert (found[:10] == 255).all()
    assert (found[10:, :20] == 0).all()
    assert (found[10:, 20:] == 1).all()
    (entry,) = done.record.images.values()
    assert entry["pixels"] == {"dark": 400, "bright": 400}
    assert entry["pixels_without_data"] == 400


def test_transparency_of_a_raster_says_where_there_is_no_data(predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path) -> None:
    from rasterio.enums import ColorInterp

    values = _values(4, 20, 20)
    values[3] = 255
    values[3, :5] = 0
    path = geotiff("alpha.tif", values)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    _run(predictor, path, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "masks" / "alpha.tif") as mask:
        found = mask.read(1)
    assert (found[:5] == 255).all()
    assert np.array_equal(found[5:], values[:3, 5:].astype(float).mean(axis=0) > 127.5)


def test_a_raster_is_shown_at_its_own_size_and_a_picture_at_that_of_training(
    predictor: Predictor, geotiff: Callable[..., Path], photo: Callable[..., Path], tmp_path: Path
) -> None:
    raster = _run(predictor, geotiff("a.tif", _values(3, 64, 64)), tmp_path / "raster")
    picture = _run(predictor, photo("a.png", (64, 64)), tmp_path / "picture")
    assert raster.record.images["a"]["shown"] == "at its own size"
    assert picture.record.images["a"]["shown"] == "resized to 32"


def test_a_raster_cut_off_in_the_middle_leaves_no_mask(predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path) -> None:
    path = geotiff("cut.tif", _values(3, 300, 300))
    path.write_bytes(path.read_bytes()[:150_000])
    done = _run(predictor, path, tmp_path / "out", PredictSettings(tile=(64, 64)))
    assert "cannot read cut.tif" in done.failed["cut"]
    assert list((tmp_path / "out" / "masks").iterdir()) == []


def test_without_rasterio_a_plain_tiff_is_read_as_a_picture(
    predictor: Predictor, geotiff: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain.tif"
    Image.fromarray(_values(3, 20, 30).transpose(1, 2, 0)).save(plain)
    deep = geotiff("deep.tif", _values(5, 20, 20, np.float32))
    monkeypatch.setattr(layers, "has_rasterio", lambda: False)
    done = predict(predictor, image_scenes([plain, deep]), tmp_path / "out", PredictSettings())
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["plain.png"]
    assert "pip install 'segbench[geo]'" in done.failed["deep"]
