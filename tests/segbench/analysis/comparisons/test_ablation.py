"""Comparisons of an ablation's steps: each model against the one before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segbench.analysis.comparisons import compare_all
from segbench.analysis.statistics.student_t import student_quantile
from segbench.results.records import Ablation, AblationStep, Artifacts, CellResult, Comparison, Deployment, Latency, Quality, RunResult

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


def steps_of(run: RunResult, directory: Path, quantity: str) -> list[Comparison]:
    found = [c for c in compare_all(run, directory) if c.quantity == quantity and "step" in c.context]
    return sorted(found, key=lambda c: c.context["step"])


def test_each_step_is_compared_with_the_step_before(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    miou, latency = steps_of(run, tmp_path, "miou"), steps_of(run, tmp_path, "latency_ms")
    for steps in (miou, latency):
        assert [(c.context["step"], c.baseline, c.subject) for c in steps] == [(n, MODELS[n - 1], MODELS[n]) for n in (1, 2, 3)]
        assert all(c.planned for c in steps)
    assert [c.value for c in miou] == pytest.approx([0.01, 0.0, -0.10 - 0.02 / 3], abs=1e-9)
    # three seeds are few for one of four comparisons: by itself the last step would be a verdict
    assert [c.verdict for c in miou] == ["cannot tell", "no difference shown", "no difference shown"]
    assert miou[2].scope == "the architectures under this recipe"
    assert [c.verdict for c in latency] == ["faster", "no difference shown", "faster"]
    assert [c.value for c in latency] == pytest.approx([0.8, 1.0, 0.5])


def test_a_step_shares_the_error_rate_with_all_pairs(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    last = steps_of(run, tmp_path, "miou")[2]
    # of six pairs one has no interval (all seeds alike): a step; planned are the other two steps and those with the start
    assert last.family is not None
    assert (last.family.planned, last.family.others) == (4, 1)
    rate = 0.8 * 0.05 / 4
    assert last.confidence == pytest.approx(1 - rate)
    # by hand: differences -0.12, -0.07, -0.13
    differences = np.array([-0.12, -0.07, -0.13])
    half = student_quantile(1 - rate / 2, 2) * differences.std(ddof=1) / np.sqrt(3)
    assert (last.low, last.high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=1e-6)
    assert last.p_value is not None
    assert last.p_value < 0.05
    assert last.p_adjusted == pytest.approx(last.p_value * 0.05 / rate)


def test_with_one_seed_the_images_are_what_can_be_resampled(tmp_path: Path) -> None:
    run = walk(seeds=1)
    leave_matrices(run, tmp_path)
    last = steps_of(run, tmp_path, "miou")[2]
    assert (last.scope, last.n) == ("these two checkpoints", 12)


def test_a_pair_has_one_record_whatever_it_is_for(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    for quantity in ("miou", "latency_ms"):
        pairs = [frozenset((c.subject, c.baseline)) for c in compare_all(run, tmp_path) if c.quantity == quantity]
        assert len(pairs) == len(set(pairs)) == 6


def test_a_walk_that_has_not_come_that_far_compares_what_is_there(tmp_path: Path) -> None:
    run = walk(seeds=3)
    leave_matrices(run, tmp_path)
    begun = run.model_copy(update={"cells": [cell for cell in run.cells if cell.model in MODELS[:2]]})
    assert {c.context["step"] for c in steps_of(begun, tmp_path, "latency_ms")} == {1}
    assert steps_of(run.model_copy(update={"ablation": None}), tmp_path, "miou") == []
