from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from segbench import Sample, Task

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def scenes() -> tuple[Array, Array, Array]:
    """Radar, optical and masks of 300 clear scenes."""
    from segbench_plugins.datasets import FloodShapesOptions
    from segbench_plugins.datasets.flood_shapes import load

    samples = list(load(None, "train", FloodShapesOptions(train=300, size=48, clouds=0.0, unlabelled=0.0)))
    radar, optical = (np.stack([s.inputs[name].numpy() for s in samples]).astype(np.float64) for name in ("sar", "optical"))
    return radar, optical, np.stack([s.mask.numpy() for s in samples])


def test_samples_are_what_the_task_declares(load: Load, task_of: Callable[[str], Task]) -> None:
    task = task_of("flood-shapes")
    sample = load("flood-shapes", None, "train")[0]

    assert dict(task.inputs) == {"sar": 2, "optical": 13}
    assert task.headline == "water"
    assert sample.inputs["sar"].dtype == torch.float32
    assert sample.inputs["sar"].shape == (2, 128, 128)
    assert sample.inputs["optical"].dtype == torch.int16
    assert sample.inputs["optical"].shape == (13, 128, 128)


@pytest.mark.parametrize(
    ("polarisation", "label", "mean", "deviation"),
    [(0, 0, -9.3, 4.0), (0, 1, -17.0, 5.6), (1, 0, -16.9, 3.7), (1, 1, -25.2, 6.0)],
    ids=["VV land", "VV water", "VH land", "VH water"],
)
def test_radar_has_the_statistics_of_real_scenes(
    scenes: tuple[Array, Array, Array], polarisation: int, label: int, mean: float, deviation: float
) -> None:
    radar, _, masks = scenes
    values = radar[:, polarisation][masks == label]

    assert values.mean() == pytest.approx(mean, abs=0.5)
    assert values.std() == pytest.approx(deviation, abs=0.4)


def test_radar_is_speckled_from_pixel_to_pixel(scenes: tuple[Array, Array, Array]) -> None:
    radar, _, masks = scenes
    same = (masks[:, :, 1:] == 0) & (masks[:, :, :-1] == 0)
    steps = np.diff(radar[:, 0], axis=2)[same]

    # neighbours differ by two independent speckles of 4 looks: deviation sqrt(2) * 10 / ln 10 * sqrt(trigamma(4)) = 3.27 dB
    assert steps.std() == pytest.approx(3.27, abs=0.25)


def test_optical_bands_rise_and_fall_together(scenes: tuple[Array, Array, Array]) -> None:
    _, optical, masks = scenes
    land = optical.transpose(1, 0, 2, 3)[:, masks == 0]
    correlation = np.corrcoef(land)

    assert correlation[6, 7] > 0.9  # B7 and B8 both see leaves
    assert correlation[1, 2] > 0.6  # blue and green


def test_spectra_tell_water_from_land_where_the_sky_is_clear(scenes: tuple[Array, Array, Array]) -> None:
    _, optical, masks = scenes
    index = (optical[:, 2] - optical[:, 7]) / (optical[:, 2] + optical[:, 7])  # NDWI of B3 and B8

    assert np.mean(index[masks == 1] > 0) > 0.8
    assert np.mean(index[masks == 0] > 0) < 0.05


def test_clouds_hide_optical_but_never_radar(load: Load) -> None:
    clear = load("flood-shapes[clouds=0,unlabelled=0]", None, "train")[0]
    cloudy = load("flood-shapes[clouds=1,unlabelled=0]", None, "train")[0]

    assert torch.equal(clear.inputs["sar"], cloudy.inputs["sar"])
    assert torch.equal(clear.mask, cloudy.mask)
    assert not torch.equal(clear.inputs["optical"], cloudy.inputs["optical"])
    blue = [s.inputs["optical"][1].float().max() for s in load("flood-shapes[clouds=1,train=20]", None, "train")]
    assert torch.stack(blue).max() > 3500


def test_unlabelled_patches_are_ignored_pixels(load: Load, task_of: Callable[[str], Task]) -> None:
    ignore = task_of("flood-shapes").ignore_index
    patched = load("flood-shapes[unlabelled=1,train=10,size=64]", None, "train")
    whole = load("flood-shapes[unlabelled=0,train=10,size=64]", None, "train")

    assert sum(int((s.mask == ignore).sum()) for s in patched) > 0
    assert all(set(s.mask.flatten().tolist()) <= {0, 1} for s in whole)


def test_scenes_repeat_exactly(load: Load) -> None:
    first, second = (load("flood-shapes[size=64]", None, "test")[7] for _ in range(2))

    assert torch.equal(first.inputs["optical"], second.inputs["optical"])
    assert torch.equal(first.inputs["sar"], second.inputs["sar"])
