from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench import DataError

from .conftest import picture

# ---- YOLO

YAML = "path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames:\n  0: disk\n  1: cat\n"
SQUARE = "0 0.0625 0.0833333 0.375 0.0833333 0.375 0.5 0.0625 0.5\n"
"""Columns 2 to 11, rows 2 to 11 of 32 x 24 pixels."""


def yolo(root: Path, labels: str, text: str = YAML) -> Path:
    for split, name in (("train", "a"), ("val", "b")):
        picture(root / f"images/{split}/{name}.png")
        (root / f"labels/{split}").mkdir(parents=True)
    (root / "labels/train/a.txt").write_text(labels)
    (root / "data.yaml").write_text(text)
    return root


def test_yolo_polygons_are_shares_of_the_size(tmp_path: Path, convert: Any, mask: Any) -> None:
    conversion = convert("yolo", yolo(tmp_path / "in", SQUARE + "1 0.8 0.8 0.2 0.2\n"))
    ids = mask("a")
    assert np.argwhere(ids == 1).tolist() == [[y, x] for y in range(2, 12) for x in range(2, 12)]
    assert (ids == 255).sum() == (29 - 22) * (22 - 16), "a box without an outline is ignored: columns 22.4 to 28.8, rows 16.8 to 21.6"
    assert (conversion.splits, conversion.empty) == ({"train": 1, "val": 1}, 1)
    assert conversion.not_converted == {"a box without an outline: its pixels are ignored": 1}


