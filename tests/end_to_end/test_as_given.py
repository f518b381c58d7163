"""Networks that are taken as their weights are, and trainings that start from a file of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.config.run_config import load_config
from segbench.results.records import CellResult, RunResult

QUICK = ["execute.where=inline", "measure.latency=false", "measure.memory=false"]
FLAGS = ("--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", "run")
GIVEN = "dot--as-given--tiny--s0"


@pytest.fixture(scope="module")
def trained(mishaps_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CellResult, Path]:
    """A trained cell and its checkpoint."""
    from segbench.execution.runner import run
    from segbench.plugin.registry import load_catalog

    directory = tmp_path_factory.mktemp("trained") / "run"
    flags = {"models": "dot", "losses": "ce", "dataset": "dots", "recipes": "tiny", "device": "cpu", "out": str(directory)}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mishaps_folder))
        (cell,) = run(load_config(sets=[*QUICK, "train.lr=0.05"], flags=flags), catalog=load_catalog()).cells
    return cell, directory / "checkpoints" / cell.id / "best.pt"


@pytest.fixture
def weights(trained: tuple[CellResult, Path], tmp_path: Path) -> Path:
    """The trained weights as somebody else saves them."""
    state = torch.load(trained[1], weights_only=True)["model_state"]
    path = tmp_path / "net.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, path)
    return path


def given(bench: Any, file: Path, *sets: str, **flags: Any) -> RunResult:
    return bench.run(sets=[*QUICK, "train.epochs=0", *sets], weights=(f"dot={file}",), **flags)  # type: ignore[no-any-return]


def test_weights_from_elsewhere_score_as_the_cell_that_trained_them(bench: Any, trained: tuple[CellResult, Path], weights: Path) -> None:
    (cell,) = given(bench, weights).cells
    assert cell.quality is not None
    assert trained[0].quality is not None
    assert (cell.id, cell.status, cell.loss, cell.label) == (GIVEN, "ok", None, "dot | as given")
    assert (cell.quality.miou, cell.quality.iou_per_class) == (trained[0].quality.miou, trained[0].quality.iou_per_class)
    assert cell.training is not None
    assert (cell.training.as_given, cell.training.epochs_run, cell.training.history, cell.training.diagnosis) == (True, 0, [], [])
    assert (cell.training.seconds, cell.training.precision, cell.training.best_epoch) == (None, None, None)
    assert cell.training.start_words == (
        "as given, nothing was trained: weights from net.pth ('state_dict' in it, the prefix 'module.' was removed)"
    )
    assert "lr" not in cell.resolved["train"]
    report = (bench.directory / "report.md").read_text()
    assert cell.training.start_words.replace("_", "\\_") in report or cell.training.start_words in report
    assert "AdamW" not in report
    assert json.loads((bench.directory / "run.json").read_text())["config"]["weights"] == {"dot": "net.pth"}


def test_only_other_weights_are_scored_again(bench: Any, weights: Path) -> None:
    given(bench, weights)
    given(bench, weights, "train.lr=0.5", "train.patience=3", losses="focal")
    assert bench.heard.of("kept")
    moved = weights.rename(weights.with_name("moved.pth"))
    given(bench, moved)
    assert bench.heard.of("kept")
    content = torch.load(moved, weights_only=True)
    content["state_dict"]["module.head.bias"] += 1
    torch.save(content, moved)
    given(bench, moved)
    assert bench.heard.reasons[GIVEN].startswith("re-run: weights sha256:")
    # the written configuration runs the same again
    again = load_config(bench.directory / "config.toml")
    assert (dict(again.weights), again.overrides["train"]["epochs"]) == ({"dot": str(moved)}, 0)


def test_a_checkpoint_of_segbench_brings_its_history(bench: Any, trained: tuple[CellResult, Path]) -> None:
    (cell,) = given(bench, trained[1], "eval.split=val", "train.select_on=none").cells
    assert cell.quality is not None
    assert cell.quality.selected_on == "val", "the file says that val chose it"
    (seen,) = given(bench, trained[1], "eval.split=train").cells
    assert seen.quality is not None
    assert (seen.quality.miou, seen.quality.training_score is not None) == (None, True)


def test_nothing_is_said_of_the_training_of_weights_from_elsewhere(bench: Any, weights: Path, segbench: Any) -> None:
    (cell,) = given(bench, weights, "eval.split=val").cells
    assert cell.quality is not None
    assert cell.quality.selected_on is None
    checkpoint = bench.directory / "checkpoints" / GIVEN / "best.pt"
    answer = segbench("evaluate", "--checkpoint", checkpoint, "--dataset", "dots", "--split", "val", "--json")
    assert answer.code == 0, answer.err
    (again,) = json.loads(answer.out)["cells"]
    assert (again["quality"]["miou"], again["quality"]["selected_on"]) == (cell.quality.miou, None)


def test_a_network_of_its_own_weights_is_scored_beside_a_trained_one(bench: Any) -> None:
    result = bench.run(sets=QUICK, losses="ce,focal", vary=("train.epochs=0,1",))
    assert [cell.label for cell in result.cells] == [
        "dot | as given | train.epochs=0",
        *(f"dot | {x} | train.epochs=1" for x in ("ce", "focal")),
    ]
    assert "no file of weights was named" in result.cells[0].training.start_words


def test_training_starts_from_the_file(bench: Any, trained: tuple[CellResult, Path], weights: Path) -> None:
    (cell,) = bench.run(sets=[*QUICK, "train.lr=1e-12"], weights=(f"dot={weights}",)).cells
    assert trained[0].quality is not None
    assert (cell.quality.miou, cell.quality.iou_per_class) == (trained[0].quality.miou, trained[0].quality.iou_per_class)
    assert (cell.training.as_given, cell.training.epochs_run, cell.training.weights.share) == (False, 1, 1.0)
    assert cell.training.start_words.startswith("started from weights from net.pth")


def test_part_of_a_network_is_said_in_its_row(bench: Any, weights: Path) -> None:
    content = torch.load(weights, weights_only=True)["state_dict"]
    torch.save({name: value for name, value in content.items() if "head" not in name}, weights)
    (cell,) = given(bench, weights, partial_weights=True).cells
    assert cell.training is not None
    assert cell.training.weights is not None
    assert cell.training.weights.not_loaded == ["head.weight", "head.bias"]
    assert "not loaded: head.weight, head.bias" in (bench.directory / "report.md").read_text()


def test_an_ensemble_of_networks_as_given(bench: Any, weights: Path) -> None:
    result = given(bench, weights, models="dot,fragile,ensemble[of=(dot,fragile)]")
    assert [cell.status for cell in result.cells] == ["ok"] * 3


BAD = {
    "page.pth": "it is an HTML page",
    "other.pth": "is of another network than dot: none of its 2 tensors fits",
    "short.pth": "'head.bias' is missing. Give the weights of this very network, or --partial-weights",
    "nan.pth": "is damaged: 'head.bias' has values that are not finite",
    "model.pth": "could run code: refused",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_before_anything_runs(segbench: Any, weights: Path, name: str) -> None:
    state = torch.load(weights, weights_only=True)["state_dict"]
    bias = "module.head.bias"
    contents = {
        "other.pth": {"a.weight": torch.ones(2), "b.weight": torch.ones(3)},
        "short.pth": {key: value for key, value in state.items() if key != bias},
        "nan.pth": {**state, bias: state[bias] * torch.nan},
        "model.pth": torch.nn.Conv2d(1, 1, 1),
    }
    if name in contents:
        torch.save(contents[name], name)
    else:
        Path(name).write_text("<html>")
    answer = segbench("run", "--models", "dot", "--weights", f"dot={name}", "--epochs", "0", *FLAGS)
    assert (answer.code, answer.err.count("Error")) == (2, 1)
    assert BAD[name] in answer.err
    assert not Path("run").exists()


def test_what_cannot_go_together_is_one_message(segbench: Any, weights: Path) -> None:
    def said(*arguments: str) -> str:
        answer = segbench("run", *arguments, *FLAGS, "--epochs", "0", "--dry-run")
        assert answer.code == 2
        return " ".join(answer.err.split())

    file = f"dot={weights}"
    assert "--weights dto=..: this run has no such model. Did you mean 'dot'? Its models: dot." in said(
        "--models", "dot", "--weights", f"dto={weights}"
    )
    assert "--weights takes MODEL=FILE" in said("--models", "dot", "--weights", "net.pth")
    assert "2 models of this run have that name" in said("--models", "dot[width=2],dot[width=3]", "--weights", file)
    assert "dot is to start from two files" in said("--models", "dot", "--weights", file, "--set", f"train.init_from={weights}")
    assert "--weights: 'none.pth' holds no run" in said("--models", "dot", "--weights", "dot=none.pth")
    assert "names 'dot' twice" in said("--models", "dot", "--weights", file, "--weights", file)
    made = said("--models", "dot,ensemble[of=(dot,dot[width=2])]", "--weights", f"ensemble={weights}")
    assert "it is made of trained networks. Give the weights to the model that it is made of" in made


def test_commands_that_need_a_description_say_how_weights_become_a_cell(segbench: Any, weights: Path) -> None:
    for command in (
        ("evaluate", "--checkpoint", str(weights), "--dataset", "dots"),
        ("export", str(weights), "--backend", "frozen", "--out", "o"),
    ):
        answer = segbench(*command)
        assert (answer.code, "segbench run --models MODEL --weights MODEL=FILE --epochs 0" in " ".join(answer.err.split())) == (2, True)


def test_negative_epochs_are_refused(segbench: Any) -> None:
    answer = segbench("run", "--models", "dot", "--epochs", "-1", *FLAGS)
    assert "train.epochs = -1 does not fit: expected at least 0" in answer.err
