"""Several datasets and folds from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench.results.store import load_run

SHAPES = "shapes[size=32,test=2,train=4,val=2]"
INLINE = ("--set", "execute.where=inline")
COMMAND = ("run", "--models", "dot", "--losses", "ce", "--recipe", "tiny", "--device", "cpu", "--out", "out", *INLINE)


def test_each_dataset_is_a_run_of_its_own_and_a_failure_stops_no_other(segbench: Any, tmp_path: Path) -> None:
    mishap = tmp_path / "mishap"
    losses = ("--losses", f"mishap[how=raise,file={str(mishap)!r}]")
    command = (*COMMAND, *losses, "--datasets", f"dots,{SHAPES}", "--limit", "4")
    planned = segbench(*command, "--dry-run")
    assert planned.code == 0, planned.err
    assert "2 runs below" in planned.out
    assert not (tmp_path / "out").exists()

    first = segbench(*command)
    assert first.code == 1
    assert "Not all went well in dots" in first.err
    other = next(path for path in (tmp_path / "out").iterdir() if path.name.startswith("shapes-"))
    assert [load_run(path).cells[0].status for path in (tmp_path / "out" / "dots", other)] == ["failed", "ok"]
    row = load_run(other).cells[0]
    assert (row.limit, row.quality and row.quality.images) == (4, 2)

    again = segbench(*command)
    assert again.code == 0, again.err
    assert again.err.count("kept from before (ok)") == 1
    overview = (tmp_path / "out" / "report.md").read_text()
    assert "Rows left out: a quick try on at most 4 images of each split" in overview
    assert "## Across datasets" not in overview, "there is nothing that may be compared"
    assert segbench("run", "--config", "out/config.toml", "--out", "out", "--dry-run").out.count("done, kept") == 2


def test_folds_are_runs_of_their_own_with_one_overview(segbench: Any, tmp_path: Path) -> None:
    command = (*COMMAND, "--dataset", SHAPES, "--folds", "3")
    answer = segbench(*command)
    assert answer.code == 0, answer.err
    runs = [load_run(tmp_path / "out" / f"fold-{i}-of-3") for i in (1, 2, 3)]
    assert [run.cells[0].fold for run in runs] == ["1/3", "2/3", "3/3"]
    assert sum(run.cells[0].quality.images or 0 for run in runs if run.cells[0].quality) == 6
    assert {run.cells[0].fingerprints["measure"] for run in runs}
    assert any("the declared split 'test' is kept out" in note for note in runs[0].cells[0].notes)
    assert "k = 3 and scored/training = 0.5" in (tmp_path / "out" / "report.md").read_text()

    network = tmp_path / "out" / "fold-1-of-3" / runs[0].cells[0].artifacts.best  # type: ignore[operator]
    scored = segbench("evaluate", "--checkpoint", network, "--dataset", SHAPES, "--set", "eval.split=val", "--out", "seen")
    assert scored.code == 0, scored.err
    quality = load_run(tmp_path / "seen").cells[0].quality
    assert quality is not None
    assert quality.miou is None
    assert quality.training_score is not None, "its folds hold images of val"

    (tmp_path / "out" / "report.md").unlink()
    assert segbench("report", "out").code == 0
    assert "## Over folds" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--datasets", "dots,nothing"), "nothing: Unknown dataset 'nothing'"),
        (("--folds", "3", "--set", "train.split=val"), "train.split = 'val' does not go with folds"),
        (("--folds", "3", "--set", "data.fold=1/3", "--dataset", "dots"), ""),
        (("--folds", "3", "--set", "data.fold=1/4", "--dataset", "dots"), "Both --folds and data.fold"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_runs(segbench: Any, tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    answer = segbench(*COMMAND, *flags, *(() if words else ("--dry-run",)))
    assert answer.code == 2
    assert (words or "Both --folds and data.fold") in answer.err
    assert not (tmp_path / "out").exists()


def test_several_runs_do_not_mix_with_a_single_one(segbench: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    answer = segbench(*COMMAND, "--dataset", "dots", "--folds", "2")
    assert answer.code == 2
    assert "holds a single run" in answer.err
    walk = segbench("ablate", "dot", "dot[width=8]", *COMMAND[3:], "--folds", "2")
    assert walk.code == 2
    assert "A walk is one run on one dataset" in walk.err


@pytest.mark.parametrize("embedded", [True, False])
def test_more_folds_than_images_are_refused_before_anything_is_trained(segbench: Any, tmp_path: Path, embedded: bool) -> None:
    data: tuple[str, ...] = ("--dataset", SHAPES)
    if not embedded:
        for index in range(8):
            for folder, size in (("images", (8, 8, 3)), ("masks", (8, 8))):
                (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
                values = np.random.default_rng(index).integers(0, 2 if folder == "masks" else 255, size)
                Image.fromarray(values.astype(np.uint8)).save(tmp_path / "data" / folder / f"{index}.png")
        data = ("--dataset", "folder", "--data", str(tmp_path / "data"))
    answer = segbench(*COMMAND, *data, "--folds", "9", "--dry-run")
    assert answer.code != 0
    assert "9 folds need at least 9" in answer.err
