from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segbench.data.samples import Fields
from segbench.data.transforms import (
    NATIVE,
    Policy,
    augment,
    draw_geometry,
    evaluation_size,
    jitter_colours,
    move_image,
    move_mask,
    resize_image,
    resize_mask,
    warp,
)
from segbench.plugin.specs import Task

ROWS, COLUMNS = 40, 56
POLICIES: tuple[Policy, ...] = ("none", "standard", "enhanced", "crop")
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def _task(classes: int = 60, **inputs: int) -> Task:
    return Task(class_names=tuple(f"c{i}" for i in range(classes)), inputs=inputs or {"image": 3})


def _ramp(axis: int) -> Tensor:
    """(H, W): each pixel holds its own row or column."""
    ramp = torch.arange((ROWS, COLUMNS)[axis], dtype=torch.float32)
    return (ramp[:, None] if axis == 0 else ramp[None, :]).expand(ROWS, COLUMNS).contiguous()


def _values(mask: Tensor) -> set[int]:
    return set(mask.flatten().tolist())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(40, 56), (24, 64), (71, 33)])
def test_inputs_and_mask_move_together(policy: Policy, size: tuple[int, int], axis: int) -> None:
    ramp = _ramp(axis)
    fields = Fields({"sar": ramp[None], "image": ramp.to(torch.uint8).expand(3, -1, -1)}, ramp.to(torch.uint8), "a")
    torch.manual_seed(axis)
    for _ in range(30):
        moved, (top, left, height, width) = augment(fields, policy=policy, size=size, task=_task(sar=1, image=3))
        inside = (slice(top, top + height), slice(left, left + width))
        labels = moved.mask[inside].to(torch.float32)
        values = moved.inputs["sar"][0][inside]
        # a linear ramp survives bilinear sampling: it must name the same source pixel as the nearest label
        # (at the border of a strongly shrunk sample the filter is cut off: up to half an output pixel)
        pitch = max(1.0, (labels.max() - labels.min() + 1).item() / labels.shape[axis])
        assert (values - labels).abs().max() <= 0.5 * pitch + 0.5
        assert abs((values - labels).mean().item()) <= 0.25 * pitch + 0.05
        if policy not in NATIVE:  # nor may two inputs differ; with colour jitter they do
            assert (moved.inputs["image"][1][inside].to(torch.float32) - values).abs().max() <= 1.0


def test_half_of_the_samples_are_mirrored() -> None:
    torch.manual_seed(0)
    flips = sum(draw_geometry("standard", (10, 10), (10, 10)).flip for _ in range(400))
    assert 160 < flips < 240
    assert not any(draw_geometry("none", (10, 10), (10, 10)).flip for _ in range(50))


def test_mirroring_reverses_columns_of_image_and_mask() -> None:
    geometry = next(g for g in (draw_geometry("standard", (2, 3), (2, 3)) for _ in range(100)) if g.flip)
    image = torch.arange(6, dtype=torch.uint8).view(1, 2, 3)
    assert move_image(image, geometry).tolist() == [[[2, 1, 0], [5, 4, 3]]]
    assert move_mask(image[0], geometry, ignore_index=255).tolist() == [[2, 1, 0], [5, 4, 3]]


@settings(max_examples=150, deadline=None)
@given(native=SIZES, size=SIZES, seed=st.integers(0, 2**31), policy=st.sampled_from(sorted(NATIVE)))
def test_boxes_of_crops_lie_inside_and_keep_the_scale(native: tuple[int, int], size: tuple[int, int], seed: int, policy: Policy) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        geometry = draw_geometry(policy, native, size)
    fit = min(size[0] / native[0], size[1] / native[1]) if policy == "enhanced" else 1.0
    for axis in (0, 1):
        start, length = geometry.source[axis], geometry.source[axis + 2]
        assert start >= 0
        assert length >= 1
        assert start + length <= native[axis]
        at, extent = geometry.target[axis], geometry.target[axis + 2]
        assert at >= 0
        assert extent >= 1
        assert at + extent <= size[axis]
        # between half and twice what fits, but for rounding either length to whole pixels
        assert (extent + 1) / max(length - 1, 0.5) >= 0.5 * fit
        assert max(extent - 1, 0) / (length + 1) <= 2.0 * fit


def test_enhanced_scales_reach_from_half_to_double() -> None:
    torch.manual_seed(0)
    drawn = [draw_geometry("enhanced", (1000, 1000), (1000, 1000)) for _ in range(400)]
    scales = sorted(g.target[2] / g.source[2] for g in drawn)
    assert 0.5 <= scales[0] < 0.53
    assert 1.95 < scales[-1] <= 2.01
    assert 1.15 < scales[200] < 1.35


