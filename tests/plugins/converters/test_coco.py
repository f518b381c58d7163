from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as reference

from segbench import DataError
from segbench_plugins.converters.regions import Runs, _uncompressed

from .conftest import SQUARE, annotation, coco, picture

UP = "../../../../"


def test_a_square_of_ten_by_ten_covers_a_hundred_pixels(tmp_path: Path, convert: Any, mask: Any) -> None:
    conversion = convert("coco", coco(tmp_path / "in", [annotation(1, [SQUARE])]))
    ids = mask("a")
    assert (ids == 1).sum() == 100
    assert ids[2:12, 2:12].all()
    assert conversion.objects == {"disk": 1, "cat": 0}
    assert conversion.notes[-1] == "no object of cat"


def test_small_objects_lie_over_large_ones_in_any_order(tmp_path: Path, convert: Any, mask: Any) -> None:
    small = [4, 4, 8, 4, 8, 8, 4, 8]
    convert("coco", coco(tmp_path / "in", [annotation(1, [small], 18), annotation(1, [SQUARE])]))
    ids = mask("a")
    assert (ids[4:8, 4:8] == 2).all()
    assert (ids == 1).sum() == 84


def test_a_hole_in_an_rle_stays_background_and_polygons_of_one_object_are_a_union(tmp_path: Path, convert: Any, mask: Any) -> None:
    ring = np.zeros((24, 32), np.uint8)
    ring[2:12, 2:12], ring[5:8, 5:8] = 1, 0
    encoded = reference.encode(np.asfortranarray(ring))
    rle = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    parts = [[20, 2, 24, 2, 24, 6, 20, 6], [22, 4, 26, 4, 26, 8, 22, 8]]
    convert("coco", coco(tmp_path / "in", [annotation(1, rle), annotation(1, parts, 18)]))
    ids = mask("a")
    assert np.array_equal(ids == 1, ring == 1)
    assert (ids == 2).sum() == 16 + 16 - 4


def test_crowds_and_objects_without_outline_or_category_are_ignored_and_counted(tmp_path: Path, convert: Any, mask: Any) -> None:
    crowd = {"size": [24, 32], "counts": [24 * 30, 48]}
    annotations = [
        annotation(1, crowd, iscrowd=1),
        annotation(1, [], bbox=[14, 2, 4, 4]),
        annotation(1, [SQUARE], 99),
        annotation(1, [[20, 14, 24, 14, 24, 18, 20, 18]]),
        annotation(7, [SQUARE]),
        annotation(1, [[1, 1, 2, 2]]),
    ]
    source = coco(tmp_path / "in", annotations)
    conversion = convert("coco", source)
    ids = mask("a")
    assert (ids[:, 30:] == 255).all()
    assert (ids[2:6, 14:18] == 255).all()
    assert (ids[2:12, 2:12] == 255).all()
    assert (ids == 1).sum() == 16
    assert conversion.not_converted == {
        "crowd regions (coco[crowd=object] paints them): its pixels are ignored": 1,
        "a box without an outline: its pixels are ignored": 1,
        "category 99 is not declared: its pixels are ignored": 1,
        "a polygon of fewer than three corners": 1,
        "its image is not listed": 1,
    }


def test_crowds_can_be_painted(tmp_path: Path, convert: Any, mask: Any) -> None:
    crowd = {"size": [24, 32], "counts": [24 * 30, 48]}
    convert("coco[crowd=object]", coco(tmp_path / "in", [annotation(1, crowd, iscrowd=1)]))
    assert (mask("a")[:, 30:] == 1).all()


