"""Deployed forms against eager mode: paired images, one family, and what cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.comparisons import compare_forms, with_comparisons
from segbench.analysis.statistics.bootstrap import miou_columns, miou_difference, miou_of
from segbench.results.records import CellResult, Comparison, Deployment, Quality, RunResult

Counts = npt.NDArray[np.int64]
CLASSES = ["ground", "water", "rare"]


def matrices(right: float, *, images: int = 40, seed: int = 1, noise: float = 0.03) -> Counts:
    """Per-image matrices (n, 3, 3) of the same labels, where about that share of each class's pixels is right."""
    labels = np.random.default_rng(0).integers(200, 400, (images, 3))
    share = np.clip(right + np.random.default_rng(seed).normal(0, noise, labels.shape), 0, 1)
    hits = (labels * share).astype(np.int64)
    counted = np.zeros((images, 3, 3), dtype=np.int64)
    for k in range(3):
        counted[:, k, k] = hits[:, k]
        counted[:, k, (k + 1) % 3] = labels[:, k] - hits[:, k]
    return counted


def quality_of(counted: Counts) -> Quality:
    miou = float(miou_of(miou_columns(counted).sum(axis=0).astype(np.float64)))
    return Quality(split="val", images=len(counted), miou=miou, class_names=CLASSES)


