"""Every command and setting that takes a trained network takes it in the same forms, and refuses the same texts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.config.run_config import load_config
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import make_plan

INLINE = ["execute.where=inline"]
CELL = "dot--ce--tiny--s0"
RUN = ("--models", "dot", "--dataset", "dots", "--recipe", "tiny", "--out", "new")
FLAGS = {"models": "dot", "dataset": "dots", "recipes": "tiny"}


def digest(file: Path) -> str:
    """The digest of the weights in a checkpoint, as exported files and predictions record it."""
    from segbench.execution.deploy.metadata import weights_digest
    from segbench.networks.load import load_network
    from segbench.networks.network import deploy
    from segbench.plugin.registry import load_catalog

    return str(weights_digest(deploy(load_network(file, load_catalog()).network).state_dict()))


@pytest.fixture(scope="module")
def trained(mishaps_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run with one trained cell; tests copy it."""
    from segbench.execution.runner import run
    from segbench.plugin.registry import load_catalog

    directory = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mishaps_folder))
        run(load_config(sets=INLINE, flags={**FLAGS, "losses": "ce", "device": "cpu", "out": str(directory)}), catalog=load_catalog())
    return directory


@pytest.fixture
def runs(trained: Path, mishaps: Any, tmp_path: Path) -> Path:
    """A run with one trained cell and one with two; in the names what shells, globs and our own brackets are particular about."""
    run, two = tmp_path / "a run [x=1] | b", tmp_path / "two"
    shutil.copytree(trained, run)
    shutil.copytree(run, two)
    shutil.copytree(two / "checkpoints" / CELL, two / "checkpoints" / "dot-width-8--ce--tiny--s0")
    return run


FORMS: dict[str, Callable[[Path], str]] = {
    "run": str,
    "run with a slash": lambda run: f"{run}/",
    "cell": lambda run: f"{run}/{CELL}",
    "cell's folder": lambda run: f"{run}/checkpoints/{CELL}/",
    "part": lambda run: f"{run}/dot--ce",
    "as reports show it": lambda run: f"{run}/dot|ce",
    "file": lambda run: f"{run}/checkpoints/{CELL}/best.pt",
    "relative": lambda run: f"{os.path.relpath(run)}/{CELL}",
    "through the parent": lambda run: f"{run}/../{run.name}/{CELL}",
    "home": lambda run: f"~/{run.name}/{CELL}",
}


def planned(run: Path, **flags: Any) -> Cell:
    from segbench.plugin.registry import load_catalog

    sets = flags.pop("sets", ())
    config = load_config(sets=sets, flags={**FLAGS, "out": str(run.parent / "new"), **flags})
    return make_plan(config, load_catalog(), complete=True).cells[-1]


def quoted(text: str) -> str:
    return json.dumps(text)


def by_export(segbench: Any, run: Path, text: str) -> str:
    answer = segbench("export", text, "--backend", "frozen", "--out", run.parent / "net.pkl", "--json")
    assert answer.code == 0, answer.err
    return str(json.loads(answer.out)["weights"]["sha256"])


def by_predict(segbench: Any, run: Path, text: str) -> str:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(run.parent / "black.png")
    answer = segbench("predict", text, run.parent / "black.png", "--out", run.parent / "masks", "--json", "--device", "cpu")
    assert answer.code == 0, answer.err
    return str(json.loads(answer.out)["network"]["weights_sha256"])


def by_teacher(segbench: Any, run: Path, text: str) -> str:
    (source,) = planned(run, teacher=text, models="dot[width=2]").origin.sources
    return digest(source.path(run))


def by_ensemble(segbench: Any, run: Path, text: str) -> str:
    sources = planned(run, models=f"ensemble[of=({quoted(text)},{quoted(text)})]").origin.sources
    (file,) = {source.path(run) for source in sources}
    return digest(file)


def by_init_from(segbench: Any, run: Path, text: str) -> str:
    start = planned(run, sets=[f"train.init_from={text}"]).settings.train.init_from
    return digest(Path(str(start)))


