"""Comparisons of an ablation's steps: each model against the one before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segbench.analysis.comparisons import compare_all
from segbench.analysis.comparisons.ablation import compare_steps
from segbench.analysis.statistics.timing import holm
from segbench.results.records import Ablation, AblationStep, Artifacts, CellResult, Deployment, Latency, Quality, RunResult

MODELS = ("net", "net[a=1]", "net[a=1,b=1]", "end")
MIOU = {"net": (0.50, 0.52, 0.54), "net[a=1]": (0.51, 0.53, 0.55), "net[a=1,b=1]": (0.52, 0.50, 0.57), "end": (0.40, 0.43, 0.44)}
MS = {"net": 10.0, "net[a=1]": 8.0, "net[a=1,b=1]": 8.0, "end": 4.0}


def cells(seeds: int) -> list[CellResult]:
    made = []
    for model in MODELS:
        entry = Latency(
            batch_size=1, input_size=(8, 8), device="cpu", p50_ms=MS[model], rounds_ms=[[MS[model] * (1 + i % 3 / 50)] for i in range(12)]
        )
        made += [
            CellResult(
                id=f"{model}-{seed}", model=model, loss="ce", dataset="d", recipe="r", seed=seed, status="ok",
                quality=Quality(split="val", images=12, miou=MIOU[model][seed], class_names=["x"]),
                deployments=[Deployment(backend="eager", latency=[entry], raced="noon")],
                fingerprints={"measure": model}, artifacts=Artifacts(confusions=f"{model}-{seed}.npz"),
            )
            for seed in range(seeds)
        ]  # fmt: skip
    return made


def walk(seeds: int) -> RunResult:
    steps = [
        AblationStep(option=option, before="0", after="1", baseline=one, subject=other)
        for option, one, other in zip("abc", MODELS, MODELS[1:], strict=False)
    ]
    return RunResult(cells=cells(seeds), ablation=Ablation(start="net", end="end", steps=steps))


def leave_matrices(run: RunResult, directory: Path) -> None:
    """Twelve images of 1000 pixels of one class, of which each model finds its share, give or take."""
    for cell in run.cells:
        assert cell.quality is not None
        assert cell.quality.miou is not None
        random = np.random.default_rng(len(cell.id))
        hits = np.clip(random.normal(1000 * cell.quality.miou, 5, 12).round().astype(int), 0, 1000)
        matrices = np.array([[[h, 1000 - h], [0, 0]] for h in hits])
        np.savez(directory / f"{cell.id}.npz", ids=np.arange(12).astype(str), matrices=matrices)


def test_each_step_is_compared_with_the_step_before(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    found = compare_steps(run, tmp_path)
    assert [(c.quantity, c.context["step"], c.baseline, c.subject) for c in found] == [
        *(("miou", n, MODELS[n - 1], MODELS[n]) for n in (1, 2, 3)),
        *(("latency_ms", n, MODELS[n - 1], MODELS[n]) for n in (1, 2, 3)),
    ]
    miou, latency = found[:3], found[3:]
    assert [c.value for c in miou] == pytest.approx([0.01, 0.0, -0.10 - 0.02 / 3], abs=1e-9)
    assert [c.verdict for c in miou[1:]] == ["no difference shown", "worse"]
    # by hand: differences -0.12, -0.07, -0.13; t(0.975, 2) = 4.3027
    differences = np.array([-0.12, -0.07, -0.13])
    half = 4.302653 * differences.std(ddof=1) / np.sqrt(3)
    assert (miou[2].low, miou[2].high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=1e-6)
    assert miou[2].scope == "the architectures under this recipe"
    assert [c.verdict for c in latency] == ["faster", "no difference shown", "faster"]
    assert [c.value for c in latency] == pytest.approx([0.8, 1.0, 0.5])
    assert not any(c.headline for c in found)


def test_a_verdict_that_correction_would_lose_says_so(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    miou = [c for c in compare_steps(run, tmp_path) if c.quantity == "miou"]
    known = [c for c in miou if c.p_value is not None]
    assert [c.p_adjusted for c in known] == holm([c.p_value or 0 for c in known])
    last = miou[2]
    assert last.p_value is not None
    assert last.p_value < 0.05
    assert last.p_adjusted is not None
    lost = last.p_adjusted >= 0.05
    assert (last.reason == f"by itself, but not after correction for {len(known)} steps") == lost


def test_with_one_seed_the_images_are_what_can_be_resampled(tmp_path: Path) -> None:
    run = walk(seeds=1)
    leave_matrices(run, tmp_path)
    (last,) = [c for c in compare_steps(run, tmp_path) if c.quantity == "miou" and c.context["step"] == 3]
    assert (last.verdict, last.scope) == ("worse", "these two checkpoints")
    assert [c.context.get("step") for c in compare_all(run, tmp_path)][-6:] == [1, 2, 3, 1, 2, 3]


def test_a_walk_that_has_not_come_that_far_compares_what_is_there(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    begun = run.model_copy(update={"cells": [cell for cell in run.cells if cell.model in MODELS[:2]]})
    assert {c.context["step"] for c in compare_steps(begun, tmp_path)} == {1}
    assert compare_steps(run.model_copy(update={"ablation": None}), tmp_path) == []
