"""The census of folders as people have them, and the advice that comes of it, followed to the letter."""

from __future__ import annotations

import json
import re
import warnings as quiet
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench.data.check import DataReport, census_of
from segbench.plugin.registry import Catalog, load_catalog

Array = npt.NDArray[Any]
COUNT = 12


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def truth(index: int, classes: int = 2) -> Array:
    """Class ids (16, 16): a patch of each class but 0, elsewhere in each image."""
    ids = np.zeros((16, 16), np.uint8)
    for value in range(1, classes):
        row, column = (3 * index + 5 * value) % 11, (7 * index + 6 * value) % 12
        ids[row : row + 4, column : column + 4] = value
    ids[0, :classes] = range(classes)
    return ids


def write(root: Path, mask_of: Callable[[int], Array | Image.Image], image_of: Callable[[int], Array] | None = None) -> Path:
    """A folder of images and masks."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for index in range(COUNT):
        image = image_of(index) if image_of else np.random.default_rng(index).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index:02}.png")
        mask = mask_of(index)
        if isinstance(mask, np.ndarray) and mask.min() < 0:
            np.save(root / "masks" / f"{index:02}.npy", mask)
            continue
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(root / "masks" / f"{index:02}.png")
    return root


def census(catalog: Catalog, root: Path, options: str = "", *, classes: str = "(background,disk)", **kwargs: Any) -> DataReport:
    chosen = catalog.dataset(f"folder[classes={classes}{',' if options else ''}{options}]")
    return census_of(chosen, chosen.spec.make_task(chosen.options, root), root, **kwargs)


def labels(catalog: Catalog, root: Path, options: str, *, classes: str) -> dict[str, Array]:
    """The labels that a dataset with these options reads, by sample."""
    chosen = catalog.dataset(f"folder[classes={classes},{options}]")
    from segbench.plugin.specs import resolve

    samples = [s for split in ("train", "val", "test") for s in resolve(chosen.spec.load)(root, split, chosen.options)]
    return {sample.id: sample.mask.numpy() for sample in samples}


def errors(report: DataReport) -> list[str]:
    return [problem.message for problem in report.problems if problem.severity == "error"]


def warnings(report: DataReport) -> list[str]:
    return [problem.message for problem in report.problems if problem.severity == "warning" and "say little" not in problem.message]


def advised(message: str) -> list[str]:
    """The options that a message gives to type."""
    return re.findall(r'value_map="[^"]*"|\bignore=(?:-?\d+|\([^)]*\))', message)


def with_strip(ids: Array, value: int) -> Array:
    """Ids whose last row holds another value."""
    changed: Array = ids.astype(np.int16 if value < 0 else np.uint8)
    changed[15] = value
    return changed


def test_a_clean_folder_has_no_problem_and_its_census_is_kept(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    root = write(tmp_path / "data", truth)
    (root / "images" / "notes.bin").write_bytes(b"x")
    report = census(catalog, root, digest="one")
    assert errors(report) == warnings(report) == []
    train = next(split for split in report.splits if split.split == "train")
    assert (train.dtypes, train.files, train.read) == ({"image": {"uint8": train.samples}}, 2 * train.samples, train.samples)
    assert [(group.count, group.example) for group in report.unused] == [(1, "notes.bin")]
    assert json.loads(json.dumps(report.to_record()))["ok"]
    Image.fromarray(truth(0) * 255).save(root / "masks" / "00.png")
    assert census(catalog, root, digest="one") == report
    assert census(catalog, root, digest="two") != report


def test_a_check_with_errors_is_not_kept_since_they_may_end_without_a_change_of_data(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "cache"))
    root = write(tmp_path / "data", truth)
    content = (root / "masks" / "00.png").read_bytes()
    (root / "masks" / "00.png").write_bytes(b"")
    assert not census(catalog, root, digest="one").ok
    (root / "masks" / "00.png").write_bytes(content)
    assert census(catalog, root, digest="one").ok


@pytest.mark.parametrize(
    ("stored", "classes", "readings"),
    [
        (lambda ids: ids * 255, "(background,disk)", [lambda ids: ids]),
        (lambda ids: ids + 1, "(background,disk,ring)", [lambda ids: ids]),
        (lambda ids: ids * 100, "(background,disk,ring)", [lambda ids: ids]),
        (
            lambda ids: ids,
            "(disk,ring)",
            [lambda ids: np.where(ids == 0, 255, ids.astype(int) - 1), lambda ids: np.where(ids == 2, 2, ids)],
        ),
    ],
    ids=["0 and 255", "from 1", "spread", "one value too many"],
)
def test_advice_that_is_followed_reads_the_labels_as_they_are_meant(
    catalog: Catalog, tmp_path: Path, stored: Callable[[Array], Array], classes: str, readings: list[Callable[[Array], Array]]
) -> None:
    names = 3 if len(readings) > 1 else classes.count(",") + 1
    root = write(tmp_path, lambda index: stored(truth(index, names)).astype(np.uint8))
    found = errors(census(catalog, root, classes=classes))
    options = advised(found[0])
    assert len(options) == len(readings)
    for option, reading in zip(options, readings, strict=True):
        read = labels(catalog, root, option, classes=classes)
        assert all(np.array_equal(read[f"{index:02}"], reading(truth(index, names))) for index in range(COUNT))
        assert errors(census(catalog, root, option, classes=classes)) == []


def test_two_kinds_of_masks_are_both_named_and_each_reading_is_offered(catalog: Catalog, tmp_path: Path) -> None:
    root = write(tmp_path, lambda index: truth(index) * (255 if index % 2 else 1))
    (message,) = errors(census(catalog, root))
    assert "6 masks of 0 and 1" in message
    assert "6 masks of 0 and 255" in message
    same, unlabelled = advised(message)
    assert all(np.array_equal(mask, truth(int(name))) for name, mask in labels(catalog, root, same, classes="(background,disk)").items())
    assert errors(census(catalog, root, same)) == errors(census(catalog, root, unlabelled)) == []
    read = labels(catalog, root, unlabelled, classes="(background,disk)")
    assert all(np.array_equal(mask, truth(int(name)) * (255 if int(name) % 2 else 1)) for name, mask in read.items())


@pytest.mark.parametrize(
    ("stored", "options", "readings"),
    [
        (lambda ids: with_strip(ids + 1, 255), "", [lambda ids: with_strip(ids, 255)]),
        (lambda ids: with_strip(ids * 100, 255), "", [lambda ids: with_strip(ids, 255)]),
        (lambda ids: with_strip(ids, -1), "", [lambda ids: with_strip(ids, -1)]),
        (lambda ids: with_strip(ids, 255), "ignore=-1", [lambda ids: with_strip(ids, 255)]),
        (
            lambda ids: with_strip(np.minimum(ids, 1), 255),
            "ignore=-1",
            [lambda ids: with_strip(np.minimum(ids, 1), 2), lambda ids: with_strip(np.minimum(ids, 1), 255)],
        ),
        (
            lambda ids: with_strip(np.minimum(ids, 1) * 100, 255),
            "ignore=-1",
            [lambda ids: with_strip(np.minimum(ids, 1), 2), lambda ids: with_strip(np.minimum(ids, 1), -1)],
        ),
        (
            lambda ids: np.vstack([with_strip(ids, 255), np.full((1, 16), 3, np.uint8)]),
            "",
            [
                lambda ids: np.vstack([with_strip(np.where(ids == 0, 255, ids.astype(int) - 1), 255), np.full((1, 16), 2)]),
                lambda ids: np.vstack([with_strip(ids, 255), np.full((1, 16), 255)]),
            ],
        ),
    ],
    ids=["from 1", "spread", "-1", "255", "255 or a class", "spread, 255 or a class", "one value too many"],
)
def test_advice_on_labels_with_unlabelled_pixels_keeps_them_so(
    catalog: Catalog, tmp_path: Path, stored: Callable[[Array], Array], options: str, readings: list[Callable[[Array], Array]]
) -> None:
    classes = "(background,disk,ring)"
    shape = stored(truth(0, 3)).shape
    root = write(
        tmp_path,
        lambda index: stored(truth(index, 3)),
        lambda index: np.random.default_rng(index).integers(0, 255, (*shape, 3)).astype(np.uint8),
    )
    advice = advised(errors(census(catalog, root, options, classes=classes))[0])
    assert len(advice) == len(readings)
    for option, reading in zip(advice, readings, strict=True):
        typed = option if option.startswith("ignore") or not options else f"{option},{options}"
        read = labels(catalog, root, typed, classes=classes)
        assert all(np.array_equal(read[f"{index:02}"], reading(truth(index, 3))) for index in range(COUNT))
        assert errors(census(catalog, root, typed, classes=classes)) == []


def test_splits_with_other_labels_are_given_the_same_advice(catalog: Catalog, tmp_path: Path) -> None:
    """A split that lacks values looks like labels 0, 1, 5 of three classes by itself."""
    root = write(
        tmp_path, lambda index: np.where(np.isin(truth(index, 6), (2, 3, 4)) & (index in (0, 5)), 0, truth(index, 6)).astype(np.uint8)
    )
    found = errors(census(catalog, root, classes="(a,b,c)"))
    assert len(found) == 3
    assert all(message.endswith("or map the values to classes (value_map) or to the ignore index.") for message in found)


def test_a_scored_split_of_other_masks_is_named_however_small(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("00\n")
    (tmp_path / "train.txt").write_text("\n".join(f"{index:02}" for index in range(1, COUNT)))
    root = write(tmp_path, lambda index: truth(index) * (1 if index else 255))
    (message,) = errors(census(catalog, root, "train=train.txt,val=val.txt"))
    assert "1 mask of 0 and 255, which is ignored (00)" in message


def test_ignored_borders_beside_classes_are_no_second_kind_of_mask(catalog: Catalog, tmp_path: Path) -> None:
    def mask(index: int) -> Array:
        ids = truth(index) if index % 3 else np.zeros((16, 16), np.uint8)
        ids[15] = 255 if index % 2 else ids[15]
        return ids

    assert errors(census(catalog, write(tmp_path, mask))) == []


def test_palettes_that_disagree_are_an_error_unless_colours_are_the_labels(catalog: Catalog, tmp_path: Path) -> None:
    def mask(index: int) -> Image.Image:
        turned = index % 2
        picture = Image.fromarray(1 - truth(index) if turned else truth(index))
        picture.putpalette([255, 0, 0, 0, 0, 0] if turned else [0, 0, 0, 255, 0, 0])
        return picture

    root = write(tmp_path, mask)
    (message,) = errors(census(catalog, root))
    assert message.startswith("palettes disagree: index 0 is (")
    colours = 'colours="background:0 0 0,disk:255 0 0"'
    assert errors(census(catalog, root, colours)) == []
    assert all(np.array_equal(ids, truth(int(name))) for name, ids in labels(catalog, root, colours, classes="(background,disk)").items())


def test_masks_that_use_parts_of_one_palette_have_one_palette(catalog: Catalog, tmp_path: Path) -> None:
    def mask(index: int) -> Image.Image:
        picture = Image.fromarray(truth(index) * (1 + index % 3))
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        return picture

    report = census(catalog, write(tmp_path, mask), classes="(a,b,c,d)")
    assert [split.palettes for split in report.splits] == [1, 1, 1]


def test_one_colour_under_two_indices_is_a_warning(catalog: Catalog, tmp_path: Path) -> None:
    root = write(tmp_path, truth)
    picture = Image.fromarray((truth(0) + 2 * (np.arange(truth(0).shape[1]) > 8)).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 0, 9, 9, 9])
    picture.save(root / "masks" / "00.png")
    (message,) = [text for text in warnings(census(catalog, root, classes="(a,b,c,d)")) if "one colour" in text]
    assert message.startswith("in 00.png the indices 0 and 2 have one colour, (0, 0, 0)")


def test_unused_colours_of_a_palette_may_differ(catalog: Catalog, tmp_path: Path) -> None:
    def mask(index: int) -> Image.Image:
        picture = Image.fromarray(truth(index))
        picture.putpalette([0, 0, 0, 255, 0, 0, index, index, index])
        return picture

    assert errors(census(catalog, write(tmp_path, mask))) == []


def test_mixed_depths_and_single_coloured_pictures_are_noted(catalog: Catalog, tmp_path: Path) -> None:
    def image(index: int) -> Array:
        grey = np.random.default_rng(index).integers(0, 255, (16, 16))
        return np.zeros((16, 16), np.uint8) if index in (1, 2) else (grey * 257).astype(np.uint16) if index % 2 else grey.astype(np.uint8)

    report = census(catalog, write(tmp_path, truth, image))
    assert errors(report) == []
    assert any("'image' is stored in several ways: uint8 (7 images), uint16 (5 images)" in text for text in warnings(report))
    assert any("of a single colour" in text for text in warnings(report))


def test_images_of_one_dtype_in_two_scales_are_noted(catalog: Catalog, tmp_path: Path) -> None:
    def image(index: int) -> Array:
        grey = np.random.default_rng(index).integers(0, 255, (16, 16)).astype(np.uint16)
        return grey * 257 if index % 3 else grey

    found = [text for text in warnings(census(catalog, write(tmp_path, truth, image))) if "two scales" in text]
    assert any(text.startswith("'image' has two scales: values up to 25") for text in found)


def test_images_of_every_brightness_are_of_one_scale(catalog: Catalog, tmp_path: Path) -> None:
    def image(index: int) -> Array:
        return np.random.default_rng(index).integers(0, 3 * 2**index, (16, 16)).astype(np.uint16)

    assert not any("two scales" in text for text in warnings(census(catalog, write(tmp_path, truth, image))))


def test_masks_that_call_a_class_nodata_are_explained(catalog: Catalog, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    root = write(tmp_path, truth)
    for index in range(COUNT):
        (root / "masks" / f"{index:02}.png").unlink()
        values = np.where(truth(index) == 1, 7, truth(index)).astype(np.uint8)
        with quiet.catch_warnings():
            quiet.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            options = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8", "nodata": 7}
            with rasterio.open(root / "masks" / f"{index:02}.tif", "w", **options) as file:
                file.write(values[None])
    (message,) = errors(census(catalog, root))
    assert "The masks declare 7 as nodata" in message
    (option,) = advised(message)
    assert all(np.array_equal(ids, truth(int(name))) for name, ids in labels(catalog, root, option, classes="(background,disk)").items())


def test_a_large_split_is_looked_at_in_part(catalog: Catalog, tmp_path: Path) -> None:
    report = census(catalog, write(tmp_path, truth), most=3, splits=["train"])
    (train,) = report.splits
    assert train.read == 3
    assert train.samples > 3


def test_copies_that_are_grouped_as_the_advice_says_lie_in_one_split(catalog: Catalog, tmp_path: Path) -> None:
    def image(index: int) -> Array:
        pixels = np.random.default_rng(index // 2).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        return pixels[:, ::-1].copy() if index % 2 else pixels

    root = write(tmp_path, truth, image)
    for path in sorted(root.rglob("*.png")):
        index = int(path.stem)
        path.rename(path.with_name(f"scene{index // 2}_{index % 2}.png"))
    alike = [text for text in warnings(census(catalog, root)) if "look like" in text]
    assert alike
    assert all('group="PATTERN"' in text for text in alike)
    assert not any("look like" in text for text in warnings(census(catalog, root, 'group="(.*)_"')))


def turned(pixels: Array) -> Array:
    """Pixels as a camera stores them under the orientation tag 6."""
    return np.ascontiguousarray(np.rot90(pixels))


def with_tag(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_a_mask_drawn_on_the_stored_pixels_of_a_turned_image_is_explained(catalog: Catalog, tmp_path: Path) -> None:
    root = write(tmp_path, lambda index: turned(truth(index)[:12]))
    for index in range(COUNT):
        image = np.random.default_rng(index).integers(0, 255, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(turned(image)).save(root / "images" / f"{index:02}.png", exif=with_tag(6))
    (message, *_) = errors(census(catalog, root))
    assert "'image' of 12x16 pixels, but a label of 16x12: the image's orientation tag (EXIF 6) is applied" in message
    for path in (root / "images").iterdir():  # what the message says
        Image.open(path).save(path, exif=b"")
    report = census(catalog, root)
    assert errors(report) == warnings(report) == []


def test_masks_with_an_orientation_tag_are_noted(catalog: Catalog, tmp_path: Path) -> None:
    root = write(tmp_path, truth)
    Image.fromarray(truth(0)).save(root / "masks" / "00.png", exif=with_tag(3))
    (warning,) = warnings(census(catalog, root))
    assert warning.startswith("1 mask with an orientation tag (00.png: EXIF 3), which is applied to images but never to masks")


def test_a_usual_mark_of_missing_pixels_that_is_not_declared_is_noted_and_the_remedy_helps(catalog: Catalog, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    root = write(tmp_path, truth)
    for index in range(COUNT):
        (root / "images" / f"{index:02}.png").unlink()
        pixels = np.random.default_rng(index).random((3, 16, 16)).astype(np.float32)
        pixels[:, :2, index] = -9999
        with quiet.catch_warnings():
            quiet.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            options = {"driver": "GTiff", "width": 16, "height": 16, "count": 3, "dtype": "float32"}
            with rasterio.open(root / "images" / f"{index:02}.tif", "w", **options) as file:
                file.write(pixels)
    noted = warnings(census(catalog, root))
    assert len(noted) == 3
    assert all("'image' is -9999 in" in text and "-a_nodata -9999 FILE" in text for text in noted)
    for path in (root / "images").iterdir():
        with quiet.catch_warnings():
            quiet.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "r+") as file:
                file.nodata = -9999
    assert all("values of 'image' are missing" in text for text in warnings(census(catalog, root)))


def test_masks_in_the_alpha_channel_are_explained(catalog: Catalog, tmp_path: Path) -> None:
    def cut_out(index: int) -> Image.Image:
        ids = truth(index)
        return Image.fromarray(np.dstack([np.zeros((16, 16, 3), np.uint8), ids * 255]))

    (message,) = errors(census(catalog, write(tmp_path, cut_out)))
    assert "of the pixels are transparent in the masks (" in message
    assert "value_map" not in message


def test_masks_of_0_and_255_that_declare_0_as_nodata_are_given_what_helps(catalog: Catalog, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    root = write(tmp_path, truth)
    for index in range(COUNT):
        (root / "masks" / f"{index:02}.png").unlink()
        with quiet.catch_warnings():
            quiet.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            options = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8", "nodata": 0}
            with rasterio.open(root / "masks" / f"{index:02}.tif", "w", **options) as file:
                file.write(truth(index)[None] * 255)
    (option,) = advised(errors(census(catalog, root))[0])
    assert all(np.array_equal(ids, truth(int(name))) for name, ids in labels(catalog, root, option, classes="(background,disk)").items())
    (message,) = errors(census(catalog, root, 'value_map="255:1,*:0"'))
    assert "The masks declare 0 as nodata" in message
    assert not advised(message)