@pytest.mark.parametrize("entry", [by_export, by_predict, by_teacher, by_ensemble, by_init_from], ids=lambda entry: entry.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_network_to_all(
    segbench: Any, runs: Path, monkeypatch: pytest.MonkeyPatch, entry: Callable[..., str], form: str
) -> None:
    monkeypatch.setenv("HOME", str(runs.parent))
    assert entry(segbench, runs, FORMS[form](runs)) == digest(runs / "checkpoints" / CELL / "best.pt")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_scored_alike(segbench: Any, runs: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("HOME", str(runs.parent))
    text = FORMS[form](runs)
    (row,) = json.loads((runs / "run.json").read_text())["cells"]
    again = segbench("evaluate", text, "--set", "execute.where=inline", "--json", "--device", "cpu")
    alone = segbench("evaluate", "--checkpoint", text, "--dataset", "dots", "--set", "execute.where=inline", "--json", "--device", "cpu")
    for answer in (again, alone):
        assert answer.code == 0, answer.err
        (cell,) = json.loads(answer.out)["cells"]
        assert cell["quality"]["miou"] == row["quality"]["miou"]
    assert (runs / "evaluations").is_dir()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_a_side_of_a_comparison(segbench: Any, runs: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("HOME", str(runs.parent))
    text = os.path.expanduser(FORMS[form](runs)) if form.startswith("run") else FORMS[form](runs)
    answer = segbench("compare", text, runs, "--format", "json", "--no-retime")
    assert answer.code == 0, answer.err
    assert {row["model"] for row in json.loads(answer.out)["rows"]} == {"dot"}


def test_one_cell_of_several_is_evaluated_in_a_place_of_its_own(bench: Any, segbench: Any) -> None:
    first, second = bench.run(models="dot,dot[width=8]", sets=INLINE).cells
    answer = segbench("evaluate", f"{bench.directory}/{second.id}", "--set", "execute.where=inline", "--json", "--device", "cpu")
    assert [cell["id"] for cell in json.loads(answer.out)["cells"]] == [second.id]
    answer = segbench("evaluate", bench.directory, "--set", "execute.where=inline", "--json", "--device", "cpu")
    assert [cell["id"] for cell in json.loads(answer.out)["cells"]] == [first.id, second.id]


REFUSALS = {
    "two": "'two' has 2 trained cells: give one as two/CELL. Trained cells: dot--ce--tiny--s0, dot-width-8--ce--tiny--s0.",
    "two/dot": "'two' has 2 trained cells with 'dot' in their names: give one as two/CELL. Trained cells: dot--ce--tiny--s0, dot-w",
    "two/dot--ce--tiny--s1": "'two' has no trained cell 'dot--ce--tiny--s1'. Did you mean 'dot--ce--tiny--s0'",
    "two/zebra": "'two' has no trained cell 'zebra'. Trained cells: dot--ce--tiny--s0, dot-width-8--ce--tiny--s0.",
    "two/checkpoints/gone/best.pt": "'two' has no trained cell 'gone'",
    "./empty": "empty' holds no run: there are no checkpoints in it. Give a trained network as RUN",
    "./untrained": "'untrained' has no trained cells yet",
    "no/where": "'no/where' holds no run: it is neither a checkpoint nor RUN/CELL, and there is no 'no/where'.",
    "~nobody-of-this-name/run": "'~nobody-of-this-name/run' holds no run: it is neither",
}
COMMANDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "export": lambda text: ("export", text, "--backend", "frozen", "--out", "net.pkl"),
    "evaluate": lambda text: ("evaluate", "--checkpoint", text, "--dataset", "dots"),
    "predict": lambda text: ("predict", text, "black.png", "--out", "masks"),
    "teacher": lambda text: ("run", *RUN, "--teacher", text),
    "ensemble": lambda text: ("run", *RUN, "--models", f"ensemble[of=(dot,{quoted(text)})],dot"),
    "init_from": lambda text: ("run", *RUN, "--set", f"train.init_from={text}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_trained_network_is_refused_alike(segbench: Any, runs: Path, command: str) -> None:
    (runs.parent / "empty").mkdir()
    (runs.parent / "untrained" / "cells").mkdir(parents=True)
    for text, message in REFUSALS.items():
        answer = segbench(*COMMANDS[command](text))
        assert (answer.code, answer.out) == (2, ""), text
        assert message in answer.err
        assert not (runs.parent / "new").exists()


def test_many_cells_are_listed_in_part(segbench: Any, runs: Path) -> None:
    for i in range(9):
        shutil.copytree(runs / "checkpoints" / CELL, runs / "checkpoints" / f"more-{i}")
    answer = segbench("export", str(runs), "--backend", "frozen", "--out", "net.pkl")
    assert "has 10 trained cells: give one as" in answer.err
    assert f"Trained cells: {CELL}, more-0, more-1, more-2, more-3 and 5 more." in answer.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two/dot", "has 2 trained cells with 'dot' in their names"),
        ("two/zebra", "has no trained cell 'zebra'"),
        ("moved.pt", "'moved.pt' holds weights and no results to compare: give RUN or RUN/CELL"),
        ("two/dot-width-8", "has no results of the cell 'dot-width-8--ce--tiny--s0'"),
    ],
)
def test_a_comparison_needs_the_results_of_a_cell(segbench: Any, runs: Path, text: str, message: str) -> None:
    shutil.copy(runs / "checkpoints" / CELL / "best.pt", "moved.pt")
    answer = segbench("compare", text, runs)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_a_model_s_name_is_the_model_also_where_a_folder_has_it(segbench: Any, runs: Path) -> None:
    shutil.copytree(runs, "dot")
    random = segbench("export", "dot", "--backend", "frozen", "--out", "net.pkl", "--json")
    trained = segbench("export", "./dot", "--backend", "frozen", "--out", "net.pkl", "--json")
    assert [json.loads(answer.out)["weights"]["random"] for answer in (random, trained)] == [True, False]
    assert planned(runs, models="dot,ensemble[of=(dot,dot)]").origin.needs == (CELL,)


def test_a_network_that_changes_changes_the_cell_that_starts_from_it(runs: Path) -> None:
    file = runs / "checkpoints" / CELL / "best.pt"

    def fingerprint(text: str) -> str:
        return planned(runs, sets=[f"train.init_from={text}"]).fingerprints["train"]

    texts = [form(runs) for name, form in FORMS.items() if name != "home"]
    assert len({fingerprint(text) for text in texts}) == 1
    before = fingerprint(str(runs))
    file.write_bytes(file.read_bytes() + b"more")
    assert {fingerprint(text) for text in texts}.isdisjoint({before})


def test_training_starts_from_the_cell_that_is_named(bench: Any, runs: Path) -> None:
    (row,) = bench.run(sets=[*INLINE, f"train.init_from={runs}/dot--ce", "train.lr=1e-12"], out=str(runs.parent / "new")).cells
    assert row.status == "ok"
    assert any(note.startswith("started from") for note in row.training.notes)


def test_a_student_is_not_taken_for_its_teacher(bench: Any, segbench: Any) -> None:
    """Its id contains the teacher's, which the run must still know when it is continued."""
    flags = ("--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", "run", "--set", "execute.where=inline")
    command = ("run", "--models", "dot[width=2]", *flags, "--teacher", "run/dot--ce")
    bench.run(sets=INLINE)
    assert segbench(*command).code == 0
    assert segbench(*command, "--dry-run").out.splitlines()[-1].endswith("(done, kept)")
    shutil.rmtree(bench.directory / "checkpoints" / CELL)
    answer = segbench(*command)
    assert answer.code == 2
    assert "itself, or made from it" in answer.err


def test_a_folder_s_name_is_no_model(segbench: Any, runs: Path) -> None:
    shutil.copytree(runs, "dott")
    answer = segbench("run", "--dataset", "dots", "--recipe", "tiny", "--models", "dott")
    assert "Unknown model 'dott'. Did you mean 'dot'" in answer.err


def test_a_file_without_weights_is_refused_before_anything_runs(segbench: Any, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights here")
    answer = segbench("run", *RUN, "--set", "train.init_from=notes.txt", "--dry-run")
    assert (answer.code, "'notes.txt' holds no weights. Give RUN/CELL" in answer.err) == (2, True)
    checkpoint = runs / "checkpoints" / CELL / "best.pt"
    assert segbench("run", *RUN, "--set", f"train.init_from={checkpoint}", "--dry-run").code == 0
