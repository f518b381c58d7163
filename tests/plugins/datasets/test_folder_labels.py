"""Labels of the ``folder`` dataset: colours, rules for values, class names in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench import DataError, OptionError, Sample, Task

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
TaskOf = Callable[..., Task]
Array = npt.NDArray[Any]
Write = Callable[[Path, Array], Path]

COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 128]])
IDS = np.array([[0, 1, 2, 2]])


def _fill(root: Path, picture: Write, mask: Array) -> None:
    for name in "ab":
        picture(root / "images" / f"{name}.png", np.zeros((*mask.shape[:2], 3)))
        picture(root / "masks" / f"{name}.png", mask)


def _label(load: Load, options: str, root: Path) -> list[list[int]]:
    label: list[list[int]] = load(f"folder[split=(0.5,0.5),{options}]", root, "train")[0].mask.tolist()
    return label


def test_colours_are_labels(tmp_path: Path, picture: Write, load: Load, task_of: TaskOf) -> None:
    _fill(tmp_path, picture, COLOURS[IDS])
    options = 'colours="ground:0 0 0,roof:#800000,lawn:0 128 128"'

    assert _label(load, options, tmp_path) == IDS.tolist()
    assert task_of(f"folder[{options}]").class_names == ("ground", "roof", "lawn")
    assert task_of(f"folder[{options}]").palette == ((0, 0, 0), (128, 0, 0), (0, 128, 128))


def test_classes_give_the_order_and_several_colours_may_be_one_class(tmp_path: Path, picture: Write, load: Load) -> None:
    _fill(tmp_path, picture, COLOURS[IDS])

    assert _label(load, 'classes=(thing,ground),colours="ground:0 0 0,thing:128 0 0,thing:0 128 128"', tmp_path) == [[1, 0, 0, 0]]
    assert _label(load, 'colours="ground:0 0 0,roof:128 0 0,ignore:0 128 128"', tmp_path) == [[0, 1, 255, 255]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class_dict.csv", "name,r,g,b\nground,0,0,0\nroof,128,0,0\nlawn,0,128,128\n"),
        ("class_dict.csv", "\ufeffid,name,r,g,b\r\n0,ground,0,0,0\r\n1,roof,128,0,0\r\n2,lawn,0,128,128\r\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nground:0,0,0::\nroof:128,0,0::\nlawn:0,128,128:leaf,stem:grow\n"),
        ("colours.txt", "0 0 0\tground\n128 0 0\troof\n0 128 128\tlawn\n"),
        ("colours.txt", "ground #000000\nroof #800000\nlawn #008080\n"),
    ],
    ids=["class_dict", "with ids", "labelmap", "colours first", "hexadecimal"],
)
def test_tables_of_colours(tmp_path: Path, picture: Write, load: Load, task_of: TaskOf, name: str, content: str) -> None:
    _fill(tmp_path, picture, COLOURS[IDS])
    (tmp_path / name).write_text(content, encoding="utf-8")

    assert task_of(f"folder[colours={name}]", tmp_path).class_names == ("ground", "roof", "lawn")
    assert _label(load, f"colours={name}", tmp_path) == IDS.tolist()


def test_unknown_colours_are_named_with_their_counts(tmp_path: Path, picture: Write, load: Load) -> None:
    _fill(tmp_path, picture, COLOURS[IDS])

    with pytest.raises(DataError, match=r"0 128 128 \(2 pixels\)"):
        _label(load, 'colours="ground:0 0 0,roof:128 0 0"', tmp_path)


def _paletted(root: Path, mask: Array, palettes: Sequence[Sequence[int]], indices: Sequence[Sequence[int]]) -> None:
    """Masks that show the same colours although their indices differ."""
    for name, palette, order in zip("abcd", palettes, indices, strict=True):
        picture = Image.fromarray(np.array(order, np.uint8)[mask])
        picture.putpalette(list(palette))
        for folder in ("images", "masks"):
            (root / folder).mkdir(exist_ok=True)
        picture.save(root / "masks" / f"{name}.png")
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(root / "images" / f"{name}.png")


def test_colours_of_palettes_are_labels_where_indices_differ(tmp_path: Path, load: Load) -> None:
    black_first, red_first = (0, 0, 0, 255, 0, 0), (255, 0, 0, 0, 0, 0)
    mask = np.array([[0, 1, 1]])
    _paletted(tmp_path, mask, [red_first, black_first, red_first, black_first], [(1, 0), (0, 1), (1, 0), (0, 1)])

    for options in ("colours=palette", 'colours="ground:0 0 0,disk:255 0 0"'):
        samples = [
            *load(f"folder[split=(0.5,0.5),{options}]", tmp_path, "train"),
            *load(f"folder[split=(0.5,0.5),{options}]", tmp_path, "val"),
        ]
        assert [sample.mask.tolist() for sample in samples] == [mask.tolist()] * 4, options


def test_a_palette_that_does_not_say_its_classes_gives_the_table_to_type(tmp_path: Path, load: Load) -> None:
    _paletted(tmp_path, IDS, [(0, 0, 0, 255, 0, 0, 0, 255, 0)] * 4, [(0, 1, 2)] * 4)

    with pytest.raises(DataError) as caught:
        _label(load, "classes=(a,b,c),colours=palette", tmp_path)
    assert 'colours="a:0 0 0,b:255 0 0,c:0 255 0"' in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('value_map="0:ignore,1-3:-1",classes=(a,b,c)', [[255, 0, 1, 2]]),
        ('value_map="0-3:+1",classes=(x,a,b,c,d)', [[1, 2, 3, 4]]),
        ('value_map="0:0,1:0,2-3:-1",classes=(a,b,c)', [[0, 0, 1, 2]]),
        ('value_map="2:1,0-5:0"', [[0, 0, 1, 0]]),
        ('value_map="0-5:0,2:1"', [[0, 0, 1, 0]]),
        ("reduce_zero=true,classes=(a,b,c)", [[255, 0, 1, 2]]),
        ("reduce_zero=true,ignore=-1,classes=(a,b,c)", [[-1, 0, 1, 2]]),
        ("reduce_zero=true,ignore=(255,3),classes=(a,b)", [[255, 0, 1, 255]]),
        ("ignore=(255,3),classes=(a,b,c)", [[0, 1, 2, 255]]),
        ("ignore=(3,2),classes=(a,b)", [[0, 1, 3, 3]]),
        ('ignore=(255,3),value_map="0:0,1-2:1"', [[0, 1, 1, 255]]),
        ('ignore=(255,3),value_map="0:0,*:1"', [[0, 1, 1, 1]]),
    ],
)
def test_rules_for_values(tmp_path: Path, picture: Write, load: Load, options: str, expected: list[list[int]]) -> None:
    _fill(tmp_path, picture, np.array([[0, 1, 2, 3]]))

    assert _label(load, options, tmp_path) == expected


def test_reduce_zero_leaves_ignored_pixels_ignored(tmp_path: Path, picture: Write, load: Load) -> None:
    _fill(tmp_path, picture, np.array([[0, 1, 255, 150]]))

    assert _label(load, "reduce_zero=true,classes=names.txt", _with_names(tmp_path, 150)) == [[255, 0, 255, 149]]
    assert _label(load, 'value_map="0:ignore,1-150:-1",ignore=(255,254),classes=names.txt', tmp_path) == [[255, 0, 255, 149]]


def _with_names(root: Path, count: int) -> Path:
    (root / "names.txt").write_text("\n".join(f"class {index}, any" for index in range(count)))
    return root


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("wall\nbuilding, edifice\nsky\n", ""),
        ('id,name\n0,wall\n2,sky\n1,"building, edifice"\n', ""),
        ('0,wall\n1,"building, edifice"\n2,sky\n', ""),
        ("Idx\tRatio\tName\n1\t0.2\twall\n2\t0.1\tbuilding, edifice\n3\t0.1\tsky\n", ",reduce_zero=true"),
        ('name,id\nwall,0\n"building, edifice",1\nsky,2\n', ""),
        ('sky,2\nwall,0\n"building, edifice",1\n', ""),
        ("2: sky\n0: wall\n1: building, edifice\n", ""),
        ("1 building, edifice  # any\n0 wall\n2 sky\n", ""),
        ("0;wall\n1;building, edifice\n2;sky\n", ""),
        ('name,r,g,b\nwall,9,9,9\n"building, edifice",0,0,0\nsky,1,1,1\n', ""),
    ],
    ids=["lines", "id,name", "no header", "tabs from 1", "name,id", "name,id of no order", "id: name", "id name", "id;name", "colours"],
)
def test_class_names_in_a_file(tmp_path: Path, task_of: TaskOf, content: str, options: str) -> None:
    (tmp_path / "names.txt").write_text(content)

    assert task_of(f"folder[classes=names.txt{options}]", tmp_path).class_names == ("wall", "building, edifice", "sky")


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("1,a\n2,b\n", "", 'Say what label 0 is: reduce_zero=true (it is ignored), or value_map="0:ignore,1-2:-1"'),
        ("0,a\n2,b\n", "", "they have to run from 0 (or 1) without gaps"),
        ("names:\n  0: a\n  1: b\n", "", "holds 'names:', which is no class name: write one name a line, or id,name"),
        ('["a", "b"]', "", "which is no class name: write one name a line, or id,name"),
        ("-1,void\n0,a\n1,b\n", "", "has the ids -1, 0, 1 ..: they have to run from 0 (or 1) without gaps"),
        ("0,a\n1,b\n255,void\n", "", "Leave out lines of values that do not count (ignore=255)"),
        ("a\nb\n", ",value_map=\"0:0,1:1,0:1\"", "'0:1' gives 0 a second class: keep one of the two rules"),
        ("a\nb\n", ",value_map=\"0-4:0,3-9:1\"", "'3-9:1' gives 3 a second class"),
        ("a\n", "", "a task needs two or more, all different"),
        ("a\nb\n", ",value_map=\"1-5:-1\"", "'1-5:-1' makes 3 the class 2, but ids are 0 to 1: change the range"),
        ("a\nb\n", ",value_map=\"1-2:-1\",ignore=-1", "'1-2:-1' may mean the shift by -1 or the ignore value -1"),
        ("a\nb\n", ",value_map=\"*:-1\"", "only a value or a range can be shifted"),
        ("a\nb\n", ",value_map=\"9-1:0\"", "the range in '9-1:0' ends before it begins"),
        ("a\nb\n", ",value_map=\"0:0\",reduce_zero=true", "value_map and reduce_zero both say which class a label is"),
        ("a\nb\n", ',colours="a:0 0 0,c:1 1 1"', "colours has 'c', which is no class."),
        ("a\nb\n", ',colours="a:0 0 0"', "colours has none for the class 'b'"),
        ("a\nb\n", ',colours="a:0 0 0,b:0 0 0"', "colours has 0 0 0 twice, for two classes"),
        ("a\nb\n", ',colours="a:0 0 300"', "is no name with a colour"),
        ("a\nb\n", ",colours=nothing.csv", "there is no file"),
        ("a\nb\n", ",ignore=(1,255)", "an ignore index outside of them (now 1,255)"),
    ],
)  # fmt: skip
def test_contradictions_are_explained(tmp_path: Path, task_of: TaskOf, content: str, options: str, reason: str) -> None:
    (tmp_path / "names.txt").write_text(content)

    with pytest.raises(OptionError) as caught:
        task_of(f"folder[classes=names.txt{options}]", tmp_path)
    assert reason in str(caught.value)


def test_files_of_names_lie_in_the_data_folder(tmp_path: Path, task_of: TaskOf) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "names.txt").write_text("a\nb\n")

    with pytest.raises(OptionError, match="lies outside of the data folder"):
        task_of(f"folder[classes={tmp_path / 'names.txt'}]", tmp_path / "data")
    with pytest.raises(OptionError, match="give that folder with --data DIR"):
        task_of("folder[classes=names.txt]")


def test_declared_nodata_is_ignored_unless_it_is_a_class(tmp_path: Path, picture: Write, load: Load) -> None:
    rasterio = pytest.importorskip("rasterio")
    for name, nodata in (("a", 0), ("b", 7)):
        picture(tmp_path / "images" / f"{name}.png", np.zeros((2, 2, 3)))
        (tmp_path / "masks").mkdir(exist_ok=True)
        place = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
        profile = {"driver": "GTiff", "count": 1, "height": 2, "width": 2, "dtype": "uint8", "nodata": nodata, "transform": place}
        with rasterio.open(tmp_path / "masks" / f"{name}.tif", "w", **profile) as file:
            file.write(np.array([[[0, 1], [1, nodata]]], np.uint8))
    labels = {sample.id: sample.mask.tolist() for split in ("train", "val") for sample in load("folder[split=(0.5,0.5)]", tmp_path, split)}

    assert labels == {"a": [[0, 1], [1, 0]], "b": [[0, 1], [1, 255]]}


def test_labels_where_an_image_has_no_data_can_be_ignored(tmp_path: Path) -> None:
    from segbench_plugins.datasets import FolderOptions
    from segbench_plugins.datasets.folder import load

    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[0, :, 3] = 0  # transparent
    ids = np.array([[0, 1, 1, 0]] * 4, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    Image.fromarray(ids).save(tmp_path / "masks" / "a.png")
    for ignored, expected in ((False, ids[0]), (True, [255] * 4)):
        (sample,) = load(tmp_path, "train", FolderOptions(split=(1.0,), ignore_missing=ignored))
        assert sample.mask[0].tolist() == list(expected)
        assert sample.mask[1:].tolist() == ids[1:].tolist()
        assert sample.inputs["image"][:, 0].isnan().all()
