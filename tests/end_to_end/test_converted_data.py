from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segbench.cli import main
from segbench.cli.output import own_command


def write_coco(root: Path, count: int = 12) -> None:
    """Bright squares on dark noise, each with its COCO polygon."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for split, first in (("train", 0), ("val", count)):
        images, objects = [], []
        for i in range(first, first + count):
            noise = np.random.default_rng(i).integers(0, 60, (48, 64, 3), np.uint8)
            x, y = (int(value) for value in np.random.default_rng(i).integers(0, (44, 32)))
            noise[y : y + 16, x : x + 20] += 150
            Image.fromarray(noise).save(root / "images" / f"{i:04d}.png")
            images.append({"id": i, "file_name": f"{i:04d}.png", "width": 64, "height": 48})
            corners = [x, y, x + 20, y, x + 20, y + 16, x, y + 16]
            objects.append({"id": i, "image_id": i, "category_id": 3, "segmentation": [corners], "iscrowd": 0})
        document = {"images": images, "annotations": objects, "categories": [{"id": 3, "name": "square"}]}
        (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(document))


def segbench(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_converted_annotations_are_a_dataset_by_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path / "coco")
    assert segbench("data", "convert", "coco", "coco", "--out", "pets") == 0
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "24 images: 12 train, 12 val; 0 without any object",
        "  square  24 objects",
        "Check it: segbench data check pets",
    ]
    assert segbench("data", "check", "pets") == 0
    checked = capsys.readouterr().out
    assert "  square      10.417%   100%  10.417%   100%" in checked, "20 * 16 of 64 * 48 pixels in each image"
    assert "dataset.toml" not in checked, "it is read"
    assert "pets can be used" in checked
    assert "0 errors, 0 warnings" in checked
    assert segbench("data", "preview", "pets", "--split", "val", "--count", "2") == 0
    assert (tmp_path / "preview.png").is_file()
    assert segbench("run", "--models", "deeplab-optimized", "--dataset", "pets", "--dry-run") == 0
    assert "name=pets" in capsys.readouterr().out
    assert str(tmp_path) not in (tmp_path / "pets" / "dataset.toml").read_text()


def test_mistakes_are_one_line_and_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["data", "convert", "cocoo", ".", "--out", "o"],
        ["data", "convert", "coco", "nowhere", "--out", "o"],
        ["data", "convert", "coco[crowd=x]", ".", "--out", "o"],
    ):
        assert segbench(*arguments) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_a_published_command_has_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["segbench", "run", "--dataset", "/home/me/pets[ignore=9]", "--dataset=~/x/cats", "--dataset", "camvid"]
    )
    assert own_command() == "segbench run --dataset 'pets[ignore=9]' --dataset=cats --dataset camvid"
