"""The classes of masks, by values or colours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.errors import ConfigError, DataError
from segbench.execution.masks.classes import MaskClasses, UnknownValuesError, classes_of_dataset, unknown_values_text
from segbench.execution.masks.declared import declared_classes, parse_classes, parse_colours
from segbench.plugin.specs import Task

TASK = Task(class_names=("sky", "road"), palette=((10, 0, 0), (0, 10, 0)))
STORED = [[0, 1, 255], [1, 0, 0]]
READ = [[0, 1, -1], [1, 0, 0]]


def save(path: Path, values: Any, *, palette: bool = False) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    picture = Image.fromarray(np.asarray(values))
    if palette:
        picture.putpalette([9, 9, 9, 200, 0, 0] + [0] * 762)
    picture.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.png", np.uint8), ("p.png", np.uint8), ("w.png", np.uint16), ("n.npy", np.int32), ("f.npy", np.float32)]
)
def test_values_are_classes_in_every_form_of_file(tmp_path: Path, name: str, dtype: Any) -> None:
    path = save(tmp_path / name, np.array(STORED, dtype), palette=name == "p.png")
    assert classes_of_dataset(TASK).read(path).tolist() == READ


def test_what_a_file_marks_as_no_data_has_no_class_unless_it_is_one(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    for name, nodata in (("gap.tif", 9), ("zero.tif", 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(tmp_path / name, "w", driver="GTiff", width=3, height=1, count=1, dtype="uint8", nodata=nodata) as file:
                file.write(np.array([[[0, 1, 9 if nodata else 1]]], np.uint8))
    assert classes_of_dataset(TASK).read(tmp_path / "gap.tif").tolist() == [[0, 1, -1]]
    assert classes_of_dataset(TASK).read(tmp_path / "zero.tif").tolist() == [[0, 1, 1]]
    clear = np.zeros((1, 2, 2), np.uint8)
    clear[0, 0] = (1, 255)
    Image.fromarray(clear, "LA").save(tmp_path / "clear.png")
    assert classes_of_dataset(TASK).read(tmp_path / "clear.png").tolist() == [[1, -1]]


def test_declared_ids_and_colours_have_their_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[7, 8, 26, 0]], np.uint8))
    classes = declared_classes("7:road,8:road,26:car,0:ignore", None, TASK)
    assert classes is not None
    assert (classes.names, classes.read(path).tolist()) == (("road", "car"), [[0, 0, 1, -1]])
    coloured = save(tmp_path / "c.png", np.array([[(10, 0, 0), (0, 10, 0), (1, 1, 1)]], np.uint8))
    by_table = declared_classes("road,sky", "sky:10 0 0,road:#000a00,ignore:1 1 1", TASK)
    assert by_table is not None
    assert (by_table.names, by_table.read(coloured).tolist()) == (("road", "sky"), [[1, 0, -1]])
    of_dataset = declared_classes(None, "dataset", TASK)
    assert of_dataset is not None
    with pytest.raises(DataError, match="colours that the table of colours lacks: 1 1 1"):
        of_dataset.read(coloured)


def test_unknown_values_are_named_with_their_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 3, 3, 9]], np.uint8))
    with pytest.raises(UnknownValuesError) as refused:
        classes_of_dataset(TASK).read(path)
    assert refused.value.values == {3: 2, 9: 1}
    text = unknown_values_text({path: refused.value.values, Path("b.png"): {3: 5}}, classes_of_dataset(TASK))
    assert text.startswith("a.png and 1 more hold values that are no class: 3 (7 pixels), 9 (1 pixel). Class ids are 0 to 1 (sky, road)")


def test_class_files_are_read_as_people_write_them(tmp_path: Path) -> None:
    for text, names, values in (
        ("# VOC\nbackground\naeroplane\n", ("background", "aeroplane"), None),
        ("id,name\n0,sky\n7,road\n", ("sky", "road"), {0: 0, 7: 1}),
        ("\ufeff0: sky\r\n1: traffic light\r\n", ("sky", "traffic light"), {0: 0, 1: 1}),
    ):
        (tmp_path / "classes.txt").write_text(text)
        assert parse_classes(str(tmp_path / "classes.txt")) == (names, values)
    (tmp_path / "colours.csv").write_text("name,r,g,b\nsky,10,0,0\nroad,0,10,0\n")
    assert parse_colours(str(tmp_path / "colours.csv")) == [("sky", (10, 0, 0)), ("road", (0, 10, 0))]


@pytest.mark.parametrize(
    ("classes", "colours", "message"),
    [
        ("a,a", None, "two or more, all different"),
        ("0:a,b", None, "'b' has no id, others have one"),
        ("0:a,0:b", None, "the id 0 twice"),
        ("gone.txt", None, "there is no such file, and it is no list"),
        (None, "sky:1 2", "'sky:1 2' is no name with a colour"),
        (None, "sky:1 1 1,road:1 1 1", "the colour 1 1 1 twice"),
        ("sky,road", "ski:1 1 1", "none of --classes. Did you mean 'sky'"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(classes: str | None, colours: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declared_classes(classes, colours, TASK)


def test_masks_of_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    path = save(tmp_path / "w.png", np.array([[0, 299, 65535]], np.uint16))
    wide = MaskClasses(tuple(f"c{index}" for index in range(300)), ignored=65535)
    assert wide.read(path).tolist() == [[0, 299, -1]]
