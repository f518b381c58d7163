"""Bad input: exit code 2, one clear message on stderr, nothing on stdout, no traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segbench.cli import main
from segbench.results.records import RunResult

RUN = ("run", "--models", "dot", "--dataset", "dots", "--recipe", "tiny", "--out", "out")
CASES: list[tuple[tuple[str, ...], str]] = [
    (("rnu",), "No such command 'rnu'. Did you mean 'run'?"),
    (("run", "--modles", "dot"), "No such option"),
    ((*RUN, "--models", "dto"), "Unknown model 'dto'. Did you mean 'dot'"),
    ((*RUN, "--models", "dot[widht=3]"), "dot: unknown option 'widht'. Did you mean 'width'"),
    ((*RUN, "--models", "dot[width=many]"), "width = 'many' does not fit: expected a whole number"),
    ((*RUN, "--models", "dot[width=0]"), "width = 0 does not fit: expected at least 1"),
    ((*RUN, "--models", "dot[width=3"), "Cannot read 'dot[width=3'"),
    ((*RUN, "--models", "[bold]x[/bold]"), "Cannot read '[bold]x[/bold]'"),
    ((*RUN, "--models", ""), "Cannot read ''"),
    ((*RUN, "--losses", "foccal"), "Did you mean 'focal'"),
    ((*RUN, "--dataset", "shaps"), "Did you mean 'shapes'"),
    ((*RUN, "--recipe", "smok"), "Did you mean 'smoke'"),
    ((*RUN, "--recipe", "tiny,tiny"), "names 'tiny' twice"),
    ((*RUN, "--models", "dot-pair"), "takes the inputs 'sar', 'optical', but the dataset gives 'image'"),
    ((*RUN, "--set", "train.epoch=3"), "Did you mean 'epochs'"),
    ((*RUN, "--set", "train.epochs"), "--set takes key=value"),
    ((*RUN, "--epochs", "-1"), "train.epochs = -1 does not fit: expected at least 0"),
    ((*RUN, "--batch-size", "-1"), "train.batch_size = -1 does not fit: expected at least 1"),
    ((*RUN, "--image-size", "0"), "must be positive"),
    ((*RUN, "--image-size", "big"), "is not a size"),
    ((*RUN, "--lr", "nan"), "expected a finite number"),
    ((*RUN, "--vary", "train.lr"), "--vary takes key=value"),
    ((*RUN, "--vary", "train.lrr=1,2"), "Did you mean 'lr'"),
    ((*RUN, "--vary", "train.lr=1,-2"), "train.lr = -2 does not fit: expected more than 0"),
    ((*RUN, "--seeds", "a"), "expected whole numbers from 0"),
    ((*RUN, "--device", "tpu"), "Unknown device 'tpu'. Choose auto, cpu, cuda or cuda:N."),
    ((*RUN, "--config", "nowhere.toml"), "'nowhere.toml' does not exist"),
    ((*RUN, "--config", "broken.toml"), "'broken.toml' is not valid TOML"),
    (("run", "--models", "dot", "--dataset", "camvid"), "give --data DIR"),
    (("run", "--models", "dot", "--dataset", "camvid", "--data", "nowhere"), "does not exist"),
    ((*RUN, "--out", "file/run"), "a part of the path is a file"),
    ((*RUN, "--out", "/proc/run"), "Cannot write '/proc/run'"),
    ((*RUN, "--set", "model.pretraind=true"), "none of the models has this option"),
    (("report", "nowhere"), "holds no run"),
    (("report", "file"), "is damaged"),
    (("report", "newer"), "Upgrade segbench"),
    (("report", "newer", "--format", "pdf"), "Unknown reporter 'pdf'"),
    (("evaluate",), "Give either the directory of a run, or --checkpoint FILE"),
    (("evaluate", "nowhere"), "holds no run"),
    (("evaluate", "--checkpoint", "nowhere.pt", "--dataset", "dots"), "nowhere.pt"),
    (("evaluate", "--checkpoint", "file", "--dataset", "dots"), "file"),
    (("evaluate", "--checkpoint", "code.pt", "--dataset", "dots"), "code.pt"),
    (("profile", "--models", "dot", "--input-size", "0"), "must be positive"),
    (("profile", "--models", "dot", "--inputs", "image"), "is not of the form name=channels"),
    (("profile", "--models", "dot", "--inputs", "image=0"), "is not of the form name=channels"),
    (("profile", "--models", "dot", "--dataset", "dots", "--num-classes", "3"), "leave out --inputs and --num-classes"),
    (("profile", "--models", "dot", "--num-classes", "1"), "--num-classes"),
    (("profile",), "Missing option '--models'"),
    (("list", "modles"), "modles"),
    (("list", "models", "dto"), "Did you mean 'dot'"),
    (("check", "dto"), "Did you mean 'dot'"),
    (("data", "check", "camvid", "--data", "nowhere"), "does not exist"),
    (("data", "check", "dotss"), "Did you mean 'dots'"),
]


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("no JSON")
    (tmp_path / "broken.toml").write_text("models = [\n'a'\nepochs")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "run.json").write_text(json.dumps({"schema_version": 99}))
    torch.save({"model": _Code()}, tmp_path / "code.pt")
    return tmp_path


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=[" ".join(case[0])[-60:] for case in CASES])
def test_bad_input_is_told_in_one_message(segbench: Any, files: Path, arguments: tuple[str, ...], said: str) -> None:
    answer = segbench(*arguments)
    assert said in answer.err
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err
    assert answer.err.count("Error: ") == 1
    assert not (files / "executed").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_that_is_not_there_is_told_before_anything_is_written(segbench: Any, tmp_path: Path) -> None:
    answer = segbench(*RUN, "--device", "cuda")
    assert answer.code == 2
    assert "CUDA is not available here" in answer.err
    assert not (tmp_path / "out").exists()


def test_a_message_about_markup_is_printed_as_it_is(segbench: Any) -> None:
    assert "Unknown model 'x'" in segbench("run", "--models", "x[a=[1]]").err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of the user's own, with nothing wrong yet."""
    root = tmp_path / "own"
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for i in range(12):
        Image.fromarray(generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / "images" / f"{i:02}.png")
        Image.fromarray(generator.integers(0, 2, (16, 16), dtype=np.uint8)).save(root / "masks" / f"{i:02}.png")
    return root


