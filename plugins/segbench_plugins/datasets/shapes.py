"""Generated pictures of shapes: the embedded default, learnable in minutes on two CPU cores.

Each picture has a soft two-coloured ground with unlabelled blotches, and three to six shapes that overlap. A class has a hue of its own,
but hues scatter: disk and ring, and box and bar, share most of theirs, so that the network has to learn their forms. Rings and bars are
thin (5 to 9 hundredths of the side), so that a network that decides on a coarse grid loses accuracy. Pixel noise covers everything.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench import Normalisation, Sample, Task
from segbench_plugins.datasets import ShapesOptions
from segbench_plugins.datasets.files import Array, Samples, tensor

SPLITS = ("train", "val", "test")
CLASSES = {
    "background": (40, 40, 40),
    "disk": (214, 73, 51),
    "box": (58, 110, 200),
    "triangle": (92, 168, 80),
    "ring": (240, 170, 60),
    "bar": (150, 90, 190),
}
_HUES = {"disk": 0.00, "box": 0.58, "triangle": 0.33, "ring": 0.08, "bar": 0.68}
_HUE_DEVIATION = 0.03
_GROUND_CELLS = 5

ShapeMask = Callable[[Array, Array, float, np.random.Generator], Array]


def task(options: ShapesOptions) -> Task:
    """Background and five shapes; colours are centred and scaled by one half and one quarter of full brightness."""
    simple = Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3, scale=1 / 255)
    return Task(class_names=tuple(CLASSES), palette=tuple(CLASSES.values()), normalisation={"image": simple})


@dataclass(frozen=True)
class ShapeSamples(Samples):
    """Pictures drawn on access: (seed, split, index) decides everything."""

    ids: tuple[str, ...]
    split: int
    options: ShapesOptions

    def read(self, index: int) -> Sample:
        rng = np.random.default_rng((self.options.seed, self.split, index))
        image, mask = draw(self.options.size, self.options.noise, rng)
        return Sample({"image": tensor(image)}, tensor(mask), self.ids[index])


def load(root: Path | None, split: str, options: ShapesOptions) -> ShapeSamples:
    """The samples of one split; there is no folder."""
    count = int(getattr(options, split))
    return ShapeSamples(tuple(f"{split}-{i:05d}" for i in range(count)), SPLITS.index(split), options)


def draw(size: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """One picture: image uint8 (3, size, size) and mask int64 (size, size)."""
    image = _draw_ground(size, rng)
    mask = np.zeros((size, size), np.int64)
    for _ in range(rng.integers(3, 7)):
        name = list(_FORMS)[rng.integers(len(_FORMS))]
        inside = _draw_form(_FORMS[name], size, rng)
        mask[inside] = list(CLASSES).index(name)
        image[:, inside] = _draw_colours(name, inside, rng)
    if noise:
        image += rng.standard_normal(image.shape, np.float32) * np.float32(noise)
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8), mask


def _draw_ground(size: int, rng: np.random.Generator) -> Array:
    """A smooth blend of two dull colours, with blotches in any hue that belong to no class."""
    first, second = 0.35 + 0.3 * rng.random((2, 3, 1, 1), np.float32)
    blend = _interpolation(size) @ rng.random((_GROUND_CELLS, _GROUND_CELLS), np.float32) @ _interpolation(size).T
    image: Array = first + (second - first) * blend
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(0, size - 3, 2)
        height, width = rng.integers(2, max(3, size // 16) + 1, 2)
        image[:, y : y + height, x : x + width] = _colour(rng.random(), rng)[:, None, None]
    return image


def _draw_form(form: ShapeMask, size: int, rng: np.random.Generator) -> Array:
    """Pixels (size, size) inside a form at a random place, turned by a random angle."""
    y, x = rng.uniform(0.1, 0.9, 2) * size
    angle = rng.uniform(0, 2 * math.pi)
    rows = np.arange(size, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(size, dtype=np.float32)[None, :] - np.float32(x)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return form(cos * columns + sin * rows, cos * rows - sin * columns, float(size), rng)


def _draw_colours(name: str, inside: Array, rng: np.random.Generator) -> Array:
    """Colours (3, pixels inside): the class's hue, shaded from one side to the other."""
    colour = _colour(_HUES[name] + rng.normal(0, _HUE_DEVIATION), rng)
    rows, columns = np.nonzero(inside)
    slope = rng.normal(0, 0.25, 2).astype(np.float32) / len(inside)
    shade = 1 + slope[0] * (rows - len(inside) / 2) + slope[1] * (columns - len(inside) / 2)
    shaded: Array = (colour[:, None] * shade).astype(np.float32)
    return shaded


def _colour(hue: float, rng: np.random.Generator) -> Array:
    """Red, green and blue in 0..1 of a hue (1 = full circle), with scattered saturation and brightness."""
    saturation, value = rng.uniform(0.35, 0.9), rng.uniform(0.45, 0.95)
    wheel = np.abs((np.float32(hue) + np.array([0, 2 / 3, 1 / 3], np.float32)) % 1 * 6 - 3) - 1
    colour: Array = (value * (1 - saturation + saturation * wheel.clip(0, 1))).astype(np.float32)
    return colour


def _disk(u: Array, v: Array, size: float, rng: np.random.Generator) -> Array:
    inside: Array = u * u + v * v <= (rng.uniform(0.1, 0.22) * size) ** 2
    return inside


def _ring(u: Array, v: Array, size: float, rng: np.random.Generator) -> Array:
    radius, width = rng.uniform(0.14, 0.24) * size, rng.uniform(0.045, 0.09) * size
    inside: Array = np.abs(np.sqrt(u * u + v * v) - radius) <= width / 2
    return inside


def _box(u: Array, v: Array, size: float, rng: np.random.Generator) -> Array:
    half_width, half_height = rng.uniform(0.09, 0.2, 2) * size
    inside: Array = (np.abs(u) <= half_width) & (np.abs(v) <= half_height)
    return inside


def _bar(u: Array, v: Array, size: float, rng: np.random.Generator) -> Array:
    half_length, width = rng.uniform(0.2, 0.4) * size, rng.uniform(0.045, 0.09) * size
    inside: Array = (np.abs(u) <= half_length) & (np.abs(v) <= width / 2)
    return inside


def _triangle(u: Array, v: Array, size: float, rng: np.random.Generator) -> Array:
    inner = rng.uniform(0.07, 0.13) * size  # radius of the circle that touches all three sides
    slant = np.float32(math.sqrt(3) / 2)
    inside: Array = (v <= inner) & (slant * u - v / 2 <= inner) & (-slant * u - v / 2 <= inner)
    return inside


_FORMS: dict[str, ShapeMask] = {"disk": _disk, "box": _box, "triangle": _triangle, "ring": _ring, "bar": _bar}


@functools.cache
def _interpolation(size: int) -> Array:
    """Matrix (size, cells) that interpolates linearly from a coarse grid."""
    position = np.linspace(0, _GROUND_CELLS - 1, size, dtype=np.float32)[:, None]
    weights: Array = (1 - np.abs(position - np.arange(_GROUND_CELLS, dtype=np.float32))).clip(0, 1)
    return weights
