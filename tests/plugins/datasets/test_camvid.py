from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from segbench import DataError, Problem, Sample, Task
from segbench.plugin.registry import Catalog

Load = Callable[[str, "Path | None", str], Sequence[Sample]]
Check = Callable[[str, Path], list[Problem]]
Write = Callable[[Path, npt.NDArray[Any]], Path]


@pytest.fixture
def root(tmp_path: Path, picture: Write) -> Path:
    """A tiny copy with the absolute list lines of the original, and without a test split."""
    for split, stems in {"train": ("0001TP_1", "0006R0_f2"), "val": ("0016E5_3",)}.items():
        lines = []
        for stem in stems:
            picture(tmp_path / split / f"{stem}.png", np.full((6, 8, 3), 50))
            picture(tmp_path / f"{split}annot" / f"{stem}.png", np.array([[0] * 8] * 3 + [[3] * 4 + [11] * 4] * 3))
            lines.append(f"/SegNet/CamVid/{split}/{stem}.png /SegNet/CamVid/{split}annot/{stem}.png")
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n\n")
    return tmp_path


def test_absolute_list_lines_are_found_below_the_data_folder(root: Path, load: Load) -> None:
    samples = load("camvid", root, "train")

    assert [s.id for s in samples] == ["train/0001TP_1", "train/0006R0_f2"]
    assert samples[0].inputs["image"].shape == (3, 6, 8)
    assert samples[0].inputs["image"].dtype == torch.uint8


def test_label_11_becomes_the_ignore_index(root: Path, load: Load, task_of: Callable[[str], Task]) -> None:
    task, mask = task_of("camvid"), load("camvid", root, "train")[0].mask

    assert task.num_classes == 11
    assert mask.dtype == torch.int64
    assert mask[0].tolist() == [0] * 8
    assert mask[-1].tolist() == [3] * 4 + [task.ignore_index] * 4


def test_samples_can_be_sent_to_workers(root: Path, load: Load) -> None:
    sent = pickle.loads(pickle.dumps(load("camvid", root, "val")))

    assert sent[0].id == "val/0016E5_3"


def test_groups_are_the_films(root: Path, groups: Callable[[str, Path, str], list[str]]) -> None:
    assert groups("camvid", root, "train") == ["0001TP", "0006R0"]


def test_a_missing_test_split_is_a_warning_in_the_check_and_an_error_on_loading(root: Path, load: Load, problems: Check) -> None:
    found = [p for p in problems("camvid", root) if "whole dataset" not in p.message]

    assert [(p.severity, p.where) for p in found] == [("warning", "test")]
    with pytest.raises(
        DataError,
        match=r"no .*test\.txt\. If your copy has no test frames, say so: camvid\[test=false\]",
    ):
        load("camvid", root, "test")


def test_a_copy_without_test_frames_can_be_declared_as_such(root: Path, problems: Check, catalog: Catalog) -> None:
    chosen = catalog.dataset("camvid[test=false]")

    assert chosen.spec.split_names(chosen.options) == ("train", "val")
    assert [(p.severity, p.message.split(":")[0]) for p in problems("camvid[test=false]", root)] == [
        ("warning", "split 'train' has 2 of the 367 samples of the whole dataset"),
        ("warning", "split 'val' has 1 of the 101 samples of the whole dataset"),
    ]


def test_a_listed_image_without_label_is_named(root: Path, load: Load, problems: Check) -> None:
    (root / "trainannot" / "0006R0_f2.png").unlink()

    assert any("trainannot/0006R0_f2.png is not there" in p.message and p.severity == "error" for p in problems("camvid", root))
    with pytest.raises(DataError, match=r"trainannot/0006R0_f2\.png is not there, but listed in train\.txt"):
        load("camvid", root, "train")


def test_a_folder_of_something_else_is_refused_with_the_layout(tmp_path: Path, load: Load, problems: Check) -> None:
    with pytest.raises(DataError, match=r"there is no .*train\.txt\. Expected: train\.txt and val\.txt beside the folders"):
        load("camvid", tmp_path, "train")
    with pytest.raises(DataError, match="is not there"):
        load("camvid", tmp_path / "nowhere", "train")
    assert {p.severity for p in problems("camvid", tmp_path / "nowhere")} == {"error"}


def test_a_damaged_list_line_is_named_with_its_number(root: Path, load: Load) -> None:
    (root / "val.txt").write_text("one two three\n")

    with pytest.raises(DataError, match=r"val\.txt:1: expected an image and a label path"):
        load("camvid", root, "val")


def test_a_corrupt_image_is_an_error_of_that_sample(root: Path, load: Load) -> None:
    (root / "train" / "0001TP_1.png").write_bytes(b"\x89PNG\r\n\x1a\n but then nothing")
    samples = load("camvid", root, "train")

    assert samples[1].id == "train/0006R0_f2"
    with pytest.raises(DataError, match=r"cannot read .*0001TP_1\.png"):
        samples[0]


def test_the_real_frames_have_sky_above_and_road_below(real_data: Callable[[str], Path], load: Load) -> None:
    samples = load("camvid", real_data("camvid"), "train")
    rows = torch.stack([samples[index].mask for index in range(0, len(samples), 40)])

    assert len(samples) == 367
    assert (rows[:, :60] == 0).float().mean() > 4 * (rows[:, -120:] == 0).float().mean()
    assert (rows[:, -60:] == 3).float().mean() > 0.4


def test_one_split_is_read_where_the_others_are_not(root: Path, load: Load) -> None:
    (root / "train.txt").unlink()

    assert [s.id for s in load("camvid", root, "val")] == ["val/0016E5_3"]


def test_partial_takes_the_frames_that_are_there(
    root: Path, load: Load, problems: Check, groups: Callable[[str, Path, str], list[str]]
) -> None:
    (root / "trainannot" / "0006R0_f2.png").unlink()
    (root / "val.txt").unlink()

    assert [s.id for s in load("camvid[partial=true]", root, "train")] == ["train/0001TP_1"]
    assert groups("camvid[partial=true]", root, "train") == ["0001TP"]
    assert {p.severity for p in problems("camvid[partial=true]", root)} == {"warning"}
