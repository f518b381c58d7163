from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segbench.data.tiling import blend_weights, tiled_logits, windows

LENGTHS = st.integers(1, 70)
SIZES = st.tuples(LENGTHS, LENGTHS)
OVERLAPS = st.floats(0.0, 0.9)


@settings(deadline=None, max_examples=200)
@given(size=SIZES, tile=SIZES, overlap=OVERLAPS)
def test_windows_cover_every_pixel_and_stay_inside(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> None:
    covered = torch.zeros(size)
    for window in windows(size, tile, overlap):
        assert (window.height, window.width) == (min(size[0], tile[0]), min(size[1], tile[1]))
        assert min(window.top, window.left) >= 0
        assert window.top + window.height <= size[0]
        assert window.left + window.width <= size[1]
        window.crop(covered).add_(1)
    assert covered.min() >= 1


@settings(deadline=None, max_examples=200)
@given(length=st.integers(1, 300), tile=st.integers(1, 70), overlap=OVERLAPS)
def test_neighbours_share_the_overlap_and_no_window_is_needless(length: int, tile: int, overlap: float) -> None:
    starts = [window.top for window in windows((length, 1), (tile, 1), overlap)]
    assert starts == sorted(set(starts))
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(step <= max(1.0, tile * (1 - overlap)) for step in steps)
    assert len(set(steps[:-1])) <= 1  # all but the last, which is flush with the border
    assert starts[-1] == max(0, length - tile)


@settings(deadline=None, max_examples=100)
@given(size=SIZES, overlap=OVERLAPS)
def test_weights_are_positive_symmetric_and_one_inside(size: tuple[int, int], overlap: float) -> None:
    weights = blend_weights(size, overlap)
    assert tuple(weights.shape) == size
    assert weights.min() > 0
    assert weights.max() <= 1
    torch.testing.assert_close(weights, weights.flip(0))
    torch.testing.assert_close(weights, weights.flip(1))


def test_weights_fall_linearly_over_the_overlap() -> None:
    across = blend_weights((1, 12), 1 / 3)[0] / blend_weights((1, 1), 1 / 3)[0, 0]
    torch.testing.assert_close(across[:6], torch.tensor([0.25, 0.75, 1.25, 1.75, 2.0, 2.0]))


def _pointwise(inputs: tuple[Tensor, ...]) -> Tensor:
    image, other = inputs
    return torch.stack([image.sum(1), image[:, 0] * other[:, 0], other[:, 0] - 1], dim=1)


@settings(deadline=None, max_examples=60)
@given(size=SIZES, tile=st.tuples(st.integers(4, 40), st.integers(4, 40)), overlap=st.floats(0.0, 0.75))
def test_a_pointwise_network_says_the_same_tiled_or_not(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.randn(2, 3, *size, generator=generator), torch.randn(2, 1, *size, generator=generator))
    whole = _pointwise(inputs)
    tiled = tiled_logits(_pointwise, inputs, tile=tile, overlap=overlap)
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)
    assert tiled.dtype == torch.float32


def test_constant_logits_stay_constant() -> None:
    tiled = tiled_logits(lambda x: torch.full((1, 2, *x[0].shape[-2:]), 3.25), (torch.zeros(1, 3, 50, 61),), tile=(16, 24), overlap=0.3)
    torch.testing.assert_close(tiled, torch.full((1, 2, 50, 61), 3.25), rtol=1e-6, atol=0)


def test_blending_goes_over_smoothly_from_one_window_to_the_next() -> None:
    calls = iter([0.0, 1.0])
    tiled = tiled_logits(lambda x: torch.full((1, 2, *x[0].shape[-2:]), next(calls)), (torch.zeros(1, 1, 4, 12),), tile=(4, 8), overlap=0.5)
    row = tiled[0, 0, 0]
    assert row[:4].tolist() == [0.0] * 4
    torch.testing.assert_close(row[4:8], torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert row[8:].tolist() == [1.0] * 4


def test_a_small_image_is_predicted_in_one_piece() -> None:
    seen: list[tuple[int, ...]] = []

    def predict(inputs: tuple[Tensor, ...]) -> Tensor:
        seen.append(tuple(inputs[0].shape))
        return inputs[0]

    image = torch.randn(1, 2, 20, 30)
    assert torch.equal(tiled_logits(predict, (image,), tile=(64, 32)), image)
    assert seen == [(1, 2, 20, 30)]


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_no_more_than_a_tile_is_predicted_at_a_time(overlap: float) -> None:
    largest = 0

    def predict(inputs: tuple[Tensor, ...]) -> Tensor:
        nonlocal largest
        largest = max(largest, inputs[0].shape[-2] * inputs[0].shape[-1])
        return inputs[0].to(torch.bfloat16)

    result = tiled_logits(predict, (torch.zeros(1, 2, 100, 130),), tile=(32, 32), overlap=overlap)
    assert largest == 32 * 32
    assert result.dtype == torch.float32