class Directory:
    """A run's directory in the making: cells with their forms, and the matrices of both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: list[CellResult] = []
        (path / "confusions").mkdir()

    def add(self, model: str, eager: Counts, forms: dict[str, Counts | None], *, seed: int = 0) -> None:
        """A cell; the matrices of its forms by backend, None where they were not kept."""
        name = f"{model}-s{seed}"
        deployments = [Deployment(backend="eager")]
        for backend, counted in forms.items():
            kept = None if counted is None else self._save(f"{name}--{backend}", counted)
            deployments.append(Deployment(backend=backend, quality=quality_of(eager if counted is None else counted), confusions=kept))
        self._save(name, eager)
        values: dict[str, Any] = {"loss": "ce", "recipe": "smoke", "status": "ok", "quality": quality_of(eager)}
        self.cells.append(CellResult(id=name, model=model, seed=seed, deployments=deployments, **values))

    def _save(self, name: str, counted: Counts) -> str:
        np.savez(self.path / "confusions" / f"{name}.npz", ids=np.array([f"i{n}" for n in range(len(counted))]), matrices=counted)
        return f"confusions/{name}.npz"

    def compare(self) -> list[Comparison]:
        return compare_forms(RunResult(cells=self.cells), self.path)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_a_single_form_has_the_paired_interval_of_the_same_images(directory: Directory) -> None:
    eager, int8 = matrices(0.8), matrices(0.75, seed=2)
    directory.add("small", eager, {"file": int8})
    (one,) = directory.compare()
    alone = miou_difference(int8, eager)
    assert (one.quantity, one.subject, one.baseline, one.subject_backend, one.baseline_backend) == (
        "miou",
        "small",
        "small",
        "file",
        "eager",
    )
    assert (one.value, one.low, one.high, one.p_value) == pytest.approx((alone.value, alone.low, alone.high, alone.p_value))
    assert (one.verdict, one.scope, one.n, one.confidence, one.headline) == ("worse", "this checkpoint", 40, 0.95, False)
    assert one.p_adjusted == one.p_value


def test_a_pair_shares_its_images_so_that_a_small_loss_is_seen(directory: Directory) -> None:
    """The images differ by far more than the two forms do."""
    eager = matrices(0.8, noise=0.15)
    worse = eager.copy()
    moved = eager[:, 0, 0] // 100
    worse[:, 0, 0] -= moved
    worse[:, 0, 1] += moved
    directory.add("small", eager, {"file": worse})
    (one,) = directory.compare()
    assert one.verdict == "worse"
    assert one.high is not None
    assert -0.01 < one.high < 0


def test_all_forms_of_a_run_are_one_family(directory: Directory) -> None:
    eager, int8 = matrices(0.8), matrices(0.75, seed=2)
    directory.add("small", eager, {"file": int8, "twin": eager})
    directory.add("large", matrices(0.9), {"file": matrices(0.9, seed=3), "lost": None})
    by_name = {(c.subject, c.subject_backend): c for c in directory.compare()}
    one = by_name["small", "file"]
    alone = miou_difference(int8, eager)
    (bound,) = alone.bounds
    assert one.confidence == pytest.approx(1 - 0.05 / 3), "those without an interval are no members"
    assert one.low == pytest.approx(alone.value - bound.below * bound.stretch(1 - 0.05 / 3))
    assert one.p_value == pytest.approx(alone.p_value)
    assert one.p_adjusted == pytest.approx(min(1.0, 3 * (alone.p_value or 0.0)))
    twin = by_name["small", "twin"]
    assert (twin.value, twin.low, twin.high, twin.verdict, twin.p_adjusted) == (0.0, 0.0, 0.0, "no difference shown", 1.0)
    lost = by_name["large", "lost"]
    assert (lost.verdict, lost.low, lost.value) == ("cannot tell", None, None)
    assert lost.reason == "the confusion matrices of this form's images were not kept: deploy it again"


def test_over_seeds_the_differences_are_averaged(directory: Directory) -> None:
    sides = [(matrices(0.8, seed=s), matrices(0.8 - 0.02 * s, seed=s + 5)) for s in range(2)]
    for seed, (eager, form) in enumerate(sides):
        directory.add("small", eager, {"file": form}, seed=seed)
    (one,) = directory.compare()
    assert one.value == pytest.approx(np.mean([miou_difference(form, eager).value for eager, form in sides]))
    assert (one.scope, one.context["seeds"]) == ("these 2 checkpoints", [0, 1])
    assert one.subject_cells == one.baseline_cells == ["small-s0", "small-s1"]


def test_other_images_and_too_few_of_them_cannot_tell(directory: Directory) -> None:
    directory.add("small", matrices(0.8), {"file": matrices(0.7, images=39)})
    directory.add("large", matrices(0.8, images=9), {"file": matrices(0.7, images=9)})
    other, few = directory.compare()
    assert (other.verdict, other.reason) == ("cannot tell", "scored on different images: small-s0 as file on 39, small-s0 on 40")
    assert (few.verdict, few.reason) == ("cannot tell", "9 images are too few for an interval: at least 10")
    assert few.value is not None


def test_equal_forms_give_a_false_verdict_in_few_families(directory: Directory) -> None:
    """Seven forms that are as good as eager: at most 5 % of the families have a false verdict, up to the error of 40 of them."""
    random = np.random.default_rng(3)
    false = 0
    for trial in range(40):
        seeds = random.integers(1_000_000, size=8)
        directory.cells.clear()
        eager = matrices(0.8, seed=int(seeds[0]))
        directory.add(f"m{trial}", eager, {f"form{n}": matrices(0.8, seed=int(s)) for n, s in enumerate(seeds[1:])})
        compared = compare_forms(RunResult(cells=directory.cells), directory.path, resamples=400)
        false += any(c.verdict in ("better", "worse") for c in compared)
    assert false <= 6


def test_a_run_has_them_among_its_comparisons(directory: Directory) -> None:
    directory.add("small", matrices(0.8), {"file": matrices(0.7, seed=2)})
    compared = with_comparisons(RunResult(cells=directory.cells), directory.path).comparisons
    assert [(c.subject_backend, c.baseline_backend, c.verdict) for c in compared] == [("file", "eager", "worse")]


def test_a_form_of_a_network_that_predicts_one_class_keeps_nothing(directory: Directory) -> None:
    counted = matrices(0.8)
    only = np.zeros_like(counted)
    only[:, :, 0] = counted.sum(axis=2)
    directory.add("small", only, {"file": only})
    (cell,) = directory.cells
    assert cell.quality is not None
    recalled = cell.quality.model_copy(update={"recall_per_class": [1.0, 0.0, 0.0]})
    directory.cells[0] = cell.model_copy(update={"quality": recalled})
    (found,) = directory.compare()
    assert (found.verdict, found.reason) == ("cannot tell", "both sides predict one class only: ground")
