from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segbench import DataError, Problem, Sample, Task

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four images in the layout of the archive; masks are paletted, as the original's."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationClassAug", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    for stem in ("a", "b", "c", "extra"):
        Image.fromarray(np.full((5, 7, 3), 90, np.uint8)).save(base / "JPEGImages" / f"{stem}.jpg")
        mask = Image.frombytes("P", (7, 5), bytes([0, 15, 255, 20, 0, 0, 0] * 5))
        mask.putpalette([v % 256 for v in range(768)])
        if stem != "extra":
            mask.save(base / "SegmentationClass" / f"{stem}.png")
        Image.frombytes("L", (7, 5), bytes([7] * 35)).save(base / "SegmentationClassAug" / f"{stem}.png")
    (base / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    (base / "ImageSets/Segmentation/val.txt").write_text("c\n")
    return tmp_path


@pytest.mark.parametrize("inner", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_folder_may_be_any_of_the_three(root: Path, inner: str, load: Load) -> None:
    if inner == "VOCdevkit":  # also found from here, as its folder VOC2012
        assert [s.id for s in load("voc2012", root / inner, "train")] == ["a", "b"]
    assert [s.id for s in load("voc2012", root / inner, "val")] == ["c"]


def test_paletted_masks_give_their_indices(root: Path, load: Load) -> None:
    assert load("voc2012", root, "train")[0].mask[0].tolist() == [0, 15, 255, 20, 0, 0, 0]


def test_trainval_is_train_and_val(root: Path, load: Load) -> None:
    assert [s.id for s in load("voc2012", root, "trainval")] == ["a", "b", "c"]


def test_the_task_has_the_colours_of_voc(task_of: Callable[[str], Task]) -> None:
    task = task_of("voc2012")
    colours = dict(zip(task.class_names, task.palette, strict=True))

    assert task.num_classes == 21
    assert task.ignore_index == 255
    assert (colours["background"], colours["aeroplane"], colours["person"]) == ((0, 0, 0), (128, 0, 0), (192, 128, 128))
    assert colours["tvmonitor"] == (0, 64, 128)


def test_augmented_training_takes_all_extra_masks_but_none_of_val(root: Path, load: Load) -> None:
    samples = load("voc2012[augmented=true]", root, "train")

    assert [s.id for s in samples] == ["a", "b", "extra"]
    assert set(samples[0].mask.flatten().tolist()) == {7}
    assert load("voc2012[augmented=true]", root, "val")[0].mask[0, 1] == 15


def test_augmented_training_follows_a_list_where_there_is_one(root: Path, load: Load) -> None:
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train_aug.txt").write_text("/JPEGImages/extra.jpg /SegmentationClassAug/extra.png\n")

    assert [s.id for s in load("voc2012[augmented=true]", root, "train")] == ["extra"]


def test_augmented_without_its_masks_says_so(root: Path, load: Load) -> None:
    (root / "VOCdevkit/VOC2012/SegmentationClassAug").rename(root / "elsewhere")

    with pytest.raises(DataError, match=r"needs the SBD masks in .*SegmentationClassAug"):
        load("voc2012[augmented=true]", root, "train")


def test_a_missing_list_and_a_missing_image_are_found(root: Path, problems: Check) -> None:
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
    (root / "VOCdevkit/VOC2012/JPEGImages/b.jpg").unlink()
    found = {p.where: p.message for p in problems("voc2012", root)}

    assert set(found) == {"train", "val"}
    assert "b.jpg is not there, but listed in ImageSets/Segmentation/train.txt" in found["train"]
    assert "there is no" in found["val"]


def test_an_empty_folder_is_refused_with_the_way_to_get_the_data(tmp_path: Path, load: Load, problems: Check) -> None:
    with pytest.raises(DataError, match="segbench data fetch voc2012"):
        load("voc2012", tmp_path, "train")
    assert len(problems("voc2012", tmp_path)) == 1


def test_a_mask_in_colours_is_refused(root: Path, load: Load) -> None:
    Image.new("RGB", (7, 5), (128, 0, 0)).save(root / "VOCdevkit/VOC2012/SegmentationClass/a.png")

    with pytest.raises(DataError, match=r"a\.png is in colours \(128 0 0 \(35 pixels\)\), but a mask holds one class id per pixel"):
        load("voc2012", root, "train")[0]


def test_the_real_pairs_read_as_21_classes(real_data: Callable[[str], Path], load: Load) -> None:
    samples = load("voc2012", real_data("voc"), "train")
    values = {v for s in samples for v in s.mask.flatten().tolist()}

    assert len(samples) == 53
    assert values <= {*range(21), 255}
    assert all(s.inputs["image"].shape[1:] == s.mask.shape for s in samples)