@pytest.mark.parametrize("orientation", [6, 8])
@pytest.mark.parametrize("drawn_on", ["upright", "stored"])
def test_masks_fit_the_picture_as_viewers_show_it(tmp_path: Path, convert: Any, mask: Any, orientation: int, drawn_on: str) -> None:
    stored, upright = (32, 24), (24, 32)
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])], size=upright if drawn_on == "upright" else stored)
    picture(source / "train2017" / "a.jpg", stored, orientation)
    convert("coco", source)
    ids = mask("a")
    assert ids.shape == (32, 24)
    # columns 2..11 of the stored rows 2..11, turned by a quarter
    corner = {("upright", 6): (2, 2), ("upright", 8): (2, 2), ("stored", 6): (2, 12), ("stored", 8): (20, 2)}[drawn_on, orientation]
    assert [int(edge) for edge in np.argwhere(ids).min(axis=0)] == list(corner)


def test_splits_and_names_are_kept_apart(tmp_path: Path, convert: Any) -> None:
    coco(tmp_path / "in", [annotation(1, [SQUARE])], names=["a.jpg", "b c.jpg"])
    coco(tmp_path / "in", [annotation(1, [SQUARE])], names=["a.jpg"], file="annotations/instances_val2017.json", images="val2017")
    conversion = convert("coco", tmp_path / "in")
    assert conversion.splits == {"train": 2, "val": 1}
    assert conversion.empty == 1
    assert (tmp_path / "out" / "train.txt").read_text().split() == ["train2017_a.jpg", "b_c.jpg"]
    assert (tmp_path / "out" / "val.txt").read_text() == "val2017_a.jpg\n"
    assert {path.stem for path in (tmp_path / "out/masks").iterdir()} == {"train2017_a", "val2017_a", "b_c"}


def test_a_folder_per_split_is_read(tmp_path: Path, convert: Any) -> None:
    for folder, name in (("train", "a.jpg"), ("valid", "b.jpg"), ("test", "c.jpg")):
        coco(tmp_path / "in", [annotation(1, [SQUARE])], names=[name], file=f"{folder}/_annotations.coco.json", images=folder)
    assert convert("coco", tmp_path / "in").splits == {"train": 1, "val": 1, "test": 1}


def test_many_classes_make_masks_of_sixteen_bits(tmp_path: Path, convert: Any, mask: Any) -> None:
    many = {i: f"class {i}" for i in range(1, 400)}
    convert("coco", coco(tmp_path / "in", [annotation(1, [SQUARE], 399), annotation(1, [], 3, bbox=[20, 2, 2, 2])], categories=many))
    assert sorted(set(mask("a").ravel().tolist())) == [0, 399, 65535]