def test_crops_are_of_the_images_own_scale() -> None:
    torch.manual_seed(0)
    drawn = [draw_geometry("crop", (1024, 2048), (512, 512)) for _ in range(400)]
    scales = sorted(g.target[2] / g.source[2] for g in drawn)
    assert 0.5 <= scales[0] < 0.53
    assert 1.95 < scales[-1] <= 2.01
    assert all(g.target == (0, 0, 512, 512) for g in drawn)
    assert {g.source[1] > 900 for g in drawn} == {True, False}


def test_padding_is_ignored_in_the_mask() -> None:
    fields = Fields({"image": torch.full((3, 20, 20), 9, dtype=torch.uint8)}, torch.ones(20, 20, dtype=torch.uint8), "a")
    torch.manual_seed(3)
    padded = 0
    for _ in range(40):
        moved, (top, left, height, width) = augment(fields, policy="enhanced", size=(30, 30), task=_task())
        content = torch.zeros(30, 30, dtype=torch.bool)
        content[top : top + height, left : left + width] = True
        assert torch.equal(moved.mask == 255, ~content)
        assert torch.equal(moved.mask == 1, content)
        padded += int(not content.all())
    assert 5 < padded < 35


def test_a_negative_ignore_index_pads_too() -> None:
    fields = Fields({"image": torch.zeros(3, 8, 8)}, torch.zeros(8, 8, dtype=torch.int64), "a")
    task = Task(class_names=("a", "b"), ignore_index=-1)
    torch.manual_seed(0)
    values = {v for _ in range(20) for v in _values(augment(fields, policy="enhanced", size=(8, 8), task=task)[0].mask)}
    assert values == {-1, 0}


def test_colours_change_on_8_bit_rgb_only() -> None:
    torch.manual_seed(0)
    rgb = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    inputs = {"image": rgb, "sar": rgb, "float": rgb.float(), "four": torch.cat([rgb, rgb[:1]])}
    jittered = jitter_colours(inputs, rgb=("image", "float", "four"))
    assert not torch.equal(jittered["image"], rgb)
    assert all(jittered[name] is inputs[name] for name in ("sar", "float", "four"))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_keep_their_dtype_and_are_left_alone_where_they_fit(dtype: torch.dtype) -> None:
    image = torch.arange(48).view(3, 4, 4).to(dtype)
    assert resize_image(image, (2, 8)).dtype == dtype
    assert resize_image(image, (4, 4)) is image
    assert torch.equal(resize_mask(image[0], (4, 4)), image[0])


def test_shrinking_an_image_is_antialiased_and_labels_are_never_mixed() -> None:
    stripes = torch.tensor([0, 200], dtype=torch.uint8).repeat(16).expand(1, 32, 32)
    small = resize_image(stripes, (8, 8))
    assert small[0, 4, 2:6].float().sub(100).abs().max() <= 2
    assert _values(resize_mask(stripes[0], (8, 8))) <= {0, 200}


def test_masks_take_the_centre_of_what_they_cover() -> None:
    assert resize_mask(torch.tensor([[0, 1, 2]], dtype=torch.uint8), (1, 1)).item() == 1
    assert resize_mask(torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8]], dtype=torch.uint8), (1, 3)).tolist() == [[1, 4, 7]]


def test_warping_fills_the_canvas_whatever_the_aspect() -> None:
    geometry = warp((10, 30), (12, 12))
    assert move_mask(torch.ones(10, 30, dtype=torch.uint8), geometry, ignore_index=255).eq(1).all()


@settings(max_examples=200, deadline=None)
@given(native=SIZES, size=SIZES)
def test_keep_aspect_is_the_largest_size_of_the_same_aspect_in_the_box(native: tuple[int, int], size: tuple[int, int]) -> None:
    height, width = evaluation_size(native, size, "keep-aspect")
    assert 1 <= height <= size[0]
    assert 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    factor = min(size[0] / native[0], size[1] / native[1])
    assert height == 1 or abs(height - native[0] * factor) <= 0.5 + 1e-9
    assert width == 1 or abs(width - native[1] * factor) <= 0.5 + 1e-9


def test_warp_and_none_evaluate_at_the_box_and_at_the_own_size() -> None:
    assert evaluation_size((10, 20), (7, 7), "warp") == (7, 7)
    assert evaluation_size((10, 20), (7, 7), "none") == (10, 20)
    assert evaluation_size((10, 20), None, "keep-aspect") == (10, 20)


def test_contrast_turns_on_the_image_alone_and_not_on_its_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segbench.data.transforms.JITTER", {"contrast": 0.3})
    plain = Fields({"image": torch.full((3, ROWS, COLUMNS), 200, dtype=torch.uint8)}, torch.zeros(ROWS, COLUMNS, dtype=torch.uint8), "a")
    padded = 0
    for seed in range(20):
        torch.manual_seed(seed)
        moved, (top, left, height, width) = augment(plain, policy="enhanced", size=(64, 64), task=_task())
        padded += height * width < 64 * 64
        assert _values(moved.inputs["image"][:, top : top + height, left : left + width]) <= {199, 200}, "but for rounding"
    assert padded