def _own(segbench: Any, root: Path) -> Any:
    arguments = ("--models", "dot", "--dataset", "folder[classes=(a,b)]", "--data", root, "--recipe", "tiny", "--out", "out")
    return segbench("run", *arguments, "--set", "execute.where=inline")


def test_a_folder_of_one_s_own_runs(segbench: Any, folder: Path) -> None:
    answer = _own(segbench, folder)
    assert answer.code == 0, answer.err


def _strange_label(root: Path) -> None:
    for file in (root / "masks").iterdir():
        Image.fromarray(np.full((16, 16), 37, np.uint8)).save(file)


def _corrupt_image(root: Path) -> None:
    for file in (root / "images").iterdir():
        file.write_bytes(file.read_bytes()[:60])


def _no_labels(root: Path) -> None:
    for file in (root / "masks").iterdir():
        file.unlink()


def _one_label_missing(root: Path) -> None:
    (root / "masks" / "03.png").unlink()


def _no_images(root: Path) -> None:
    for file in (root / "images").iterdir():
        file.unlink()


def _other_size(root: Path) -> None:
    for file in (root / "masks").iterdir():
        Image.fromarray(np.zeros((8, 16), np.uint8)).save(file)


DAMAGES = [
    (_strange_label, "37"),
    (_corrupt_image, ".png"),
    (_no_labels, "masks"),
    (_one_label_missing, "03"),
    (_no_images, "images"),
    (_other_size, "8"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_damaged_data_are_told_and_cost_no_traceback(segbench: Any, folder: Path, damage: Any, said: str) -> None:
    damage(folder)
    answer = _own(segbench, folder)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert "Unexpected error" not in answer.err


def test_a_fault_of_a_plugin_is_one_line_with_the_way_to_report_it(segbench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RunResult().model_dump_json())
    answer = segbench("report", ".", "--format", "moody")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Unexpected error: RuntimeError: not today\n")
    assert "SEGBENCH_TRACEBACK=1" in answer.err
    assert "Traceback" not in answer.err
    monkeypatch.setenv("SEGBENCH_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="not today"):
        main(["report", ".", "--format", "moody"])
