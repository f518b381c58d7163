"""List files of the ``folder`` dataset as editors, spreadsheets and other computers write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segbench import DataError, Problem, Sample

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
Write = Callable[[Path, npt.NDArray[Any]], Path]

NAMES = [f"{index:03d}" for index in range(6)]
LISTED = ["003", "001", "004", "002"]
DATASET = "folder[train=list.txt,val=val.txt]"


@pytest.fixture
def root(tmp_path: Path, picture: Write) -> Path:
    for name in NAMES:
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4)))
    (tmp_path / "val.txt").write_text("005\n")
    return tmp_path


def _lines(form: str) -> str:
    return "\n".join(form.format(name, index) for index, name in enumerate(LISTED))


@pytest.mark.parametrize(
    "content",
    [
        _lines("{0}").replace("\n", "\r\n").encode() + b"\r\n",
        b"\xef\xbb\xbf" + _lines("{0}").encode(),
        _lines("{0}").encode("utf-16"),
        _lines("{0}").encode("utf-16-be"),
        _lines("/home/someone/old/images/{0}.png /home/someone/old/masks/{0}.png").encode(),
        _lines("C:\\data\\images\\{0}.PNG,C:\\data\\masks\\{0}.PNG").encode(),
        ("image,mask\n" + _lines("{0}.png,{0}.png")).encode(),
        (",image,mask\n" + _lines("{1},{0}.png,{0}.png")).encode(),
        ("id,image_id\n" + _lines("{1},{0}")).encode(),
        _lines("{1}\t{0}").encode(),
        _lines('"{0}.png","{0}.png"').encode(),
        _lines("'{0}'").encode(),
        _lines("{0};{0}").encode(),
        _lines("./images/{0}.png\t./masks/{0}.png").encode(),
        _lines("{0} 1").encode(),
        ("# training\n\n" + _lines("  {0}  ")).encode(),
    ],
    ids=[
        "crlf", "bom", "utf-16", "utf-16 without mark", "foreign paths", "windows paths", "header", "index column", "two ids", "numbered",
        "quotes", "single quotes", "semicolons", "tabs", "flags", "comments",
    ],
)  # fmt: skip
def test_lists_are_read_as_they_are_written(root: Path, load: Load, content: bytes) -> None:
    (root / "list.txt").write_bytes(content)

    assert [sample.id for sample in load(DATASET, root, "train")] == LISTED


def test_running_numbers_are_not_taken_for_the_names_of_samples(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in "012345":
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4)))
    (tmp_path / "list.txt").write_text("0,5.png,5.png\n1,3.png,3.png\n")
    (tmp_path / "val.txt").write_text("0\n1\n2\n")

    assert [sample.id for sample in load(DATASET, tmp_path, "train")] == ["5", "3"]
    assert [sample.id for sample in load(DATASET, tmp_path, "val")] == ["0", "1", "2"]


@pytest.mark.parametrize("separator", ["\n", " masks/IMG 001.png\n", ",x\n"], ids=["names", "pairs", "columns"])
def test_names_with_spaces(tmp_path: Path, picture: Write, load: Load, separator: str) -> None:
    for name in ("IMG 001", "IMG 002"):
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4)))
    (tmp_path / "list.txt").write_text(f"images/IMG 001.png{separator}")
    (tmp_path / "val.txt").write_text("IMG 002")

    assert [sample.id for sample in load(DATASET, tmp_path, "train")] == ["IMG 001"]
    assert [sample.id for sample in load(DATASET, tmp_path, "val")] == ["IMG 002"]


def test_names_in_windows_code_page(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in ("Müller", "Straße"):
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4)))
    (tmp_path / "list.txt").write_bytes("Müller\r\n".encode("cp1252"))
    (tmp_path / "val.txt").write_text("Straße", encoding="utf-8")

    assert [sample.id for sample in load(DATASET, tmp_path, "train")] == ["Müller"]


def test_names_of_files_with_suffixes_and_of_patterns(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in ("a/1", "b/1"):
        picture(tmp_path / "data" / f"{name}_rgb.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "data" / f"{name}_mask.png", np.zeros((4, 4)))
    (tmp_path / "list.txt").write_text("data/a/1_rgb.png data/a/1_mask.png\n")
    (tmp_path / "val.txt").write_text("b/1\n")

    for layout in ("images=data,masks=data,image_suffix=_rgb,mask_suffix=_mask", 'images="data/**/*_rgb.png",masks="data/**/*_mask.png"'):
        dataset = f"folder[{layout},train=list.txt,val=val.txt]"
        assert [sample.id for sample in load(dataset, tmp_path, "train")] == ["a/1"], layout
        assert [sample.id for sample in load(dataset, tmp_path, "val")] == ["b/1"], layout


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\n \n", r"list\.txt names no sample: it is empty\. Write one name a line\."),
        ("001\nx9\n", r"lists stems without image and mask: x9 is not there\. The folders hold '000', for example\."),
        ("1\n2\n", r"'1' and '001' differ in leading zeros: rename one side\."),
        ("images/001 masks/002\n", r"list\.txt pairs files of two samples: images/001, masks/002\."),
        ("images/001.png masks/002.png\n", r"list\.txt pairs files of two samples: images/001\.png, masks/002\.png\."),
    ],
)
def test_lists_that_cannot_be_followed_are_explained(root: Path, load: Load, content: str, reason: str) -> None:
    (root / "list.txt").write_text(content)

    with pytest.raises(DataError, match=reason):
        load(DATASET, root, "train")


def test_a_name_that_two_folders_have_is_not_guessed(tmp_path: Path, picture: Write, load: Load) -> None:
    for name in ("a/1", "b/1", "b/2"):
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3)))
        picture(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4)))
    (tmp_path / "list.txt").write_text("1\n")
    (tmp_path / "val.txt").write_text("2\n")

    with pytest.raises(DataError, match=r"'1' and '[ab]/1' have one name, but lie in different sub-folders"):
        load(DATASET, tmp_path, "train")
    assert [sample.id for sample in load(DATASET, tmp_path, "val")] == ["b/2"]


def test_repetitions_are_counted_and_shared_names_are_errors(root: Path, load: Load, problems: Check) -> None:
    (root / "list.txt").write_text("000\n001\n000\n005\n")

    assert [sample.id for sample in load(DATASET, root, "train")] == ["000", "001", "005"]
    assert [(problem.severity, problem.message.split(": ")[0].split("/")[-1]) for problem in problems(DATASET, root)] == [
        ("warning", "list.txt names 1 sample twice; each counts once."),
        ("error", "005 also in 'train'"),
    ]
