"""``segbench compare`` and ``segbench baseline`` as a user types them, on runs that were really made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segbench.results.run_comparison import RunComparison

QUICK = ("--device", "cpu", "--recipe", "tiny", "--losses", "ce")


@pytest.fixture
def baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGBENCH_BASELINES", str(tmp_path / "baselines"))
    return tmp_path / "baselines"


@pytest.fixture
def made(segbench: Any, baselines: Path) -> Any:
    """Train for a moment: ``made("old", "--models", "dot")``."""

    def make(name: str, *arguments: str) -> Path:
        answer = segbench("run", "--out", name, "--dataset", "dots[test=12]", *QUICK, *(arguments or ("--models", "dot")))
        assert answer.code == 0, answer.err
        return Path(name)

    return make


def read(answer: Any) -> RunComparison:
    assert answer.code in (0, 1), answer.err
    return RunComparison.model_validate_json(answer.out)


def verdicts(found: RunComparison) -> dict[str, str]:
    return {row.quantity: row.verdict for row in found.rows}


LATENCY = ("--set", "measure.latency=true", "--set", "measure.rounds=6", "--set", "measure.batch_size=1", "--set", "measure.modules=false")


def test_checkpoints_of_both_runs_are_raced_again_and_baselines_go_by_their_name(segbench: Any, made: Any, baselines: Path) -> None:
    made("old", "--models", "dot", *LATENCY)
    assert segbench("baseline", "save", "main", "old").out.startswith("Saved main: 1 cell, ")
    made("new", "--models", "dot", *LATENCY)
    answer = segbench(
        "compare", "main", "new", "--rounds", "6", "--margin", "400", "--format", "json", "--fail-on", "params > 0%, miou < 0pt"
    )
    found = read(answer)
    assert answer.code == 0
    assert answer.err.startswith("racing dot--ce--tiny--s0 again, in both versions (1/1, eager)")
    assert (found.baseline.name, found.new.name) == ("main", "new")
    (latency,) = [row for row in found.rows if row.quantity == "latency"]
    assert latency.method.startswith("raced again, side by side")
    assert latency.n is not None
    assert latency.n >= 6
    assert latency.verdict == "no difference shown", "it is the same network, and the margin is wide"
    assert verdicts(found)["miou"] == "no difference shown"
    assert found.gate is not None
    assert [clause.outcome for clause in found.gate.clauses] == ["met", "met"]


def test_without_checkpoints_a_race_of_its_own_is_told_apart(segbench: Any, made: Any) -> None:
    made("old", "--models", "dot", *LATENCY)
    made("new", "--models", "dot", *LATENCY)
    (Path("old") / "checkpoints" / "dot--ce--tiny--s0" / "best.pt").unlink()
    found = read(segbench("compare", "old", "new", "--format", "json"))
    (latency,) = [row for row in found.rows if row.quantity == "latency"]
    assert latency.reason == (
        "timed apart: no anchor was raced along in the baseline and the new run; there is no checkpoint of the baseline to race it again"
    )
    gated = segbench("compare", "old", "new", "--no-retime", "--fail-on", "latency > 5%")
    assert gated.code == 0
    assert "Gate passed, but it could not judge latency > 5%." in gated.out
    assert segbench("compare", "old", "new", "--no-retime", "--fail-on", "latency > 5%", "--strict").code == 1


def test_a_checkpoint_whose_code_has_changed_is_raced_only_on_request(segbench: Any, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segbench.plugin.chosen import SpecCode

    made("old", "--models", "dot", *LATENCY)
    made("new", "--models", "dot", *LATENCY)
    monkeypatch.setattr(SpecCode, "identity", property(lambda code: "segbench-mishaps==2.0"))
    found = read(segbench("compare", "old", "new", "--format", "json"))
    (latency,) = [row for row in found.rows if row.quantity == "latency"]
    assert "the model's code is another one now (segbench-mishaps==1.0 -> segbench-mishaps==2.0)" in latency.reason
    assert latency.verdict == "cannot tell"
    forced = read(segbench("compare", "old", "new", "--format", "json", "--retime", "--rounds", "6", "--margin", "400"))
    (latency,) = [row for row in forced.rows if row.quantity == "latency"]
    assert "a change of the code is not in this figure" in latency.notes[0]


def test_two_races_are_related_by_the_anchor_that_ran_in_both(segbench: Any, made: Any) -> None:
    anchored = (*LATENCY, "--set", "measure.anchor=true")
    made("old", "--models", "dot", *anchored)
    made("new", "--models", "dot", *anchored)
    record = json.loads((Path("new") / "run.json").read_text())
    (entry,) = record["race"]["anchor"]["latency"]
    assert record["race"]["anchor"]["name"] == "anchor-1"
    assert entry["raced"] == record["cells"][0]["deployments"][0]["raced"]
    assert len(entry["rounds_ms"]) == 6
    assert list(record["race"]["contenders"].values()) == [{"model": "dot", "backend": "eager"}], "it is no model"
    for name in ("old", "new"):  # this machine may be a busy one
        document = json.loads((Path(name) / "run.json").read_text())
        document["race"]["disturbances"] = []
        (Path(name) / "run.json").write_text(json.dumps(document))
    found = read(segbench("compare", "old", "new", "--format", "json", "--no-retime", "--margin", "400"))
    (latency,) = [row for row in found.rows if row.quantity == "latency"]
    assert "ratio to anchor-1" in latency.method
    assert latency.low is not None


def test_a_shown_regression_ends_with_one_and_without_conditions_with_zero(segbench: Any, made: Any) -> None:
    made("old")
    made("new", "--models", "dot[width=8]")
    answer = segbench("compare", "old", "new", "--match", "dot=dot[width=8]", "--fail-on", "params > 5%")
    assert answer.code == 1
    assert "Gate not met: params > 5% (dot -> dot[width=8])." in answer.out
    assert segbench("compare", "old", "new", "--match", "dot=dot[width=8]").code == 0
    assert segbench("compare", "old", "new", "--match", "dot=dot[width=8]", "--fail-on", "params > 500%").code == 0


def test_markdown_for_a_pull_request_is_written_to_a_file(segbench: Any, made: Any) -> None:
    made("old")
    answer = segbench("compare", "old", "old/run.json", "--format", "markdown", "--out", "deep/comment.md", "--fail-on", "miou<-1pt")
    assert (answer.code, answer.out) == (0, "")
    text = Path("deep/comment.md").read_text()
    assert text.startswith("### segbench: old → old\n\n**Gate passed: no regression shown by miou\\<-1pt.**") or "Gate passed" in text
    assert "| dot \\| ce \\| tiny | mIoU |" in text
    assert "<details><summary>How</summary>" in text


def test_formats_that_show_one_run_are_refused(segbench: Any, made: Any) -> None:
    made("old")
    answer = segbench("compare", "old", "old", "--format", "csv")
    assert answer.code == 2
    assert "Format 'csv' shows one run; a comparison can be shown as: terminal, markdown, json." in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("old", "nowhere"), "'nowhere' is neither a run nor the name of a baseline. Did you mean"),
        (("old", "empty"), "'empty' holds no run: there is no run.json."),
        (("old", "text.txt"), "'text.txt' is damaged"),
        (("old", "newer"), "has schema version 99; this segbench reads up to"),
        (("old", "other"), "The two runs have no cell in common. The baseline has: dot. The new run has: fragile."),
        (("old", "old", "--fail-on", "latency"), "Write a quantity, < or >, and a signed number with its unit: --fail-on"),
        (("old", "old", "--strict"), "--strict goes with --fail-on"),
        (("old", "old", "--margin", "wide"), "give a percentage from 0 on, as in --margin 5%"),
        (("old", "old", "--margin", "nan"), "give a percentage from 0 on, as in --margin 5%"),
        (("old", "old", "--match", "dot"), "write OLD=NEW, as in --match"),
        (("old", "old", "--out", "empty"), "'empty' is a folder: give --out a file."),
    ],
)
def test_wrong_input_is_one_message_that_says_what_to_do(segbench: Any, synthetic: Path, arguments: tuple[str, ...], message: str) -> None:
    answer = segbench("compare", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


@pytest.fixture
def synthetic(segbench: Any, baselines: Path) -> Path:
    """Runs and what is none, without any training."""

    def put(name: str, text: str) -> None:
        Path(name).mkdir()
        (Path(name) / "run.json").write_text(text)

    cell = {"id": "dot--ce", "model": "dot", "loss": "ce", "params": 5, "status": "ok"}
    put("old", json.dumps({"schema_version": 1, "cells": [cell]}))
    put("other", json.dumps({"schema_version": 1, "cells": [{**cell, "model": "fragile"}]}))
    put("newer", json.dumps({"schema_version": 99}))
    Path("empty").mkdir()
    Path("text.txt").write_text("no run")
    assert segbench("baseline", "save", "nowhere-else", "old").code == 0
    return Path.cwd()


def test_baselines_are_listed_replaced_and_removed(segbench: Any, synthetic: Path, baselines: Path) -> None:
    listed = json.loads(segbench("baseline", "list", "--json").out)["baselines"]
    assert [(row["name"], row["models"], row["checkpoints"]) for row in listed] == [("nowhere-else", ["dot"], False)]
    taken = segbench("baseline", "save", "nowhere-else", "other")
    assert taken.code == 2
    assert "There is a baseline 'nowhere-else' already. Give another name, or --replace it." in taken.err
    assert segbench("baseline", "save", "nowhere-else", "other", "--replace").code == 0
    assert "nowhere-else" in segbench("baseline", "list").out
    assert "fragile" in segbench("baseline", "list").out
    assert segbench("baseline", "remove", "nowhere-else").out == "Removed nowhere-else\n"
    assert "No baselines in" in segbench("baseline", "list").out
    assert segbench("baseline", "remove", "nowhere-else").code == 2
    assert sorted(baselines.iterdir()) == [], "nothing half-made is left"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-x" * 60])
def test_a_name_that_is_no_name_is_refused(segbench: Any, synthetic: Path, name: str) -> None:
    answer = segbench("baseline", "save", "--", name, "old")
    assert answer.code == 2
    assert "is no name for a baseline" in answer.err
    removed = segbench("baseline", "remove", "--", name)
    assert removed.code == 2


def test_a_baseline_in_the_repository_is_a_run_like_any_other(segbench: Any, made: Any) -> None:
    made("old")
    assert segbench("baseline", "save", "main", "old", "--to", "ci").code == 0
    kept = sorted(path.relative_to("ci").as_posix() for path in Path("ci").rglob("*") if path.is_file())
    assert kept == ["main/checkpoints/dot--ce--tiny--s0/best.pt", "main/confusions/dot--ce--tiny--s0.npz", "main/run.json"]
    assert segbench("baseline", "save", "light", "old", "--to", "ci", "--no-checkpoints").code == 0
    assert not list(Path("ci/light").rglob("*.pt"))
    assert read(segbench("compare", "ci/main", "old", "--format", "json")).counts["no difference shown"] >= 4
    assert read(segbench("compare", "main", "light", "--baselines", "ci", "--format", "json")).new.name == "light"


def test_what_a_foreign_run_names_outside_of_its_folder_is_not_copied(segbench: Any, synthetic: Path) -> None:
    Path("secret.npz").write_text("mine")
    cell = {"id": "x", "model": "dot", "status": "ok", "params": 1, "artifacts": {"confusions": "../secret.npz", "best": "../secret.npz"}}
    Path("foreign").mkdir()
    Path("foreign/run.json").write_text(json.dumps({"schema_version": 1, "cells": [cell]}))
    assert segbench("baseline", "save", "foreign", "foreign", "--to", "kept").code == 0
    assert [path.name for path in Path("kept").rglob("*") if path.is_file()] == ["run.json"]


def test_a_comparison_in_which_nothing_is_timed_needs_no_torch(synthetic: Path) -> None:
    program = (
        "import sys\nfrom segbench.cli import main\n"
        "try:\n    main(['compare', 'old', 'old', '--format', 'json'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'torch', 'altair', 'timm'} & set(sys.modules), 'nothing is timed here'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=_without_mishaps())
    assert done.returncode == 0, done.stderr


def _without_mishaps() -> dict[str, str]:
    """The tests' own plugin imports torch as it is loaded."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
