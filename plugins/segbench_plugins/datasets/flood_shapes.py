"""Generated flood scenes: Sentinel-1 as float32 dB (VV, VH) and Sentinel-2 as int16 reflectance x 10 000 (13 bands).

Radar has the statistics of real scenes (mean +- deviation in dB: VV land -9.3 +- 4.0, water -17.0 +- 5.6; VH land -16.9 +- 3.7, water
-25.2 +- 6.0): multiplicative speckle, and slow changes that both polarisations share (slopes on land, wind on water). Optical bands mix
the spectra of water, plants, soil and cloud under a common illumination. Clouds and their shadows change optical bands only. A patch of
some scenes is unlabelled (-1 in Sen1Floods11, here ``ignore_index``).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench import IGNORE_INDEX, Sample, Task
from segbench_plugins.datasets import FloodShapesOptions
from segbench_plugins.datasets.files import Array, Samples, tensor

SPLITS = ("train", "val", "test")
LAND, WATER = 0, 1
# (polarisation, class): mean and deviation in dB
RADAR_MEAN = np.array([[-9.3, -17.0], [-16.9, -25.2]], np.float32)
RADAR_DEVIATION = np.array([[4.0, 5.6], [3.7, 6.0]], np.float32)
LOOKS = 4
_SHARED = 0.8  # correlation of the slow changes in VV and VH
_PER_SCENE = 0.3  # share of their variance that is one offset for the whole scene

# Reflectance x 10 000 of B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12 at the top of the atmosphere
CLEAR_WATER = (1250, 1020, 840, 620, 570, 480, 460, 400, 370, 230, 14, 210, 150)
MUDDY_WATER = (1380, 1280, 1360, 1340, 1300, 1180, 1170, 1090, 1000, 380, 14, 360, 260)
PLANTS = (1260, 1010, 960, 740, 1150, 2150, 2550, 2450, 2750, 850, 16, 1750, 950)
SOIL = (1440, 1340, 1450, 1700, 1900, 2100, 2200, 2180, 2400, 880, 16, 2900, 2250)
CLOUD = (4300, 4200, 4200, 4300, 4400, 4550, 4650, 4500, 4650, 2000, 160, 3400, 2700)


def task(options: FloodShapesOptions) -> Task:
    """Land and water; means and deviations are left to be computed from the training split."""
    return Task(
        class_names=("land", "water"),
        inputs={"sar": 2, "optical": 13},
        palette=((181, 157, 115), (30, 100, 200)),
        headline="water",
        rgb=(),
    )


@dataclass(frozen=True)
class SceneSamples(Samples):
    """Scenes made on access: (seed, split, index) decides everything."""

    ids: tuple[str, ...]
    split: int
    options: FloodShapesOptions

    def read(self, index: int) -> Sample:
        rng = np.random.default_rng((self.options.seed, self.split, index))
        size = self.options.size
        water = _water(size, rng)
        radar, optical = _radar(water, rng), _optical(water, rng, cloudy=rng.random() < self.options.clouds)
        mask = water.astype(np.int64)
        if rng.random() < self.options.unlabelled:
            mask[_smooth_field(size, 3, rng) > 1.2] = IGNORE_INDEX
        return Sample({"sar": tensor(radar), "optical": tensor(optical)}, tensor(mask), self.ids[index])


def load(root: Path | None, split: str, options: FloodShapesOptions) -> SceneSamples:
    """The samples of one split; there is no folder."""
    count = int(getattr(options, split))
    return SceneSamples(tuple(f"{split}-{i:05d}" for i in range(count)), SPLITS.index(split), options)


def _water(size: int, rng: np.random.Generator) -> Array:
    """Flooded low ground, and in most scenes a winding river: bool (size, size)."""
    ground = _smooth_field(size, 4, rng) + 0.5 * _smooth_field(size, 9, rng) + 0.15 * _smooth_field(size, 24, rng)
    water: Array = ground < rng.uniform(-1.4, 0.2)
    if rng.random() < 0.7:
        course = rng.uniform(0.2, 0.8) + 0.12 * _smooth_line(size, 4, rng) + 0.03 * _smooth_line(size, 12, rng)
        width = rng.uniform(0.01, 0.04) * (1 + 0.3 * _smooth_line(size, 6, rng)).clip(0.4, None)
        river = np.abs(np.linspace(0, 1, size)[:, None] - course[None, :]) < width[None, :]
        water |= river if rng.random() < 0.5 else river.T
    return water


def _radar(water: Array, rng: np.random.Generator) -> Array:
    """Backscatter in dB, float32 (2, size, size)."""
    speckle_mean, speckle_variance = _speckle_moments()
    slow_deviation = np.sqrt(RADAR_DEVIATION**2 - speckle_variance)
    classes = water.astype(np.intp)
    slow = np.stack([_slow_changes(len(water), rng) for _ in (LAND, WATER)], axis=1)  # (polarisation, class, size, size)
    slow = np.where(water, slow[:, WATER], slow[:, LAND])
    speckle = 10 * np.log10(rng.standard_gamma(LOOKS, (2, *water.shape)) / LOOKS) - speckle_mean
    radar: Array = (RADAR_MEAN[:, classes] + slow_deviation[:, classes] * slow + speckle).astype(np.float32)
    return radar


def _slow_changes(size: int, rng: np.random.Generator) -> Array:
    """Two correlated smooth fields of unit variance, (2, size, size)."""

    def one() -> Array:
        return math.sqrt(_PER_SCENE) * rng.standard_normal() + math.sqrt(1 - _PER_SCENE) * _smooth_field(size, 10, rng)

    shared = one()
    return np.stack([math.sqrt(_SHARED) * shared + math.sqrt(1 - _SHARED) * one() for _ in range(2)])


@functools.cache
def _speckle_moments() -> tuple[float, float]:
    """Mean and variance in dB of speckle with ``LOOKS`` looks (gamma with mean 1): digamma and trigamma at a whole number."""
    digamma = -0.5772156649015329 + sum(1 / k for k in range(1, LOOKS))
    trigamma = math.pi**2 / 6 - sum(1 / k**2 for k in range(1, LOOKS))
    decibel = 10 / math.log(10)
    return decibel * (digamma - math.log(LOOKS)), decibel**2 * trigamma


def _optical(water: Array, rng: np.random.Generator, *, cloudy: bool) -> Array:
    """Reflectance x 10 000, int16 (13, size, size)."""
    size = len(water)
    growth = (0.5 + 0.45 * _smooth_field(size, 8, rng) + 0.2 * rng.standard_normal()).clip(0, 1)
    mud = (rng.random() + 0.2 * _smooth_field(size, 5, rng)).clip(0, 1)
    share = np.where(water, mud, growth)
    first = np.where(water, _spectrum(CLEAR_WATER), _spectrum(SOIL))
    second = np.where(water, _spectrum(MUDDY_WATER), _spectrum(PLANTS))
    scene = first + (second - first) * share
    scene *= np.exp(0.1 * _smooth_field(size, 16, rng) + 0.04 * rng.standard_normal(water.shape))  # illumination: the same in all bands
    if cloudy:
        cover = _smooth_field(size, 5, rng) + 0.35 * _smooth_field(size, 14, rng)
        opacity = (1.2 * (cover - rng.uniform(0.2, 1.2))).clip(0, 0.97)
        shift = max(2, size // 16)
        scene *= 1 - 0.55 * np.roll(opacity, (shift, -shift), axis=(0, 1))  # the shadow falls beside its cloud
        scene += (_spectrum(CLOUD) - scene) * opacity
    scene *= 1 + 0.03 * rng.standard_normal(scene.shape, np.float32)
    stored: Array = scene.clip(1, 20000).astype(np.int16)
    return stored


def _spectrum(values: tuple[int, ...]) -> Array:
    return np.array(values, np.float32)[:, None, None]


def _smooth_field(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Smooth noise (size, size), normal with mean 0 and variance 1 at each pixel."""
    weights = _interpolation(size, cells)
    field: Array = weights @ rng.standard_normal((cells, cells), np.float32) @ weights.T
    return field


def _smooth_line(size: int, cells: int, rng: np.random.Generator) -> Array:
    return _interpolation(size, cells) @ rng.standard_normal(cells, np.float32)


@functools.cache
def _interpolation(size: int, cells: int) -> Array:
    """Matrix (size, cells) that interpolates smoothly from a coarse grid; rows have unit length, which keeps the variance."""
    position = np.linspace(0, cells - 1, size, dtype=np.float32)[:, None]
    weights = np.exp(-((position - np.arange(cells, dtype=np.float32)) ** 2) / 0.8)
    unit: Array = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return unit
