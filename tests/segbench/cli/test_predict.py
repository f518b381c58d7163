"""``segbench predict``: from a trained cell or an exported file to masks, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def cell(untrained: Any, tmp_path: Path) -> Path:
    return Path(untrained(tmp_path / "run", "dot", "dots"))


def _photo(path: Path, width: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((16, width, 3), np.uint8)
    pixels[:, width // 2 :] = 200
    Image.fromarray(pixels).save(path)
    return path


def test_a_cell_predicts_a_folder_and_goes_on_where_it_stopped(segbench: Any, cell: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _photo(tmp_path / "in" / f"{name}.png")
    said = segbench("predict", cell, tmp_path / "in", "--out", "out")
    assert said.code == 0, said.err
    assert "2 predicted" in said.out
    assert "resized to 11x16" in said.out
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["a.png", "b.png"]
    _photo(tmp_path / "in" / "c.png")
    said = segbench("predict", cell, tmp_path / "in", "--out", "out", "--json")
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["images"]) == 3
    again = segbench("predict", cell, tmp_path / "in", "--out", "out")
    assert "0 predicted in 0 s, 3 kept from before, 0 failed" in again.out


def test_masks_are_the_labels_that_evaluation_scores(segbench: Any, cell: Path, tmp_path: Path) -> None:
    said = segbench("predict", cell, "--dataset", "dots[test=6,size=24]", "--out", "out")
    assert said.code == 0, said.err
    best = cell.parent / "checkpoints" / cell.name / "best.pt"
    scored = segbench("evaluate", "--checkpoint", best, "--dataset", "dots[test=6,size=24]", "--set", "execute.where=inline", "--json")
    truth, found = [], []
    for index in range(6):
        label = np.zeros((24, 24), int)
        label[:, 12 + index % 2 :] = 1
        truth.append(label)
        found.append(np.asarray(Image.open(tmp_path / "out" / "masks" / f"test-{index}.png")))
    a, b = np.stack(truth), np.stack(found)
    ious = [((a == k) & (b == k)).sum() / ((a == k) | (b == k)).sum() for k in (0, 1)]
    assert json.loads(scored.out)["cells"][0]["quality"]["miou"] == pytest.approx(float(np.mean(ious)))


def _export(catalog: Any, checkpoint: Path, folder: Path) -> Path:
    """What ``segbench export`` writes, without its check in a process of its own."""
    import torch

    from segbench.execution.deploy.metadata import file_metadata, weights_digest
    from segbench.networks.load import load_network
    from segbench.networks.network import deploy

    loaded, backend = load_network(checkpoint, catalog), catalog.backend("frozen")
    network = deploy(loaded.network)
    folder.mkdir()
    path: Path = backend.spec.export(network, (torch.zeros(1, 3, 16, 16),), folder, backend.options, ())
    about = {"weights": {"sha256": weights_digest(network.state_dict())}, "backend": backend, "input_size": (16, 16)}
    meta = file_metadata(model="dot", task=loaded.task, plan=loaded.plan, **about)
    path.with_name(f"{path.name}.json").write_text(json.dumps(meta))
    return path


def test_an_exported_file_predicts_as_its_checkpoint_does(segbench: Any, mishaps: Any, cell: Path, tmp_path: Path) -> None:
    checkpoint = cell.parent / "checkpoints" / cell.name / "best.pt"
    exported = _export(mishaps, checkpoint, tmp_path / "shipped")
    _photo(tmp_path / "in" / "small.png", 12)
    _photo(tmp_path / "in" / "large.png", 40)
    for subject, out in ((["--checkpoint", checkpoint], "one"), ([exported], "two")):
        said = segbench("predict", *subject, "in", "--out", out, "--tile", "16", "--overlap", "4")
        assert said.code == 0, said.err
    assert "frozen" in said.out
    for name in ("small.png", "large.png"):
        one, two = (np.asarray(Image.open(tmp_path / out / "masks" / name)) for out in ("one", "two"))
        # the small one is padded up to the file's size, which a convolution sees at the border
        assert (one == two).mean() > 0.9
    digests = [json.loads((tmp_path / out / "predictions.json").read_text())["network"]["weights_sha256"] for out in ("one", "two")]
    assert digests[0] == digests[1]


def test_two_inputs_are_paired(segbench: Any, untrained: Any, tmp_path: Path) -> None:
    subject = untrained(tmp_path / "run", "dot-pair", "radar-dots")
    refused = segbench("predict", subject, "--input", "sar=s", "--out", "out")
    assert refused.code == 2
    assert "The network takes sar (2 channels) and optical (3 channels)" in refused.err
    said = segbench("predict", subject, "--dataset", "radar-dots", "--out", "out")
    assert said.code == 0, said.err
    assert "(over optical)" in said.out


def test_one_bad_image_is_named_and_the_exit_code_is_1(segbench: Any, cell: Path, tmp_path: Path) -> None:
    _photo(tmp_path / "in" / "good.png")
    hostile = tmp_path / "in" / "[bold]\x1b[31mbad\u202e.png"
    hostile.write_bytes(b"nothing")
    said = segbench("predict", cell, "in", "--out", "out")
    assert said.code == 1
    assert "1 predicted" in said.out
    assert "failed    [bold]\ufffd[31mbad\ufffd: cannot read" in said.out
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "What is to predict?"),
        (["CELL"], "Which images?"),
        (["CELL", "in", "--dataset", "dots"], "IMAGES and --dataset are two ways"),
        (["CELL", "gone"], "there is no image or folder 'gone'"),
        (["CELL", "empty"], "'empty' holds no images"),
        (["CELL", "in", "--split", "test"], "--data, --split and --class-map go with --dataset"),
        (["CELL", "in", "--size", "big"], "--size 'big' is not a size"),
        (["CELL", "in", "--tile", "0"], "--tile '0' must be positive"),
        (["CELL", "in", "--tile", "8", "--overlap", "8"], "less than the tile"),
        (["CELL", "in", "--alpha", "2"], "not in the range"),
        (["CELL", "in", "--bands", "1,x"], "--bands '1,x' is not a list of band numbers"),
        (["CELL", "--input", "image"], "is not of the form NAME=DIR"),
        (["CELL", "--input", "image=in", "--input", "image=in"], "is given twice"),
        (["CELL", "--dataset", "dots", "--split", "gone"], "has no split 'gone'"),
        (["CELL", "--dataset", "radar-dots"], "the network takes {'image': 3}"),
        (["gone", "in"], "there is no 'gone'"),
        (["CELL", "in", "--device", "tpu"], "Unknown device 'tpu'"),
        (["CELL", "in", "--out", "in/a.png"], "is a file: give a folder"),
    ],
)
def test_wrong_input_is_one_message_and_exit_2(segbench: Any, cell: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    _photo(tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    given = [str(cell) if argument == "CELL" else argument for argument in arguments]
    said = segbench("predict", *given, *([] if "--out" in given else ["--out", "out"]))
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out").exists()
