from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.networks.load import load_network
from segbench.networks.network import deploy
from segbench.plugin.registry import Catalog, load_catalog

INLINE = ["execute.where=inline"]
MODELS = 'ensemble[of=(dot,"dot[width=8]")],dot,dot[width=8]'


def network(run: Path, cell: str) -> Any:
    return deploy(load_network(run / "checkpoints" / cell / "best.pt", load_catalog()).network)


def test_an_ensemble_averages_probabilities_and_costs_the_sum(bench: Any) -> None:
    first, second, both = bench.run(models=MODELS, sets=INLINE).cells
    assert (both.kind, both.needs, both.status) == ("ensemble", [first.id, second.id], "ok")
    assert (both.params, both.macs) == (first.params + second.params, first.macs + second.macs)
    assert both.quality is not None
    assert both.training.epochs_run == 0
    assert "ensemble of dot, dot[width=8]" in both.notes
    assert sum(both.params_per_part.values()) == both.params
    image = torch.randn(2, 3, 16, 20)
    with torch.inference_mode():
        logits = network(bench.directory, both.id)(image)
        expected = (network(bench.directory, first.id)(image).softmax(1) + network(bench.directory, second.id)(image).softmax(1)) / 2
    torch.testing.assert_close(logits.softmax(1), expected)
    assert "ensemble of dot, " in (bench.directory / "report.md").read_text()


def test_its_checkpoint_needs_no_member_and_is_read_by_a_fresh_process(bench: Any, mishaps_folder: Path) -> None:
    *members, both = bench.run(models=MODELS, sets=INLINE).cells
    for member in members:
        (bench.directory / "checkpoints" / member.id / "best.pt").unlink()
    file = bench.directory / "checkpoints" / both.id / "best.pt"
    code = (
        "import sys, torch; from pathlib import Path; from segbench.plugin.registry import load_catalog; "
        "from segbench.networks.load import load_network; "
        "n = load_network(Path(sys.argv[1]), load_catalog()).network; torch.manual_seed(0); "
        "print(float(n(torch.randn(1, 3, 16, 16))['logits'].sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    torch.manual_seed(0)
    own = load_network(file, load_catalog()).network(torch.randn(1, 3, 16, 16))["logits"].sum().item()
    assert float(done.stdout) == pytest.approx(own, rel=1e-5)


def test_a_failed_member_costs_the_ensemble_with_a_reason_and_nothing_else(bench: Any, tmp_path: Path) -> None:
    losses = f'mishap[how=raise,file="{tmp_path}/fell"]'  # once only
    first, second, both = bench.run(models=MODELS, losses=losses, sets=INLINE).cells
    assert [row.status for row in (first, second, both)] == ["failed", "ok", "skipped"]
    assert both.error is not None
    assert both.error.message == f"{first.id}, which it is made from, is failed"
    assert "Mend that cell" in (bench.directory / "report.md").read_text()
    # once the member is there, the ensemble is made without training the other again
    bench.run(models=MODELS, losses=losses, sets=INLINE)
    assert {cell: stages[-2:] for cell, stages in bench.heard.stages.items()} == {
        first.id: ("train", "evaluate"),
        both.id: ("train", "evaluate"),
    }
    assert {row.status for row in bench.run(models=MODELS, losses=losses, sets=INLINE).cells} == {"ok"}


def test_members_that_are_trained_again_make_it_anew(bench: Any) -> None:
    bench.run(models=MODELS, sets=INLINE)
    bench.run(models=MODELS, sets=INLINE)
    assert bench.heard.stages == {}
    bench.run(models=MODELS, sets=[*INLINE, "train.lr=0.02"])
    assert len(bench.heard.stages) == 3


def test_members_may_lie_in_other_runs(bench: Any, tmp_path: Path) -> None:
    cells = bench.run(models="dot,dot[width=8]", sets=INLINE).cells
    of = ",".join(f'"{bench.directory}/{cell.id}"' for cell in cells)
    (row,) = bench.run(models=f"ensemble[of=({of})]", out=str(tmp_path / "both"), sets=INLINE).cells
    assert (row.status, row.params, row.needs) == ("ok", sum(cell.params for cell in cells), [])


def test_a_plan_is_ordered_and_says_what_comes_first(segbench: Any) -> None:
    said = segbench("run", "--models", MODELS, "--dataset", "dots", "--recipe", "tiny", "--dry-run")
    lines = [line.strip() for line in said.out.splitlines()[1:]]
    assert [line.split("-")[0] for line in lines] == ["dot", "dot", "ensemble"]
    assert lines[2].endswith(f"(after {lines[0]}, {lines[1]})")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("ensemble[of=(dot)],dot", "'ensemble' is made of at least 2 models"),
        ("ensemble,dot", "'ensemble' is made of at least 2 models"),
        ("ensemble[of=(dot,dots)],dot", "Unknown model 'dots'. Did you mean 'dot'"),
        ("ensemble[of=(dot,fragile)],dot", "there is no such model in this run"),
        ("ensemble[of=(dot,dot-pair)],dot", "Choose models with the same inputs"),
    ],
)
def test_what_cannot_go_together_is_refused(segbench: Any, models: str, message: str) -> None:
    said = segbench("run", "--models", models, "--dataset", "dots", "--recipe", "tiny", "--out", "out")
    assert said.code == 2
    assert message in said.err
    assert f"'{models.removesuffix(',dot')}'?" not in said.err, "what was typed is no suggestion"


def test_members_of_other_classes_are_refused(bench: Any, segbench: Any) -> None:
    cells = bench.run(models="dot,dot[width=8]", sets=INLINE).cells
    of = ",".join(f'"{bench.directory}/{cell.id}"' for cell in cells)
    said = segbench("run", "--models", f"ensemble[of=({of})]", "--dataset", "shapes", "--recipe", "tiny", "--out", "out")
    assert said.code == 2
    assert "was trained for another task: 2 classes" in said.err


def test_it_is_profiled_and_checked_with_fresh_weights(mishaps: Catalog, segbench: Any) -> None:
    def failed(model: str) -> list[str]:
        return [line.split()[1] for line in segbench("check", model).out.splitlines() if line.startswith("FAILED")]

    whole = failed(MODELS.partition("],")[0] + "]")
    assert whole == failed("dot") == ["head_holds_all_that_depends_on_classes"], "whatever a member fails, and nothing else"
    assert "Check the loss inside it" in segbench("check", "distill").err
    assert "write ensemble[of=" in segbench("check", "ensemble").err


def test_heads_and_parts_of_members_are_found_below_them(mishaps: Catalog) -> None:
    spec = mishaps.model("ensemble[of=(deeplab-original,deeplab-optimized)]").spec
    assert spec.head == ("members.0.network.model.head.", "members.1.network.model.head.")
    assert spec.parts == {"1: deeplab-original": ("members.0.",), "2: deeplab-optimized": ("members.1.",)}
    assert spec.channels == mishaps.model("deeplab-original").spec.channels
