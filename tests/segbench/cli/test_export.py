"""``segbench export``: a file with its metadata, checked in a fresh process, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def checkpoint(bench: Any) -> Path:
    """The weights of a tiny trained cell."""
    (row,) = bench.run(sets=["execute.where=inline"]).cells
    path: Path = bench.directory / row.artifacts.best
    return path


def test_a_checkpoint_becomes_a_file_with_what_its_user_must_know(segbench: Any, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "shipped" / "net.pkl"
    said = segbench("export", checkpoint, "--backend", "frozen", "--out", out, "--dataset", "dots")
    assert said.code == 0, said.err
    assert "labels agree on 100.00 % of 2 images" in said.out
    kept = json.loads(Path(f"{out}.json").read_text())
    assert kept["classes"] == ["dark", "bright"]
    assert kept["input_size"] == [16, 16]
    assert kept["output"]["shape"] == [1, 2, 16, 16]
    (image,) = kept["inputs"]
    assert image["channels"] == 3
    assert image["parts"][0]["normalisation"] == {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255}
    assert kept["value_ranges"]["image"]["dtype"] == "uint8"
    assert kept["weights"]["random"] is False
    assert kept["backend"] == {
        "name": "frozen",
        "options": kept["backend"]["options"],
        "package": "torch",
        "version": kept["torch"],
        "precision": "fp32",
    }
    assert kept["drift"]["max_abs"] == 0.0
    # the file does what the checkpoint's network does
    network, size = torch.load(out, weights_only=False)
    assert tuple(size) == (16, 16)
    state = torch.load(checkpoint, weights_only=True)["model_state"]
    assert torch.equal(network.network.model.head.weight, state["head.weight"])


def test_a_model_by_name_says_that_its_weights_are_random(segbench: Any, tmp_path: Path) -> None:
    said = segbench(
        "export", "dot", "--backend", "frozen", "--out", tmp_path / "net", "--input-size", "8x12", "--num-classes", "3", "--json"
    )
    assert said.code == 0, said.err
    assert "Warning: the weights of 'dot' are random" in said.err
    kept = json.loads(said.out)
    assert kept["file"] == "net.pkl"  # the format's ending is added where there is none
    assert (tmp_path / "net.pkl").is_file()
    assert kept["weights"]["random"] is True
    assert kept["input_size"] == [8, 12]
    assert len(kept["classes"]) == 3


def test_calibration_uses_the_dataset(segbench: Any, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pkl"
    said = segbench(
        "export", checkpoint, "--backend", "frozen[calibrates=true]", "--out", out, "--dataset", "dots", "--input-size", "24x16"
    )
    assert said.code == 0, said.err
    # images of 16x16 keep their aspect and are padded up to the canvas
    assert (tmp_path / "calibration.txt").read_text() == " ".join(["(1, 3, 24, 16)"] * 8)
    assert json.loads(Path(f"{out}.json").read_text())["weights"]["calibration_images"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dot", "--backend", "twin"], "twin runs in memory and writes no file. Backends that do: "),
        (["dot", "--backend", "frozn"], "Unknown backend 'frozn'. Did you mean 'frozen'?"),
        (["dit", "--backend", "frozen"], "'dit' is neither a checkpoint's file nor a model. Did you mean 'dot'"),
        (["gone/best.pt", "--backend", "frozen"], "'gone/best.pt' holds no run: it is neither a checkpoint nor RUN/CELL"),
        (["dot", "--backend", "frozen[how=missing]"], "the package 'frost' is not installed: pip install frost"),
        (["dot", "--backend", "frozen[calibrates=true]"], "is calibrated on training images: give --dataset NAME"),
        (["dot", "--backend", "frozen", "--input-size", "0"], "--input-size"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_message(segbench: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    said = segbench("export", *arguments, "--out", tmp_path / "net.pkl")
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "net.pkl").exists()


def test_a_folder_is_no_file_to_write(segbench: Any, tmp_path: Path) -> None:
    said = segbench("export", "dot", "--backend", "frozen", "--out", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "is a folder: give the file to write" in said.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("how=refuse", "dot as frozen[how=refuse]: the operator aten::frobnicate cannot be exported"),
        ("at=load,how=abort", "its process crashed (SIGABRT)"),
        ("shift=5.0", "it runs, but its logits are off by up to 5 where they are to be equal"),
        ("dynamic=true,only=100", "it computes something else at 576x640"),
    ],
)
def test_a_file_that_is_not_the_network_is_not_written(segbench: Any, tmp_path: Path, options: str, message: str) -> None:
    said = segbench("export", "dot", "--backend", f"frozen[{options}]", "--out", tmp_path / "net.pkl", "--input-size", "16")
    assert said.code == 2
    assert message in said.err
    assert list(tmp_path.glob("net.pkl*")) == []


def test_a_dataset_without_training_images_cannot_calibrate(segbench: Any, checkpoint: Path, tmp_path: Path) -> None:
    dataset = "dots[train=0]"
    backend = "frozen[calibrates=true]"
    said = segbench("export", checkpoint, "--backend", backend, "--out", tmp_path / "net.pkl", "--dataset", dataset)
    assert said.code == 2
    assert "dataset 'dots[train=0]' has no split 'train'. It has: val, test, trainval." in said.err


def test_another_ending_than_the_formats_is_refused(segbench: Any, tmp_path: Path) -> None:
    said = segbench("export", "dot", "--backend", "frozen", "--out", tmp_path / "net.onnx", "--input-size", "16")
    assert said.code == 2
    assert "this backend writes .pkl. Name it net.pkl." in said.err
