"""What commands print where, and the codes they leave with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segbench.results.records import CellResult, RunResult
from segbench.results.store import load_run

RUN = ("run", "--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", "out", "--set", "execute.where=inline")
MODELS = ("--models", "dot,dot[width=8]")


@pytest.fixture
def finished(segbench: Any, tmp_path: Path) -> Any:
    """A run of two cells, and what it printed."""
    answer = segbench(*RUN, *MODELS, "--losses", "ce")
    assert answer.code == 0, answer.err
    return answer


def test_a_run_is_reported_scored_again_and_grown(segbench: Any, finished: Any, tmp_path: Path) -> None:
    run = load_run(tmp_path / "out")
    assert run.command is not None
    assert "dot[width=8]" in finished.out
    assert "Report: out/report.md" in finished.out
    assert "epoch 1/1" in finished.err
    assert "epoch" not in finished.out.replace("1 epoch", ""), "progress is no result"

    kept = segbench(*RUN, *MODELS, "--losses", "ce")
    assert kept.code == 0
    assert kept.err.count("kept from before (ok)") == 2
    assert kept.out == finished.out

    told = segbench("report", "out", "--format", "json", "--stdout")
    assert (told.code, told.err) == (0, "")
    assert len(json.loads(told.out)["cells"]) == 2
    table = segbench("report", "out", "--format", "csv", "--stdout")
    assert len(table.out.strip().splitlines()) == 3
    assert segbench("report", "out", "--format", "markdown").out == "out/report.md\n"
    assert segbench("report", "out/run.json", "--format", "csv", "--out", "elsewhere").out == "elsewhere/report.csv\n"
    assert "dot[width=8]" in segbench("report", "out", "--format", "terminal").out

    again = segbench("evaluate", "out", "--split", "val", "--device", "cpu", "--json")
    assert again.code == 0, again.err
    cells = [CellResult.model_validate(cell) for cell in json.loads(again.out)["cells"]]
    assert [cell.quality.split for cell in cells if cell.quality] == ["val", "val"]
    assert [cell.quality.images for cell in cells if cell.quality] == [3, 3]
    assert load_run(tmp_path / "out").cells == run.cells, "the run itself is as it was"

    best = tmp_path / "out" / str(run.cells[0].artifacts.best)
    one = segbench("evaluate", "--checkpoint", best, "--dataset", "dots", "--device", "cpu", "--json")
    assert one.code == 0, one.err
    (scored,) = json.loads(one.out)["cells"]
    assert run.cells[0].quality is not None
    assert scored["quality"]["miou"] == pytest.approx(run.cells[0].quality.miou)
    kept = segbench("evaluate", "--checkpoint", best, "--dataset", "dots", "--device", "cpu", "--out", "kept")
    assert "Data: kept/run.json" in kept.out, kept.err
    (told_again,) = load_run(tmp_path / "kept").cells
    assert told_again.quality is not None
    assert told_again.quality.miou == pytest.approx(scored["quality"]["miou"])
    assert "## Results" in (tmp_path / "kept" / "report.md").read_text()
    full = segbench("evaluate", "--checkpoint", best, "--dataset", "dots", "--device", "cpu", "--out", "kept")
    assert (full.code, full.err) == (2, "Error: 'kept' is not empty: give --out a new folder.\n")
    other = segbench("evaluate", "--checkpoint", best, "--dataset", "shapes", "--device", "cpu")
    assert other.code == 2
    assert "was trained on other classes than dataset 'shapes' has" in other.err

    failed = segbench(*RUN, "--models", "dot", "--losses", "mishap[how=raise]")
    assert failed.code == 1
    assert "failed in train: ValueError: the loss [bold]fell[/bold] over" in failed.err
    assert "Traceback" not in failed.err + failed.out
    assert "fell" in failed.out, "the table says why"
    well = segbench(*RUN, "--models", "dot", "--losses", "ce")
    assert well.code == 0, "a row that failed in an earlier matrix is not this command's failure"


def test_several_runs_are_reported_in_one_document(segbench: Any, finished: Any, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "run.json").write_text((tmp_path / "out" / "run.json").read_text())
    told = segbench("report", "out", "again/run.json", "--out", "both")
    assert (told.code, told.out) == (0, "both/report.md\n"), told.err
    assert (tmp_path / "both" / "again" / "report.md").exists()
    assert segbench("report", "out", "again").err == "Error: Several runs in one document need a folder of their own: give --out DIR.\n"
    twice = segbench("report", "out", "out/run.json", "--out", "both")
    assert (twice.code, "folders of the same name" in twice.err) == (2, True)


def test_a_checkpoint_of_another_model_is_refused(segbench: Any, finished: Any, tmp_path: Path) -> None:
    best = next((tmp_path / "out" / "checkpoints").glob("dot--*/best.pt"))
    answer = segbench(*RUN[:-4], "--out", "other", *RUN[-2:], "--models", "deeplab-optimized", "--set", f"train.init_from={best}")
    assert answer.code in (1, 2)
    assert "best.pt" in answer.err
    assert "Traceback" not in answer.err


def test_the_plan_can_be_looked_at_first(segbench: Any, tmp_path: Path) -> None:
    answer = segbench(*RUN, *MODELS, "--losses", "ce,focal", "--seeds", "0,1", "--dry-run")
    assert answer.code == 0
    assert answer.out.startswith("8 cells on dots:\n")
    assert not (tmp_path / "out").exists()


def test_the_plan_says_what_is_there_already_and_what_would_be_lost(segbench: Any, finished: Any, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    again = segbench(*RUN, *MODELS, "--dry-run")
    assert again.code == 0, again.err
    assert again.out.count("(done, kept)") == len(again.out.splitlines()) - 1 > 0
    changed = segbench(*RUN, *MODELS, "--set", "train.lr=0.0123", "--dry-run")
    assert "re-run: train.lr" in changed.out
    assert "-> 0.0123" in changed.out
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before


def test_a_profile_prints_json_and_nothing_else(segbench: Any, tmp_path: Path) -> None:
    answer = segbench(
        "profile", "--models", "dot,fragile", "--input-size", "16x24", "--num-classes", "5", "--no-latency", "--json", "--device", "cpu"
    )
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert list(document) == ["cells"]
    assert set(document["cells"][0]) == set(CellResult.model_fields)
    cell = document["cells"][0]
    assert cell["params"] == 3 * 4 * 9 + 4 + 4 * 5 + 5
    assert cell["macs"] == 16 * 24 * (3 * 4 * 9 + 4 * 5)
    assert cell["flops"] == 2 * cell["macs"]
    assert cell["input_shape"] == [[1, 3, 16, 24]]
    assert (cell["training"], cell["quality"], cell["loss"], cell["seed"]) == (None, None, None, None)
    assert list(tmp_path.iterdir()) == [], "a profile leaves nothing behind"


def test_a_profile_can_be_kept_and_reported(segbench: Any, tmp_path: Path) -> None:
    asked = ("profile", "--models", "dot", "--input-size", "16", "--no-latency", "--device", "cpu", "--out", "kept")
    told = segbench(*asked)
    assert told.out.endswith("Report: kept/report.md\nData:   kept/run.json\n"), told.err
    assert load_run(tmp_path / "kept").cells[0].params is not None
    assert "## Results" in (tmp_path / "kept" / "report.md").read_text()
    again = segbench(*asked)
    assert (again.code, again.err) == (2, "Error: 'kept' is not empty: give --out a new folder.\n")


def test_a_profile_races_what_it_measures(segbench: Any) -> None:
    answer = segbench(
        *("profile", "--models", "dot,fragile[crash_at=3]", "--input-size", "16", "--device", "cpu", "--json"),
        *("--rounds", "2", "--batch-size", "3", "--threads", "1"),
    )
    cells = [CellResult.model_validate(cell) for cell in json.loads(answer.out)["cells"]]
    whole, broken = (cell.deployments[0] for cell in cells)
    assert whole.error is None
    assert [latency.batch_size for latency in whole.latency] == [1, 3]
    assert {latency.threads for latency in whole.latency} == {1}
    assert all(latency.p50_ms and latency.samples_ms and len(latency.rounds_ms) == 2 for latency in whole.latency)
    assert whole.memory_mb is not None
    assert [latency.batch_size for latency in broken.latency] == [1], "what was measured before it crashed is kept"
    assert broken.error is not None
    assert "its process ended" in broken.error


@pytest.mark.parametrize("kind", ["models", "losses", "datasets", "backends", "recipes", "reporters", "converters", "claims", "plugins"])
def test_lists_are_json_with_provenance(segbench: Any, kind: str) -> None:
    answer = segbench("list", kind, "--json")
    assert (answer.code, answer.err) == (0, "")
    rows = json.loads(answer.out)
    assert rows
    assert all({"name", "summary", "version"} <= set(row) for row in rows)


def test_a_list_tells_options_as_they_are_typed(segbench: Any) -> None:
    answer = segbench("list", "models", "dot")
    assert re.search(r"width=4 +channels  \(a whole number\)", answer.out)
    assert "weights=none" in answer.out


def test_readings_of_one_claim_are_listed_apart_and_counted_once(segbench: Any) -> None:
    readings = segbench("list", "claims").out.splitlines()
    assert [line.partition("  ")[2].strip() for line in readings if line.startswith("deeplab/mobile-app")] == [
        f"for a mobile app: must be, and is, below 10 MB, read as MB of {unit} bytes" for unit in ("2^20", "10^6")
    ]
    others = sum(bool(row["reading_of"]) for row in json.loads(segbench("list", "claims", "--json").out))
    assert others
    assert f"{len(readings) - others} claims" in segbench("list", "plugins").out


def test_a_half_finished_run_is_reported(segbench: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "cells").mkdir(parents=True)
    row = CellResult(id="a", model="dot", loss="ce", dataset="dots", status="ok", params=122)
    (tmp_path / "out" / "cells" / "a.json").write_text(row.model_dump_json())
    (tmp_path / "out" / "run.json").write_text(RunResult(cells=[row]).model_dump_json()[:50])
    answer = segbench("report", "out", "--format", "markdown", "--stdout")
    assert answer.code == 0, answer.err
    assert "rebuilt from the finished cells" in answer.out
    assert "dot" in segbench("report", "out", "--format", "terminal").out


def test_text_is_shown_on_any_stream(segbench: Any, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, columns in (("ascii", "20"), ("latin-1", "160")):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        monkeypatch.setenv("COLUMNS", columns)
        shown = subprocess.run(
            [sys.executable, "-m", "segbench", "report", "out", "--format", "terminal"], cwd=tmp_path, capture_output=True, check=True
        )
        assert shown.stderr == b""
        assert b"dot" in shown.stdout
    assert "1 epoch · batch 4" in shown.stdout.decode("latin-1"), "click itself writes UTF-8 where a stream claims to be ASCII"


def test_a_reader_that_goes_away_is_no_error(mishaps: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m segbench list claims --json | head -c 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[0\n"
    assert done.stderr == ""


def test_help_and_lists_load_no_torch() -> None:
    code = "import sys; from segbench.cli import main\ntry: main({})\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    for arguments in (["--help"], ["run", "--help"], ["list", "models"]):
        done = subprocess.run([sys.executable, "-c", code.format(arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        assert done.stdout
