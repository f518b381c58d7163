from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench.data.near_duplicates import alike_pairs, structure

Array = npt.NDArray[Any]


def scene(seed: int, size: int = 96) -> Array:
    """A picture (3, H, W) of smooth ground with a few discs and fine noise, one of many alike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    picture = 90 + 30 * np.sin(rows / 20) + rng.normal(0, 6, (size, size))
    for _ in range(4):
        y, x, radius = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(5, 18)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] += rng.uniform(-60, 60)
    bands: Array = np.stack([picture, picture * 0.8, picture * 0.6]).clip(0, 255).astype(np.uint8)
    return bands


def reencoded(picture: Array) -> Array:
    file = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(file, "JPEG", quality=75)
    decoded: Array = np.asarray(Image.open(file)).transpose(2, 0, 1)
    return decoded


@pytest.mark.parametrize(
    "change",
    [
        reencoded,
        lambda p: p[:, :, ::-1],
        lambda p: p[:, ::-1],
        lambda p: np.rot90(p, axes=(1, 2)),
        lambda p: np.rot90(p, 3, axes=(1, 2))[:, ::-1],
        lambda p: (p * 0.8 + 20).astype(np.uint8),
        lambda p: p.astype(np.uint16) * 257,
    ],
    ids=["JPEG", "mirrored", "upside down", "turned", "turned and mirrored", "brighter", "16 bits"],
)
def test_a_changed_copy_is_found_among_others(change: Callable[[Array], Array]) -> None:
    first = [structure(scene(seed)) for seed in range(12)]
    second = [structure(scene(100)), structure(change(scene(7)))]
    assert [(pair.first, pair.second) for pair in alike_pairs(first, second)] == [(7, 1)]


def test_pictures_of_one_kind_are_not_taken_for_copies() -> None:
    first, second = ([structure(scene(seed)) for seed in range(start, start + 60)] for start in (0, 1000))
    assert alike_pairs(first, second) == []


def test_pictures_without_structure_are_never_alike() -> None:
    flat = [structure(np.full((3, 40, 40), value, np.uint8)) for value in (0, 255)]
    assert flat == [None, None]
    assert structure(np.zeros((1, 4, 4))) is None
    assert alike_pairs(flat, flat) == []


def test_within_one_list_each_pair_of_different_scenes_is_named_once() -> None:
    pictures = [structure(scene(seed)) for seed in range(4)]
    pictures += [structure(reencoded(scene(1))), structure(scene(2)[:, ::-1])]
    scenes = ["a", "b", "c", "d", "e", "c"]  # the last belongs to the picture that it mirrors
    assert [(pair.first, pair.second) for pair in alike_pairs(pictures, pictures, scenes)] == [(1, 4)]


def test_a_round_field_of_view_makes_no_copies_of_different_pictures() -> None:
    rows, columns = np.mgrid[:96, :96]

    def seen_through(picture: Array) -> Array:
        return np.where((rows - 48) ** 2 + (columns - 48) ** 2 < 44**2, picture, 0).astype(np.uint8)

    first = [structure(seen_through(scene(seed))) for seed in range(30)]
    second = [structure(seen_through(scene(seed))) for seed in range(100, 112)] + [structure(reencoded(seen_through(scene(5))[:, ::-1]))]
    assert [(pair.first, pair.second) for pair in alike_pairs(first, second)] == [(5, 12)]