def test_missing_images_are_an_error_unless_they_are_to_be_skipped(tmp_path: Path, convert: Any) -> None:
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])], names=["a.jpg", "b.jpg"])
    (source / "train2017" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 2 annotated images not on disk below .*: b\.jpg\. .*--skip-missing"):
        convert("coco", source)
    assert not (tmp_path / "out").exists()
    assert convert("coco", source, skip_missing=True).skipped == 1


@pytest.mark.parametrize(
    "name", [f"{UP}secret.png", f"x/../{UP}secret.png", "..\\..\\..\\..\\s.png", "/etc/hostname", "C:/s.png", "", "a\0.png"]
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, convert: Any, name: str) -> None:
    picture(tmp_path / "secret.png")
    source = coco(tmp_path / "in" / "data", [annotation(1, [SQUARE])], names=[name], absent=True)
    picture(tmp_path / "in" / "secret.png")
    with pytest.raises(DataError, match=r"outside of|expected the name of a file"):
        convert("coco", source)
    assert not (tmp_path / "out").exists()


def test_links_that_lead_outside_are_refused(tmp_path: Path, convert: Any) -> None:
    picture(tmp_path / "secret.jpg")
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])], absent=True)
    (source / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match="outside of"):
        convert("coco", source)


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ({"size": [24, 30], "counts": [24 * 30]}, r"annotation 1: the RLE is of 30x24 pixels, but its image of 32x24"),
        ({"size": [24, 32], "counts": [10, 5]}, r"encodes 15 pixels, but its size is 32x24"),
        ({"size": [24, 32], "counts": "zzzz"}, r"the RLE cannot be read"),
        ({"size": [24, 32], "counts": [2**70]}, r"the RLE cannot be read"),
        ({"size": [24, 32]}, r"the RLE cannot be read"),
        ({"size": "big", "counts": [1]}, r"an RLE needs its size \[height, width\], got 'big'"),
    ],
)
def test_damaged_encodings_are_refused(tmp_path: Path, convert: Any, outline: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert("coco", coco(tmp_path / "in", [annotation(1, outline)]))


@pytest.mark.parametrize("outline", [[["x"] * 6], [[1, 2, 3, 4, 5, 6, 7]], [[1e9, 0, 5, 0, 5, 5]], [[float("nan"), 0, 5, 0, 5, 5]], [3]])
def test_polygons_that_are_none_are_counted_not_painted(tmp_path: Path, convert: Any, outline: Any) -> None:
    conversion = convert("coco", coco(tmp_path / "in", [annotation(1, outline), annotation(1, [SQUARE], 18)]))
    assert (conversion.objects["disk"], sum(conversion.not_converted.values())) == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "cannot be read as JSON"),
        ('{"shapes": []}', "is not a file of COCO instances: it has no 'images', 'annotations', 'categories'"),
        ("[]", "is not a file of COCO instances"),
        ('{"images": 3, "annotations": [], "categories": []}', "expected lists of"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}', "lacks id or file_name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}', "list no images"),
    ],
)
def test_files_that_are_no_instances_are_refused(tmp_path: Path, convert: Any, text: str, message: str) -> None:
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])])
    (source / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(DataError, match=message):
        convert("coco", source)


def test_boxes_alone_are_refused(tmp_path: Path, convert: Any) -> None:
    with pytest.raises(DataError, match="no object could be converted: a box without an outline"):
        convert("coco", coco(tmp_path / "in", [annotation(1, [])]))


def test_one_image_in_two_splits_is_refused(tmp_path: Path, convert: Any) -> None:
    for split in ("train", "val"):
        coco(tmp_path / "in", [annotation(1, [SQUARE])], file=f"annotations/instances_{split}.json", images="images")
    with pytest.raises(DataError, match="is annotated in the splits 'train' and 'val'"):
        convert("coco", tmp_path / "in")


def test_images_of_another_size_are_refused(tmp_path: Path, convert: Any) -> None:
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])])
    picture(source / "train2017" / "a.jpg", (16, 12))
    with pytest.raises(DataError, match="is 16x12 pixels, but it was annotated at 32x24"):
        convert("coco", source)


def test_a_folder_that_holds_files_is_left_alone(tmp_path: Path, convert: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        convert("coco", coco(tmp_path / "in", [annotation(1, [SQUARE])]))
    assert os.listdir(tmp_path / "out") == ["mine"]


def test_masks_are_paletted_and_images_the_same_bytes(tmp_path: Path, convert: Any) -> None:
    source = coco(tmp_path / "in", [annotation(1, [SQUARE])])
    convert("coco", source)
    with Image.open(tmp_path / "out/masks/a.png") as written:
        assert written.mode == "P"
        assert (written.getpalette() or [])[:6] == [0, 0, 0, 128, 0, 0]
    assert (tmp_path / "out/images/a.jpg").read_bytes() == (source / "train2017/a.jpg").read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_encodings_are_read_as_pycocotools_reads_them(seed: int, height: int, width: int, share: float) -> None:
    pixels = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    encoded = reference.encode(np.asfortranarray(pixels))["counts"].decode()
    assert np.array_equal(Runs(encoded, (width, height), "x").mask(width, height), pixels == 1)
    assert sum(_uncompressed(encoded)) == height * width


def test_categories_of_one_name_are_one_class(tmp_path: Path, convert: Any, mask: Any) -> None:
    source = coco(tmp_path / "in", [annotation(1, [SQUARE], 5)], categories={0: "crack", 5: "crack"})
    conversion = convert("coco", source)
    assert conversion.objects == {"crack": 1}
    assert (mask("a") == 1).sum() == 100
    assert json.dumps(conversion.notes).count("categories of the same name") == 1
