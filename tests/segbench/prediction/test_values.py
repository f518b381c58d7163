"""Images with other values than a network was trained on: refused, rescaled, or taken as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench.errors import ConfigError
from segbench.prediction.predict import PredictSettings, PredictSummary, predict
from segbench.prediction.predictor import Predictor
from segbench.prediction.scenes import image_scenes
from segbench.util.value_range import ValueRange

BRIGHT = np.linspace(0, 255, 30 * 20).reshape(20, 30).round()


def _grey(path: Path, values: npt.NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def _mask(out: Path, name: str) -> npt.NDArray[Any]:
    return np.asarray(Image.open(out / "masks" / f"{name}.png"))


@pytest.fixture(params=["kept in the file", "of an older file"])
def photos(request: pytest.FixtureRequest, predictor: Predictor) -> Predictor:
    known = {"image": ValueRange("uint8", 0, 255, 0, 255)}
    return replace(predictor, value_ranges=known if request.param == "kept in the file" else None)


@pytest.fixture
def predicted(photos: Predictor, tmp_path: Path) -> Callable[..., PredictSummary]:
    def run(path: Path, rescale: str = "refuse") -> PredictSummary:
        settings = PredictSettings(size="own", alpha=None, rescale=rescale)
        return predict(photos, image_scenes([path]), tmp_path / "out", settings, overwrite=True)

    return run


def test_sixteen_bits_are_refused_or_divided_by_257(predicted: Callable[..., PredictSummary], tmp_path: Path) -> None:
    predicted(_grey(tmp_path / "plain.png", BRIGHT.astype(np.uint8)))
    deep = _grey(tmp_path / "deep.png", (BRIGHT * 257).astype(np.uint16))
    refused = predicted(deep).failed["deep"]
    assert "deep has values of uint16 from 0 to 65535" in refused
    assert "the network was trained on uint8 from 0 to 255" in refused
    assert "--rescale auto (uint16: value * 0.00389105)" in refused
    assert not predicted(deep, "auto").failed
    assert np.array_equal(_mask(tmp_path / "out", "deep"), _mask(tmp_path / "out", "plain"))
    (entry,) = (image for image in json.loads((tmp_path / "out" / "predictions.json").read_text())["images"])
    assert entry["rescaled"] == {"image": "value * 0.00389105"}
    assert not predicted(deep, "none").failed
    assert (_mask(tmp_path / "out", "deep") == 1)[:, 1:].mean() > 0.9, "what it was before: nearly all of it is bright"


def test_twelve_bits_in_sixteen_need_their_own_rule(predicted: Callable[..., PredictSummary], tmp_path: Path) -> None:
    predicted(_grey(tmp_path / "plain.png", BRIGHT.astype(np.uint8)))
    deep = _grey(tmp_path / "deep.png", (BRIGHT * 4095 / 255).round().astype(np.uint16))
    for rule in ("refuse", "auto"):
        refused = predicted(deep, rule).failed["deep"]
        assert "as in 0-4095:0-255" in refused
        assert "--rescale auto" not in refused
    assert not predicted(deep, "0-4095:0-255").failed
    assert np.array_equal(_mask(tmp_path / "out", "deep"), _mask(tmp_path / "out", "plain"))
    assert "far outside" in predicted(deep, "0-4095:0-65535").failed["deep"], "a rule that does not help is no way in"


def test_floats_from_0_to_1_are_refused_or_multiplied(predicted: Callable[..., PredictSummary], tmp_path: Path) -> None:
    predicted(_grey(tmp_path / "plain.png", BRIGHT.astype(np.uint8)))
    shares = _grey(tmp_path / "shares.tiff", (BRIGHT / 255).astype(np.float32))
    assert "they are floats from 0 to 1" in predicted(shares).failed["shares"]
    assert not predicted(shares, "auto").failed
    (written,) = (tmp_path / "out" / "masks").glob("shares.*")
    assert np.array_equal(np.asarray(Image.open(written)), _mask(tmp_path / "out", "plain"))


def test_like_values_are_left_alone_by_every_rule(predicted: Callable[..., PredictSummary], tmp_path: Path) -> None:
    plain = _grey(tmp_path / "plain.png", BRIGHT.astype(np.uint8))
    black, small = _grey(tmp_path / "black.png", np.zeros((9, 9), np.uint8)), _grey(tmp_path / "small.png", BRIGHT.astype(np.uint16))
    for path in (plain, black, small):
        for rule in ("refuse", "auto"):
            done = predicted(path, rule)
            assert not done.failed
            assert not next(iter(done.record.images.values())).rescaled


def test_a_large_image_is_judged_by_parts_of_all_of_it(predicted: Callable[..., PredictSummary], tmp_path: Path) -> None:
    values = np.zeros((900, 800), np.uint16)
    values[:, 500:] = 40000
    values[::7] //= 2
    assert "integers above 255" in predicted(_grey(tmp_path / "wide.png", values)).failed["wide"]


def test_numbers_are_of_one_input(predictor: Predictor, tmp_path: Path) -> None:
    task = replace(predictor.task, inputs={"a": 1, "b": 1}, normalisation={}, rgb=())
    with pytest.raises(ConfigError, match="would rescale all inputs"):
        predict(replace(predictor, task=task), [], tmp_path / "out", PredictSettings(rescale="0-1:0-255"))
