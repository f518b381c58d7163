"""``segbench publish``: what stands in the folder afterwards, and what is refused before anything is written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench import CellResult, RunResult

pytest.importorskip("jinja2", reason="sites need the report extra")
pytest.importorskip("vl_convert", reason="sites need the report extra")

WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """A run's directory with one scored cell."""

    def write(name: str, *, miou: float = 0.5, model: str = "unet", **changes: Any) -> Path:
        quality = {"split": "test", "images": 4, "miou": miou, "class_names": ["a", "b"], "label_pixels_per_class": [5, 7]}
        cell = {"id": "a", "model": model, "dataset": "shapes", "status": "ok", "params": 1000, "quality": quality}
        run = RunResult(cells=[CellResult.model_validate(cell)], environment={"started": "2026-11-01T10:00:00+00:00"}, **changes)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(run.model_dump_json())
        return folder

    return write


def _files(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_site_holds_index_leaderboard_reports_data_and_badges(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    write_run("one")
    write_run("two", miou=0.6)
    answer = segbench("publish", "one", "two/run.json", "--out", "site")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("site/index.html: 2 runs; ")
    files = set(_files(tmp_path / "site"))
    assert {f"runs/{name}/{file}" for name in ("one", "two") for file in ("index.html", "run.json", "cells.csv", "tables.tex")} <= files
    assert {
        ".nojekyll", "index.html", "badges.html", "site.json",
        "leaderboards/shapes.html", "badges/one/unet-miou.json",
    } <= files  # fmt: skip
    assert 'href="../../index.html"' in (tmp_path / "site/runs/one/index.html").read_text()
    assert RunResult.model_validate_json((tmp_path / "site/runs/two/run.json").read_bytes()).cells[0].quality
    assert len(list(tmp_path.iterdir())) == 3, "nothing is left beside the site"


def test_the_same_command_changes_nothing_and_another_renews_the_site(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    write_run("one")
    write_run("two")
    assert segbench("publish", "one", "two").code == 0
    (tmp_path / "site" / ".git").mkdir()
    (tmp_path / "site" / ".git" / "HEAD").write_text("ref")
    (tmp_path / "site" / "CNAME").write_text("bench.example")
    before = _files(tmp_path / "site")
    assert segbench("publish", "one", "two").out == "site/index.html: 2 runs; 0 files written, 0 removed\n"
    assert _files(tmp_path / "site") == before

    assert segbench("publish", "two").code == 0
    after = set(_files(tmp_path / "site"))
    assert not [name for name in after if "one" in name]
    assert not (tmp_path / "site/runs/one").exists()
    assert {".git/HEAD", "CNAME", "runs/two/index.html"} <= after


def test_runs_that_are_kept_stay_as_they_are(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    first = write_run("one")
    assert segbench("publish", "one").code == 0
    report = (tmp_path / "site/runs/one/index.html").read_bytes()
    (first / "run.json").unlink()
    write_run("two", miou=0.7)
    answer = segbench("publish", "two", "--keep")
    assert answer.code == 0, answer.err
    assert "2 runs (1 kept from before)" in answer.out
    assert (tmp_path / "site/runs/one/index.html").read_bytes() == report
    board = (tmp_path / "site/leaderboards/shapes.html").read_text()
    assert board.index("70.0") < board.index("50.0")


def test_runs_in_folders_of_one_name_get_names_of_their_own(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    for name in ("a/run", "b/run", "B/Run", "weird & <name>"):
        write_run(name)
    answer = segbench("publish", "a/run", "b/run", "B/Run", "a/run", "weird & <name>")
    assert answer.code == 0, answer.err
    names = sorted(folder.name for folder in (tmp_path / "site/runs").iterdir())
    assert len(names) == 4
    assert {"run", "b-run", "B-Run-2"} < set(names)
    assert "<name>" not in "".join(names)


def test_a_half_finished_run_is_published_and_says_so(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    write_run("one", complete=False)
    answer = segbench("publish", "one")
    assert (answer.code, "one is not finished" in answer.err) == (0, True)
    assert "This run is incomplete" in (tmp_path / "site/index.html").read_text()


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (lambda folder: (folder / "run.json").write_text('{"schema_version": 99, "cells": []}'), "schema version 99"),
        (lambda folder: (folder / "run.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "run.json").unlink(), "holds no run"),
    ],
    ids=["newer", "damaged", "missing"],
)
def test_a_run_that_cannot_be_read_stops_it_before_anything_is_written(
    break_: Callable[[Path], object], said: str, segbench: Any, write_run: WriteRun, tmp_path: Path
) -> None:
    write_run("good")
    break_(write_run("bad"))
    answer = segbench("publish", "good", "bad")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "bad" in answer.err
    assert not (tmp_path / "site").exists()


def test_a_folder_that_holds_something_else_is_refused(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    write_run("one")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.docx").write_text("years of work")
    answer = segbench("publish", "one")
    assert answer.code == 2
    assert "holds something else than a site of segbench (thesis.docx). Choose an empty --out DIR." in answer.err
    (tmp_path / "site" / "site.json").write_text('{"generator": "another tool"}')
    assert segbench("publish", "one").code == 2
    (tmp_path / "file").write_text("")
    assert segbench("publish", "one", "--out", "file").err.startswith("Error: '")
    assert _files(tmp_path / "site").keys() == {"thesis.docx", "site.json"}


def test_a_list_of_files_that_was_tampered_with_removes_nothing_outside(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    write_run("one")
    assert segbench("publish", "one").code == 0
    (tmp_path / "precious").write_text("x")
    manifest = json.loads((tmp_path / "site/site.json").read_text())
    manifest["files"] += ["../precious", str(tmp_path / "precious")]
    (tmp_path / "site/site.json").write_text(json.dumps(manifest))
    assert segbench("publish", "one").code == 0
    assert (tmp_path / "precious").read_text() == "x"


def test_a_failure_while_rendering_leaves_the_old_site(
    segbench: Any, write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run("one")
    assert segbench("publish", "one").code == 0
    before = _files(tmp_path / "site")
    write_run("two")

    def fail(*_: object) -> str:
        raise RuntimeError("no")

    monkeypatch.setattr("segbench_reports.site.pages._leaderboard_page", fail)
    assert segbench("publish", "one", "two").code == 1
    assert _files(tmp_path / "site") == before


def test_what_cannot_be_meant_is_refused(segbench: Any, write_run: WriteRun) -> None:
    write_run("one")
    assert "is no address of a site" in segbench("publish", "one", "--url", "bench.example").err
    assert "formats that do: html" in segbench("publish", "one", "--format", "csv").err
    assert segbench("publish").code == 2


def test_the_workflow_to_copy_calls_commands_that_exist(segbench: Any, write_run: WriteRun, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with other packages")
    text = (Path(__file__).parents[3] / "docs" / "segbench-pages.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "segbench " in step.get("run", "")]
    write_run("results/one")
    for command in commands:
        call = command.partition("segbench ")[2].partition(";")[0]
        for shown, meant in (
            ("results/*/", "results/one"),
            ("$run", "results/one"),
            ("${{ steps.pages.outputs.base_url }}", "https://a.b"),
        ):
            call = call.replace(shown, meant)
        words = shlex.split(call)
        if words[0] in ("schema", "publish"):
            answer = segbench(*words)
            assert answer.code == 0, answer.err
    assert (tmp_path / "site" / "index.html").exists()
