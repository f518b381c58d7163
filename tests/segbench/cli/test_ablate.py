"""``segbench ablate``: an ordinary run of the models on the way, which can be stopped and continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.execution.plan.ablation import models_of
from segbench.results.store import load_run

FLAGS = ("--dataset", "dots", "--recipe", "tiny", "--losses", "ce", "--device", "cpu", "--out", "out", "--set", "execute.where=inline")
QUICK = ("--set", "measure.latency=false", "--set", "measure.memory=false")


def test_the_walk_is_planned_run_kept_and_continued(segbench: Any, tmp_path: Path) -> None:
    walk = ("ablate", "fragile", "fragile[above=99,width=8]", *FLAGS, *QUICK)
    planned = segbench(*walk, "--dry-run")
    assert planned.code == 0, planned.err
    assert [line.split("--")[0].strip()[:16] for line in planned.out.splitlines()[1:]] == [
        "fragile",
        "fragile-width-8-",
        "fragile-above-99",
    ]
    assert not (tmp_path / "out").exists()

    began = segbench("run", "--models", "fragile", *FLAGS, *QUICK)
    assert began.code == 0, began.err
    assert load_run(tmp_path / "out").ablation is None
    walked = segbench(*walk)
    assert walked.code == 0, walked.err
    assert walked.err.count("kept from before (ok)") == 1, "what the walk shares with an earlier run is not run again"
    run = load_run(tmp_path / "out")
    assert run.ablation is not None
    assert models_of(run.ablation) == ("fragile", "fragile[width=8]", "fragile[above=99,width=8]")
    assert [cell.model for cell in run.cells] == list(models_of(run.ablation))

    again = segbench(*walk)
    assert again.err.count("kept from before (ok)") == 3
    assert segbench("run", "--models", "fragile", *FLAGS, *QUICK).code == 0
    assert load_run(tmp_path / "out").ablation == run.ablation, "a command that runs a part of the walk leaves it in the report"


def test_other_orders_and_what_cannot_be_walked(segbench: Any) -> None:
    planned = segbench("ablate", "fragile", "fragile[above=99,width=8]", *FLAGS, "--order", "above, width", "--dry-run")
    assert "fragile-above-99-" in planned.out.splitlines()[2]
    assert "fragile-width" not in planned.out
    refused = segbench("ablate", "dot", "fragile", *FLAGS)
    assert refused.code == 2
    assert refused.err.startswith("Error: There is no walk from dot to fragile: they are different networks. No step can change above")
    assert refused.err.count("\n") == 1
    assert segbench("ablate", "dot").code == 2