def test_yolo_paths_of_other_tools_and_lists_are_found(tmp_path: Path, convert: Any) -> None:
    text = "train: ../images/train\nval: val.txt\nnames: [disk]\n"
    source = yolo(tmp_path / "in", SQUARE, text)
    (source / "val.txt").write_text("./images/val/b.png\n")
    assert convert("yolo", source).splits == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    ("labels", "text", "message"),
    [
        ("0 0.5 0.5 0.1 0.1\n", YAML, "no object could be converted: a box without an outline"),
        ("0 0.5 x\n", YAML, r"a\.txt:1: '0 0.5 x' is not of the form"),
        ("0.5 0.1 0.1 0.2 0.1 0.2 0.2\n", YAML, "the class 0.5 is no whole number"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2\n", YAML, "no object could be converted: class 7 is not declared"),
        (SQUARE, "train: images/train\n", "has no 'names'"),
        (SQUARE, "names: [a\n", "cannot be read"),
        (SQUARE, "names: [disk]\ntrain: ../../etc\n", r"'../../etc' is no folder and no list of images"),
        (SQUARE, "names: [disk]\ntrain: /\n", r"'/' is no folder and no list of images"),
        (SQUARE, "names: [disk]\n", "names no images"),
        (SQUARE, "names: [disk]\ntrain: images/train\nkpt_shape: [17, 3]\n", "key points"),
    ],
)
def test_yolo_files_that_cannot_be_used_are_refused(tmp_path: Path, convert: Any, labels: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert("yolo", yolo(tmp_path / "in", labels, text))


def test_yolo_lists_must_stay_inside(tmp_path: Path, convert: Any) -> None:
    picture(tmp_path / "secret.png")
    source = yolo(tmp_path / "in", SQUARE, "train: train.txt\nnames: [disk]\n")
    (source / "train.txt").write_text("../secret.png\n")
    with pytest.raises(DataError, match="outside of"):
        convert("yolo", source)


# ---- labelme


def shape(label: str, points: Sequence[Sequence[float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def labelme(root: Path, *shapes: dict[str, Any], image: str = "a.png", size: tuple[int, int] = (32, 24)) -> Path:
    picture(root / "a.png")
    document = {"shapes": list(shapes), "imagePath": image, "imageWidth": size[0], "imageHeight": size[1]}
    (root / "a.json").write_text(json.dumps(document))
    return root


def test_labelme_shapes_are_painted_and_groups_are_one_object(tmp_path: Path, convert: Any, mask: Any) -> None:
    pixels = io.BytesIO()
    Image.fromarray(np.full((2, 3), 255, np.uint8)).save(pixels, "PNG")
    source = labelme(
        tmp_path / "in",
        shape("cat", [[2, 2], [8, 8]], "rectangle", group_id=1),
        shape("cat", [[20, 2], [24, 2], [24, 6], [20, 6]], group_id=1),
        shape("dog", [[16, 16], [16, 19]], "circle"),
        shape("cat", [[28, 20], [30, 21]], "mask", mask=base64.b64encode(pixels.getvalue()).decode()),
        shape("dog", [[1, 1], [5, 5]], "line"),
        shape("__ignore__", [[0, 20], [4, 20], [4, 24], [0, 24]]),
    )
    conversion = convert("labelme", source)
    ids = mask("a")
    assert (ids == 1).sum() == 36 + 16 + 6
    assert (ids[20:22, 28:31] == 1).all()
    assert (ids == 2).sum() == pytest.approx(np.pi * 9, abs=4)
    assert (ids[20:, :4] == 255).all()
    assert conversion.objects == {"cat": 2, "dog": 1}
    assert conversion.not_converted == {"a line has no area": 1, "labelled __ignore__: its pixels are ignored": 1}


def test_labelme_classes_are_those_of_labels_txt(tmp_path: Path, convert: Any, mask: Any) -> None:
    source = labelme(tmp_path / "in", shape("cat", [[2, 2], [8, 8]], "rectangle"), shape("_background_", [[2, 2], [4, 4]], "rectangle"))
    (source / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    picture(source / "more" / "b.png")
    conversion = convert("labelme", source)
    assert (mask("a") == 2).sum() == 32
    assert "1 picture without a json file: not used" in conversion.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ('{"images": [], "annotations": [], "categories": []}', "is not a labelme file: it has no 'shapes', 'imagePath'"),
        ('{"shapes": [{}], "imagePath": "a.png"}', "shape 0 has no label and points"),
        ('{"shapes": [{"label": "x", "points": [[1]]}], "imagePath": "a.png"}', "points are no pairs of numbers"),
        (
            '{"shapes": [{"label": "x", "points": [[1,1],[2,2]], "shape_type": "mask"}], "imagePath": "a.png"}',
            "no PNG in base64",
        ),
        ('{"shapes": [], "imagePath": "../z.png"}', "outside of .* or put the images beside"),
        ('{"shapes": [], "imagePath": "b.png"}', "not on disk"),
        ('{"shapes": [], "imagePath": "a.png"}', "name no class"),
    ],
)
def test_labelme_files_that_cannot_be_used_are_refused(tmp_path: Path, convert: Any, text: str, message: str) -> None:
    (labelme(tmp_path / "in") / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        convert("labelme", tmp_path / "in")


@pytest.mark.parametrize("name", ["/home/somebody/a.png", "C:\\\\data\\\\images\\\\a.png", "..\\\\images\\\\a.png"])
def test_labelme_paths_of_another_computer_are_the_images_beside(tmp_path: Path, convert: Any, mask: Any, name: str) -> None:
    source = labelme(tmp_path / "in", shape("cat", [[2, 2], [8, 8]], "rectangle"))
    text = (source / "a.json").read_text()
    assert '"a.png"' in text
    (source / "a.json").write_text(text.replace('"a.png"', f'"{name}"'))
    convert("labelme", source)
    assert (mask("a") == 1).sum() == 36


def test_labelme_paths_to_an_image_outside_that_is_there_are_refused(tmp_path: Path, convert: Any) -> None:
    source = labelme(tmp_path / "in", shape("cat", [[2, 2], [8, 8]], "rectangle"))
    picture(tmp_path / "a.png")
    (source / "a.json").write_text((source / "a.json").read_text().replace('"a.png"', '"../a.png"'))
    with pytest.raises(DataError, match="outside of"):
        convert("labelme", source)


# ---- CVAT


def cvat(root: Path, shapes: str, *, subset: str = "", name: str = "a.png", head: str = "") -> Path:
    picture(root / "images" / "a.png")
    labels = "<label><name>dog</name></label><label><name>cat</name></label>"
    text = (
        f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>{head}"
        f'<image id="0" name="{name}" {subset} width="32" height="24">{shapes}</image></annotations>'
    )
    (root / "annotations.xml").write_text(text)
    return root


def test_cvat_order_is_that_of_its_layers_then_of_areas(tmp_path: Path, convert: Any, mask: Any) -> None:
    source = cvat(
        tmp_path / "in",
        '<polygon label="dog" points="4,4;8,4;8,8;4,8" z_order="0"/>'
        '<polygon label="cat" points="2,2;12,2;12,12;2,12" z_order="1"/>'
        '<mask label="dog" rle="1,2,1,2" left="20" top="5" width="3" height="2" z_order="0"/>'
        '<ellipse label="dog" cx="26" cy="16" rx="4" ry="2" z_order="0"/>'
        '<box label="dog" xtl="0" ytl="20" xbr="3" ybr="23" z_order="0"/><points label="dog" points="1,1"/><tag label="dog"/>',
    )
    conversion = convert("cvat", source)
    ids = mask("a")
    assert (ids[2:12, 2:12] == 2).all(), "the larger polygon lies in a higher layer"
    assert ids[5:7, 20:23].tolist() == [[0, 1, 1], [0, 1, 1]]
    assert (ids[13:20] == 1).sum() == pytest.approx(np.pi * 8, abs=4)
    assert (ids[20:23, :3] == 255).all()
    assert conversion.objects == {"dog": 3, "cat": 1}
    assert conversion.not_converted == {"a box without an outline: its pixels are ignored": 1, "a points has no outline": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shapes": '<mask label="dog" rle="1,2" left="0" top="0" width="3" height="2"/>'}, "encodes 3 pixels, but its size is 3x2"),
        ({"shapes": '<polygon label="dog" points="a,b"/>'}, "no numbers separated by commas"),
        ({"shapes": '<polygon label="dog" points="1,1;9,1;9,9" z_order="x"/>'}, "z_order = 'x' is no whole number"),
        ({"shapes": "", "head": '<track id="0"/>'}, "CVAT for video"),
        ({"shapes": "", "name": "../../z.png"}, "outside of"),
        ({"shapes": "", "subset": 'subset="mine"'}, "in the subset 'mine'. Call subsets train, val and test"),
        ({"shapes": "<polygon"}, "cannot be read as XML"),
    ],
)
def test_cvat_files_that_cannot_be_used_are_refused(tmp_path: Path, convert: Any, change: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert("cvat", cvat(tmp_path / "in", **change))


@pytest.mark.parametrize("name", ["coco", "yolo", "labelme", "cvat"])
def test_empty_folders_are_refused_with_what_is_expected(tmp_path: Path, convert: Any, name: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match=r"[Ee]xpected"):
        convert(name, tmp_path / "in")
