"""Layouts of the ``folder`` dataset: patterns, sub-folders, several masks per image, pages, and names that nearly agree."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench import DataError, OptionError, Problem, Sample
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import resolve

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
Array = npt.NDArray[Any]
Write = Callable[[Path, Array], Path]
Unused = Callable[[str, Path], dict[str, str]]

GROUND = np.zeros((4, 4, 3))


@pytest.fixture
def unused(catalog: Catalog) -> Unused:
    """Reasons by path below the data folder."""

    def reasons(dataset: str, root: Path) -> dict[str, str]:
        chosen = catalog.dataset(dataset)
        assert chosen.spec.unused is not None
        found: dict[Path, str] = resolve(chosen.spec.unused)(root, chosen.options)
        return {str(path.relative_to(root)): reason for path, reason in found.items()}

    return reasons


def _all_ids(load: Load, dataset: str, root: Path, splits: Sequence[str] = ("train", "val", "test")) -> list[str]:
    return sorted(sample.id for split in splits for sample in load(dataset, root, split))


def _disk(left: int) -> Array:
    mask = np.zeros((4, 4))
    mask[1:3, left] = 1
    return mask


def test_sub_folders_pair_by_their_relative_path(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in ("000", "siteA/000", "siteA/001", "siteB/000"):
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))

    assert _all_ids(load, "folder", tmp_path) == ["000", "siteA/000", "siteA/001", "siteB/000"]


def test_sub_folders_called_as_splits_are_named_where_splits_are_hashed(
    tmp_path: Path, picture: Write, load: Load, problems: Check
) -> None:
    for name in ("train/0", "train/1", "validation/2", "validation/3"):
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))

    (problem,) = problems("folder", tmp_path)
    assert problem.severity == "warning"
    assert "train=train,val=validation" in problem.message
    assert _all_ids(load, "folder[train=train,val=validation]", tmp_path, ("train", "val")) == ["0", "1", "2", "3"]
    assert not problems("folder[train=train,val=validation]", tmp_path)


def test_patterns_find_cityscapes(tmp_path: Path, picture: Write, load: Load, problems: Check, unused: Unused) -> None:
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "ulm")):
        for number in range(2):
            name = f"{split}/{city}/{city}_{number}"
            picture(tmp_path / "leftImg8bit" / f"{name}_leftImg8bit.png", GROUND)
            picture(tmp_path / "gtFine" / f"{name}_gtFine_labelIds.png", _disk(0))
            picture(tmp_path / "gtFine" / f"{name}_gtFine_color.png", GROUND)
    whole = 'folder[images="leftImg8bit/**/*_leftImg8bit.png",masks="gtFine/**/*_gtFine_labelIds.png",train=train,val=val]'
    part = 'folder[images="leftImg8bit/train/*/*_leftImg8bit.png",masks="gtFine/train/*/*_gtFine_labelIds.png",split=(0.5,0.5)]'

    assert _all_ids(load, whole, tmp_path, ("val",)) == ["val/ulm/ulm_0", "val/ulm/ulm_1"]
    assert len(load(whole, tmp_path, "train")) == 4
    assert not problems(whole, tmp_path)
    assert _all_ids(load, part, tmp_path, ("train", "val")) == ["aachen/aachen_0", "aachen/aachen_1", "bochum/bochum_0", "bochum/bochum_1"]
    assert set(unused(whole, tmp_path).values()) == {"neither images nor masks match its name"}
    assert len(unused(whole, tmp_path)) == 6


def test_images_and_masks_of_one_folder_are_told_apart_by_the_narrower_name(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abcd":
        picture(tmp_path / "data" / f"{name}.JPG", GROUND)
        picture(tmp_path / "data" / f"{name}_mask.png", _disk(0))

    for dataset in (
        "folder[images=data,masks=data,mask_suffix=_mask]",
        'folder[images="data/*",masks="data/*_mask.*"]',
        'folder[images="data/*.jpg",masks="data/*_mask.png"]',
    ):
        assert _all_ids(load, dataset, tmp_path) == list("abcd"), dataset
    with pytest.raises(DataError, match=r"images and masks are the same files .* If 'a_mask' is the mask of 'a': mask_suffix=_mask\."):
        load("folder[images=data,masks=data]", tmp_path, "train")


def test_one_folder_per_sample(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abcd":
        picture(tmp_path / name / "image.png", GROUND)
        picture(tmp_path / name / "mask.png", _disk(0))

    assert _all_ids(load, 'folder[images="*/image.png",masks="*/mask.png"]', tmp_path) == list("abcd")


@pytest.mark.parametrize("own_folders", [False, True], ids=["x_mask_1.png", "x/masks/1.png"])
def test_several_masks_of_one_image_are_united(tmp_path: Path, picture: Write, load: Load, own_folders: bool) -> None:
    for name in "abc":
        picture(tmp_path / (f"all/{name}/images/{name}.png" if own_folders else f"all/{name}.png"), GROUND)
        for number in range(3):
            ending = f"_{number}" if number else ""
            path = f"all/{name}/masks/{number}x.png" if own_folders else f"all/{name}_mask{ending}.png"
            picture(tmp_path / path, _disk(number))
    dataset = (
        'folder[images="all/*/images/*.png",masks="all/*/masks/*.png"]'
        if own_folders
        else 'folder[images="all/*.png",masks="all/*_mask*.png"]'
    )

    assert _all_ids(load, dataset, tmp_path) == list("abc")
    assert load(dataset, tmp_path, "train")[0].mask.tolist() == [[0] * 4, [1, 1, 1, 0], [1, 1, 1, 0], [0] * 4]


def test_further_masks_that_are_not_read_are_named(tmp_path: Path, picture: Write, problems: Check, unused: Unused) -> None:
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}_mask.png", _disk(0))
    picture(tmp_path / "masks" / "b_mask_1.png", _disk(1))

    (problem,) = problems("folder[mask_suffix=_mask]", tmp_path)
    assert problem.severity == "warning"
    assert problem.message.startswith(f"b_mask_1.png is in {tmp_path / 'masks'}, but not read")
    assert 'masks="masks/*_mask*.png"' in problem.message
    assert not problems('folder[masks="masks/*_mask*.png"]', tmp_path)
    assert list(unused("folder[mask_suffix=_mask]", tmp_path)) == ["masks/b_mask_1.png"]


def test_masks_of_several_classes_that_overlap_are_refused(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}_mask.png", _disk(0))
        picture(tmp_path / "masks" / f"{name}_mask2.png", _disk(1) * 2)
    dataset = 'folder[masks="masks/*_mask*.png",classes=(ground,one,two)]'

    assert load(dataset, tmp_path, "train")[0].mask.tolist()[1] == [1, 2, 0, 0]
    for name in "abc":
        picture(tmp_path / "masks" / f"{name}_mask2.png", _disk(0) * 2)
    with pytest.raises(DataError, match=r"_mask2\.png are masks of one image, with the values 1, 2 in the same 2 pixels"):
        [sample for split in ("train", "val", "test") for sample in load(dataset, tmp_path, split)]


def test_a_pattern_that_one_image_fits_twice_is_refused(tmp_path: Path, picture: Write, load: Load) -> None:
    for folder in ("one", "two"):
        picture(tmp_path / "images" / folder / "x.png", GROUND)
    picture(tmp_path / "masks" / "x.png", _disk(0))

    with pytest.raises(OptionError, match=r"is a pattern and says itself how names end: leave mask_suffix out"):
        load('folder[masks="masks/*.png",mask_suffix=_m]', tmp_path, "train")
    with pytest.raises(DataError, match=r"no picture matches .*nothing\*"):
        load('folder[images="images/one/*.png",masks="masks/nothing*"]', tmp_path, "train")


def test_files_in_no_split_have_a_reason(tmp_path: Path, picture: Write, unused: Unused) -> None:
    for name in "abcdef":
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))
    picture(tmp_path / "masks" / "orphan.png", _disk(0))
    picture(tmp_path / "elsewhere" / "g.png", GROUND)
    (tmp_path / "images" / "h.heic").write_bytes(b"x")
    (tmp_path / "images" / ".hidden.png").write_bytes(b"x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "val.txt").write_text("c\nd\ne\n")

    assert unused("folder[train=train.txt,val=val.txt]", tmp_path) == {
        "images/f.png": "no split takes it",
        "masks/f.png": "no split takes it",
        "masks/orphan.png": "a mask without an image of the same name",
        "elsewhere/g.png": "it lies outside of the folders of images and masks",
        "images/h.heic": "its ending .heic is not one that is read",
    }


@pytest.mark.parametrize(
    ("images", "masks", "reason"),
    [
        (("IMG_1", "IMG_2", "IMG_3"), ("img_1", "img_2", "img_3"), "'IMG_1' and 'img_1' differ in upper and lower case: rename one side."),
        (("1", "2", "3"), ("001", "002", "003"), "'1' and '001' differ in leading zeros: rename one side."),
        (("a b", "a c", "a d"), ("a_b", "a_c", "a_d"), "'a b' and 'a_b' differ in spaces, '_' and '-': rename one side."),
        (
            ("img_01", "img_02", "img_03"),
            ("mask_01", "mask_02", "mask_03"),
            'may be a pair whose names begin differently: try patterns, images="FOLDER/img_*",masks="FOLDER/mask_*"',
        ),
        (("im1", "im2", "im3"), ("im1_seg", "im2_seg", "im3_seg"), "may be a pair whose names end differently: try mask_suffix=_seg."),
        (("im1_rgb", "im2_rgb"), ("im1_seg", "im2_seg"), "try image_suffix=_rgb,mask_suffix=_seg."),
        (("x/1", "x/2"), ("y/1", "y/2"), "'x/1' and 'y/1' have one name, but lie in different sub-folders"),
        (("red", "green"), ("1", "2"), "say how stems differ: image_suffix, mask_suffix."),
    ],
)
def test_names_that_nearly_agree_are_shown(
    tmp_path: Path, picture: Write, load: Load, images: Sequence[str], masks: Sequence[str], reason: str
) -> None:
    for name in images:
        picture(tmp_path / "images" / f"{name}.png", GROUND)
    for name in masks:
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))

    with pytest.raises(DataError) as caught:
        load("folder", tmp_path, "train")
    assert reason in str(caught.value)


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path, picture: Write, load: Load) -> None:
    composed = [unicodedata.normalize("NFC", f"Müller_{index}") for index in range(4)]
    for name in composed:
        picture(tmp_path / "images" / f"{unicodedata.normalize('NFD', name)}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))
    (tmp_path / "train.txt").write_text("\n".join(unicodedata.normalize("NFD", name) for name in composed[:2]))
    (tmp_path / "val.txt").write_text("\n".join(composed[2:]))

    assert _all_ids(load, "folder", tmp_path) == composed
    assert _all_ids(load, "folder[train=train.txt,val=val.txt]", tmp_path, ("train", "val")) == composed


def test_formats_that_the_reader_reads_are_found(tmp_path: Path, picture: Write, load: Load) -> None:
    for name, ending in zip("abcd", ("png", "gif", "ppm", "bmp"), strict=True):
        picture(tmp_path / "images" / f"{name}.{ending}", GROUND)
        picture(tmp_path / "masks" / f"{name}.{ending if ending != 'ppm' else 'pgm'}", _disk(0))
    picture(tmp_path / "masks" / "e.png", _disk(0))
    np.save(tmp_path / "images" / "e.npy", GROUND.astype(np.uint8))

    assert _all_ids(load, "folder", tmp_path) == list("abcde")


def _stack(path: Path, pages: Sequence[Array]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(page.astype(np.uint8)) for page in pages]
    first.save(path, save_all=True, append_images=rest)


def test_pages_are_refused_unless_the_option_says_what_they_are(tmp_path: Path, load: Load) -> None:
    for number in range(3):
        _stack(tmp_path / "images" / f"{number}.tif", [np.full((4, 4), 10 * number + page) for page in range(3)])
        _stack(tmp_path / "masks" / f"{number}.tif", [_disk(page) for page in range(3)])

    with pytest.raises(DataError, match="has 3 pages"):
        load("folder[bands=(1)]", tmp_path, "train")[0]
    samples = load("folder[bands=(1),pages=samples]", tmp_path, "train")
    assert len(samples) == 3
    stack = int(samples[0].id.split("/")[0])
    assert [sample.id for sample in samples] == [f"{stack}/00{page}" for page in range(3)]
    assert [int(sample.inputs["image"][0, 0, 0]) for sample in samples] == [10 * stack + page for page in range(3)]
    assert [sample.mask.tolist() for sample in samples] == [_disk(page).tolist() for page in range(3)]


def test_pages_of_one_file_are_one_scene(tmp_path: Path, load: Load, groups: Callable[[str, Path, str], list[str]]) -> None:
    _stack(tmp_path / "images" / "volume.tif", [np.full((4, 4), page) for page in range(10)])
    _stack(tmp_path / "masks" / "volume.tif", [_disk(0)] * 10)

    with pytest.raises(DataError, match=r'1 image or scene cannot make 3 splits.*group="\.\*" takes each page by itself'):
        load("folder[bands=(1),pages=samples]", tmp_path, "train")
    assert len(load('folder[bands=(1),pages=samples,group=".*"]', tmp_path, "train")) == 7
    assert groups('folder[bands=(1),pages=samples,group=".*",split=(1)]', tmp_path, "train")[0] == "volume/000"


def test_pages_as_bands(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abc":
        _stack(tmp_path / "images" / f"{name}.tif", [np.full((4, 4), value) for value in (1, 2, 3)])
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))

    assert load("folder[pages=bands]", tmp_path, "train")[0].inputs["image"][:, 0, 0].tolist() == [1, 2, 3]


def test_stacks_of_different_lengths_are_refused(tmp_path: Path, load: Load) -> None:
    _stack(tmp_path / "images" / "a.tif", [np.zeros((4, 4))] * 3)
    _stack(tmp_path / "masks" / "a.tif", [np.zeros((4, 4))] * 2)

    with pytest.raises(DataError, match=r"as many pages in masks as in images, but .*a\.tif has 3 pages, .*a\.tif has 2 pages"):
        load("folder[bands=(1),pages=samples,split=(1)]", tmp_path, "train")


def test_links_to_an_outer_folder_end(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "abc":
        picture(tmp_path / "images" / f"{name}.png", GROUND)
        picture(tmp_path / "masks" / f"{name}.png", _disk(0))
    os.symlink(tmp_path / "images", tmp_path / "images" / "again")

    assert _all_ids(load, "folder", tmp_path) == list("abc")
