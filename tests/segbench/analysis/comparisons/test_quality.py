"""Verdicts between models: which interval, about what, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.comparisons import compare_all, compare_quality, summarise_seeds, with_comparisons
from segbench.analysis.statistics.bootstrap import miou_difference
from segbench.measure.quality.boundary import boundary_iou
from segbench.measure.quality.scores import score
from segbench.results.records import CellResult, Comparison, RunResult

Counts = npt.NDArray[np.int64]
NAMES = ("ground", "water", "rare")
IMAGES = 40


def labels(images: int = IMAGES, seed: int = 0) -> Counts:
    """Label pixels of each image and class."""
    return np.random.default_rng(seed).integers(200, 400, (images, 3))


def matrices(right: float, *, seed: int = 1, of: Counts | None = None) -> Counts:
    """Per-image matrices where about that share of each class's pixels is right."""
    pixels = labels() if of is None else of
    noise = np.random.default_rng(seed).normal(0, 0.03, pixels.shape)
    hits = (pixels * np.clip(right + noise, 0, 1)).astype(np.int64)
    found = np.zeros((len(pixels), 3, 3), dtype=np.int64)
    for k in range(3):
        found[:, k, k] = hits[:, k]
        found[:, k, (k + 1) % 3] = pixels[:, k] - hits[:, k]
    return found


class Bench:
    """A run's directory in the making."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cells: list[CellResult] = []

    def add(
        self,
        model: str,
        counted: Counts,
        seed: int = 0,
        *,
        ids: Sequence[str] | None = None,
        boundary: Counts | None = None,
        groups: Sequence[str] | None = None,
        trained_on: bool = False,
        **changes: Any,
    ) -> CellResult:
        name = f"{model}-{changes.get('loss', 'ce')}-s{seed}"
        named = ids or [f"image-{i}" for i in range(len(counted))]
        further = {"boundary": boundary, "groups": None if groups is None else np.array(groups)}
        kept: dict[str, Any] = {"ids": np.array(named), "matrices": counted, **{k: v for k, v in further.items() if v is not None}}
        (self.directory / "confusions").mkdir(exist_ok=True)
        np.savez_compressed(self.directory / "confusions" / f"{name}.npz", **kept)
        quality = score(counted, class_names=NAMES, split="val", headline="water", trained_on=trained_on, boundary=boundary)
        values = {"id": name, "model": model, "loss": "ce", "recipe": "smoke", "seed": seed, "status": "ok", "quality": quality, **changes}
        cell = CellResult.model_validate(values | {"artifacts": {"confusions": f"confusions/{name}.npz"}})
        self.cells.append(cell)
        return cell

    @property
    def run(self) -> RunResult:
        return RunResult(cells=self.cells)

    def compare(self, quantity: str = "miou", *, headline: bool = True) -> list[Comparison]:
        return [c for c in compare_quality(self.run, self.directory) if c.quantity == quantity and c.headline is headline]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def miou(counted: Counts) -> float:
    found = score(counted, class_names=NAMES, split="").miou
    assert found is not None
    return found


def test_one_seed_is_a_paired_bootstrap_over_images_about_these_checkpoints(bench: Bench) -> None:
    strong, weak = matrices(0.8, seed=1), matrices(0.7, seed=2)
    bench.add("first", weak)
    bench.add("second", strong)
    (found,) = bench.compare()
    expected = miou_difference(strong, weak)
    assert (found.subject, found.baseline, found.verdict) == ("second", "first", "better")
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.value == pytest.approx(miou(strong) - miou(weak))
    assert found.scope == "these two checkpoints"
    assert found.method == "paired bootstrap over 40 images, percentiles of 5000 resamples"
    assert (found.n, found.confidence) == (40, 0.95)
    assert found.context == {"dataset": None, "loss": "ce", "recipe": "smoke", "settings": {}, "split": "val", "seeds": [0]}


def test_two_seeds_are_pooled_and_still_about_checkpoints(bench: Bench) -> None:
    for seed in (0, 1):
        bench.add("first", matrices(0.7, seed=10 + seed), seed)
        bench.add("second", matrices(0.8, seed=20 + seed), seed)
    (found,) = bench.compare()
    differences = [miou(matrices(0.8, seed=20 + s)) - miou(matrices(0.7, seed=10 + s)) for s in (0, 1)]
    assert found.value == pytest.approx(sum(differences) / 2)
    assert found.scope == "these 4 checkpoints"
    assert "mean of the differences of 2 seeds" in found.method
    assert found.subject_cells == ["second-ce-s0", "second-ce-s1"]


def test_three_seeds_are_a_t_interval_of_paired_differences_about_the_architectures(bench: Bench) -> None:
    shares = {"first": (0.70, 0.72, 0.74), "second": (0.75, 0.78, 0.82)}
    for model, rights in shares.items():
        for seed, right in enumerate(rights):
            bench.add(model, matrices(right, seed=seed), seed)
    (found,) = bench.compare()
    differences = [miou(matrices(b, seed=s)) - miou(matrices(a, seed=s)) for s, (a, b) in enumerate(zip(*shares.values(), strict=True))]
    half = 4.302653 * float(np.std(differences, ddof=1)) / np.sqrt(3)
    assert found.value == pytest.approx(np.mean(differences))
    assert found.low == pytest.approx(np.mean(differences) - half, abs=1e-6)
    assert found.high == pytest.approx(np.mean(differences) + half, abs=1e-6)
    assert (found.scope, found.n, found.verdict) == ("the architectures under this recipe", 3, "better")


def test_only_seeds_that_both_have_count(bench: Bench) -> None:
    for seed in range(3):
        bench.add("first", matrices(0.7, seed=seed), seed)
    bench.add("second", matrices(0.8, seed=7), 1)
    (found,) = bench.compare()
    assert found.baseline_cells == ["first-ce-s1"]
    assert found.scope == "these two checkpoints"


def test_groups_are_drawn_whole_and_too_few_of_them_are_named(bench: Bench) -> None:
    for groups, words, scope in (
        ([f"scene {i // 2}" for i in range(40)], "20 groups of images", "these two checkpoints"),
        (["day"] * 30 + ["night"] * 10, "40 images within 2 groups", "these two checkpoints on 40 images of these 2 groups"),
    ):
        bench.cells.clear()
        bench.add("first", matrices(0.7, seed=1), groups=groups)
        bench.add("second", matrices(0.8, seed=2), groups=groups)
        (found,) = bench.compare()
        assert words in found.method
        assert found.scope == scope


def drifting(right: float, *, seed: int, frames: int = 200) -> Counts:
    """Matrices of frames whose difficulty changes slowly, for each model in its own way."""
    random = np.random.default_rng(seed)
    pixels, shares = labels(frames), np.empty(frames)
    shares[0] = random.normal(0, 0.03)
    for place in range(1, frames):
        shares[place] = 0.8 * shares[place - 1] + random.normal(0, 0.018)
    hits = (pixels * (right + shares[:, None])).astype(np.int64)
    found = np.zeros((frames, 3, 3), dtype=np.int64)
    for k in range(3):
        found[:, k, k], found[:, k, (k + 1) % 3] = hits[:, k], pixels[:, k] - hits[:, k]
    return found


def test_frames_of_a_film_are_drawn_in_blocks_and_the_verdict_is_about_that_film(bench: Bench) -> None:
    for model, right, seed in (("first", 0.7, 1), ("second", 0.8, 2)):
        bench.add(model, drifting(right, seed=seed), groups=["film"] * 200)
    (found,) = bench.compare()
    assert found.method.startswith("paired bootstrap over moving blocks of ")
    assert "neighbours are alike up to a lag of" in found.method
    assert found.method.endswith("200 images within one group, percentiles of 5000 resamples, or t over long batches of images where wider")
    assert found.scope == "these two checkpoints on 200 images of this one group"
    assert found.verdict == "better"
    assert found.n is not None
    assert 10 <= found.n <= 50


def test_the_order_of_frames_is_that_of_their_names(bench: Bench) -> None:
    ids = [f"frame{place}" for place in range(200)]
    order = np.random.default_rng(0).permutation(200)
    found = []
    for places in (np.arange(200), order):
        bench.cells.clear()
        for model, right, seed in (("first", 0.7, 1), ("second", 0.8, 2)):
            bench.add(model, drifting(right, seed=seed)[places], ids=[ids[place] for place in places])
        found += bench.compare()
    assert found[0].n == found[1].n
    assert found[0].n is not None
    assert found[0].n < 60


def test_too_few_blocks_of_frames_are_the_reason(bench: Bench) -> None:
    for model, right, seed in (("first", 0.7, 1), ("second", 0.8, 2)):
        bench.add(model, drifting(right, seed=seed)[:30])
    (found,) = bench.compare()
    assert (found.low, found.verdict) == (None, "cannot tell")
    assert found.reason.startswith("30 images: neighbours are alike up to a lag of ")
    assert found.reason.endswith("too few for an interval: at least 10")


def test_models_are_only_compared_under_the_same_loss_recipe_and_settings(bench: Bench) -> None:
    for model in ("first", "second"):
        bench.add(model, matrices(0.7))
        bench.add(model, matrices(0.8), loss="focal")
        bench.add(model, matrices(0.8), 1, settings={"train.lr": 0.1})
    found = bench.compare()
    found = [c for c in found if c.axis == "model"]
    assert [(c.context["loss"], c.context["settings"]) for c in found] == [("ce", {}), ("focal", {}), ("ce", {"train.lr": 0.1})]
    assert all(c.subject == "second" and c.baseline == "first" for c in found)


def test_each_pair_has_one_verdict_of_one_family(bench: Bench) -> None:
    for place, model in enumerate(("first", "second", "third")):
        bench.add(model, matrices(0.70 + 0.002 * place, seed=place))
    headlines, pairs = bench.compare(), bench.compare(headline=False)
    assert [(c.subject, c.baseline) for c in headlines] == [("second", "first"), ("third", "first")]
    assert [(c.subject, c.baseline) for c in pairs] == [("third", "second")]
    assert all(c.family is not None and (c.family.planned, c.family.others) == (2, 1) for c in [*headlines, *pairs])
    assert [c.confidence for c in [*headlines, *pairs]] == pytest.approx([0.98, 0.98, 0.99])
    assert [c.p_adjusted for c in headlines] == pytest.approx([min(1.0, 2.5 * (c.p_value or 0)) for c in headlines])
    assert [c.p_adjusted for c in pairs] == pytest.approx([min(1.0, 5 * (c.p_value or 0)) for c in pairs])


def test_a_verdict_is_that_of_the_interval_it_is_printed_with(bench: Bench) -> None:
    verdicts = set()
    for seed in range(25):
        bench.cells.clear()
        for place, model in enumerate(("first", "second", "third")):
            bench.add(model, matrices(0.7 + 0.006 * (place == 2), seed=3 * seed + place))
        for c in bench.compare() + bench.compare(headline=False):
            assert c.low is not None
            assert c.high is not None
            assert c.p_adjusted is not None
            assert c.verdict == ("better" if c.low > 0 else "worse" if c.high < 0 else "no difference shown")
            assert (c.p_adjusted < 0.05) is (c.verdict in ("better", "worse"))
            verdicts.add(c.verdict)
    assert {"better", "no difference shown"} <= verdicts


def test_losses_recipes_and_settings_are_compared_like_models(bench: Bench) -> None:
    for model in ("first", "second"):
        bench.add(model, matrices(0.7, seed=1))
        bench.add(model, matrices(0.8, seed=2), loss="focal")
        bench.add(model, matrices(0.6, seed=3), 1, loss="focal", settings={"train.lr": 0.1})
        bench.add(model, matrices(0.65, seed=4), 1, loss="focal")
    found = [c for c in compare_quality(bench.run, bench.directory) if c.quantity == "miou"]
    losses = [c for c in found if c.axis == "loss"]
    assert [(c.subject, c.baseline, c.context["model"], c.verdict) for c in losses] == [
        ("focal", "ce", "first", "better"),
        ("focal", "ce", "second", "better"),
    ]
    assert losses[0].family is not None
    assert losses[0].family.planned == 2
    settings = [c for c in found if c.axis == "settings"]
    assert [(c.subject, c.baseline, c.context["loss"]) for c in settings] == [("train.lr=0.1", "as given", "focal")] * 2


def test_the_leader_is_compared_with_variants_that_differ_from_it_in_several_ways(bench: Bench) -> None:
    for place, model in enumerate(("first", "second")):
        for late, loss in enumerate(("ce", "focal")):
            bench.add(model, matrices(0.6 + 0.05 * place + 0.1 * late, seed=2 * place + late), loss=loss)
    (cross,) = [c for c in compare_quality(bench.run, bench.directory) if c.quantity == "miou" and c.axis == "variant"]
    assert (cross.subject, cross.baseline, cross.verdict, cross.headline) == (
        "second | focal | smoke",
        "first | ce | smoke",
        "better",
        False,
    )
    assert cross.family is not None
    assert (cross.family.planned, cross.family.others) == (0, 2)


def _only(counted: Counts, index: int) -> Counts:
    """The same labels, every pixel predicted as one class."""
    found = np.zeros_like(counted)
    found[:, :, index] = counted.sum(axis=2)
    return found


@pytest.mark.parametrize(
    ("first", "second", "quantity", "reason"),
    [
        (_only(matrices(0.7), 0), _only(matrices(0.7), 0), "miou", "both sides predict one class only: ground"),
        (_only(matrices(0.7), 0), _only(matrices(0.7), 2), "miou", "both sides predict one class only: rare against ground"),
        (_only(matrices(0.7), 0), _only(matrices(0.7), 2), "headline_iou", "neither side finds any water: the IoU is 0 on both"),
        (matrices(0.7) * [[[1], [0], [0]]], matrices(0.8) * [[[1], [0], [0]]], "miou", "only one class has labels in the scored split"),
    ],
)
def test_degenerate_results_are_named_and_not_compared(bench: Bench, first: Counts, second: Counts, quantity: str, reason: str) -> None:
    bench.add("first", first)
    bench.add("second", second)
    (found,) = bench.compare(quantity)
    assert (found.verdict, found.low, found.reason) == ("cannot tell", None, reason)


def test_a_score_that_is_not_a_number_is_named(bench: Bench) -> None:
    for seed in range(3):
        bench.add("first", matrices(0.7, seed=seed), seed)
        cell = bench.add("second", matrices(0.8, seed=seed), seed)
        assert cell.quality is not None
        bench.cells[-1] = cell.model_copy(update={"quality": cell.quality.model_copy(update={"miou": float("nan")})})
    (found,) = bench.compare()
    assert (found.verdict, found.low) == ("cannot tell", None)
    assert found.reason.startswith("the score of second-ce-s0, ")
    assert found.reason.endswith("is not a number")


def test_headline_class_and_boundaries_are_compared_where_they_were_measured(bench: Bench) -> None:
    edges = [np.random.default_rng(s).integers(50, 60 + 40 * s, (IMAGES, 2, 3)) for s in (0, 1)]
    edges = [np.sort(edge, axis=1) for edge in edges]
    one, other = matrices(0.7, seed=1), matrices(0.8, seed=2)
    bench.add("first", one, boundary=edges[0])
    bench.add("second", other, boundary=edges[1])
    (water,), (boundary,) = bench.compare("headline_iou"), bench.compare("boundary_iou")
    assert bench.cells[0].quality is not None
    assert bench.cells[1].quality is not None
    assert water.value == pytest.approx((bench.cells[1].quality.headline_iou or 0) - (bench.cells[0].quality.headline_iou or 0))
    assert water.context["class"] == "water"
    there = np.ones(3, dtype=bool)
    assert boundary.value == pytest.approx(boundary_iou(edges[1], there).mean() - boundary_iou(edges[0], there).mean())
    assert boundary.low is not None


def test_equal_checkpoints_show_no_difference(bench: Bench) -> None:
    bench.add("first", matrices(0.7))
    bench.add("second", matrices(0.7))
    (found,) = bench.compare()
    assert (found.value, found.low, found.high, found.verdict) == (0.0, 0.0, 0.0, "no difference shown")


def test_the_order_of_the_images_does_not_matter(bench: Bench) -> None:
    one, other = matrices(0.7, seed=1), matrices(0.8, seed=2)
    order = np.random.default_rng(0).permutation(IMAGES)
    bench.add("first", one)
    bench.add("second", other[order], ids=[f"image-{i}" for i in order])
    (found,) = bench.compare()
    expected = miou_difference(other, one)
    assert (found.low, found.high) == (expected.low, expected.high)


Change = Callable[[Bench], object]


def _other_ids(bench: Bench) -> None:
    bench.add("second", matrices(0.8), ids=[f"other-{i}" for i in range(IMAGES)])


def _fewer(bench: Bench) -> None:
    bench.add("second", matrices(0.8, of=labels()[:30]))


def _relabelled(bench: Bench) -> None:
    moved = labels()
    moved[[0, 1]] = moved[[1, 0]]
    bench.add("second", matrices(0.8, of=moved))


def _trained(bench: Bench) -> None:
    bench.add("second", matrices(0.8), trained_on=True)


def _failed(bench: Bench) -> None:
    bench.add("second", matrices(0.8), status="failed", quality=None)


def _other_seed(bench: Bench) -> None:
    bench.add("second", matrices(0.8), 5)


def _no_file(bench: Bench) -> None:
    cell = bench.add("second", matrices(0.8))
    (bench.directory / "confusions" / f"{cell.id}.npz").unlink()


def _torn_file(bench: Bench) -> None:
    cell = bench.add("second", matrices(0.8))
    path = bench.directory / "confusions" / f"{cell.id}.npz"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_ids, "scored on different images: first-ce-s0 on 40, second-ce-s0 on 40"),
        (_fewer, "scored on different numbers of images: second-ce-s0 and first-ce-s0"),
        (_relabelled, "the labels of the scored images differ between second-ce-s0 and first-ce-s0"),
        (_trained, "scored on images that were trained on: second-ce-s0"),
        (_failed, "not scored: second-ce-s0"),
        (_other_seed, "no seed in common"),
        (_no_file, "the confusion matrices of second-ce-s0 are missing"),
        (_torn_file, "the confusion matrices of second-ce-s0 are missing"),
    ],
)
def test_what_cannot_be_compared_says_why(bench: Bench, change: Change, reason: str) -> None:
    bench.add("first", matrices(0.7))
    change(bench)
    (found,) = bench.compare()
    assert found.verdict == "cannot tell"
    assert (found.value, found.low, found.high, found.p_value) == (None, None, None, None)
    assert found.reason.startswith(reason)


def test_a_profile_scores_nothing_and_nothing_is_said_to_be_missing(bench: Bench) -> None:
    for model in ("first", "second", "third"):
        bench.add(model, matrices(0.7), quality=None)
    assert compare_quality(bench.run, bench.directory) == []


def test_few_images_have_a_difference_but_no_verdict(bench: Bench) -> None:
    few = labels(images=6)
    bench.add("first", matrices(0.5, of=few))
    bench.add("second", matrices(0.9, of=few))
    (found,) = bench.compare()
    assert found.value is not None
    assert found.value > 0.2
    assert (found.verdict, found.low) == ("cannot tell", None)
    assert found.reason == "6 images are too few for an interval: at least 10"


def test_seeds_need_no_matrices(bench: Bench) -> None:
    for seed in range(3):
        bench.add("first", matrices(0.7, seed=seed), seed)
        bench.add("second", matrices(0.8, seed=3 + 2 * seed), seed)
    for file in (bench.directory / "confusions").iterdir():
        file.unlink()
    (found,) = bench.compare()
    assert (found.verdict, found.n) == ("better", 3)


def test_figures_over_seeds(bench: Bench) -> None:
    for seed, right in enumerate((0.70, 0.75, 0.8)):
        bench.add("first", matrices(right, seed=seed), seed)
    bench.add("second", matrices(0.8), 0)
    found = [s for s in summarise_seeds(bench.run) if s.quantity == "miou"]
    scores = [miou(matrices(right, seed=seed)) for seed, right in enumerate((0.70, 0.75, 0.8))]
    assert [(s.cells, s.seeds, s.n) for s in found] == [([f"first-ce-s{i}" for i in range(3)], [0, 1, 2], 3)]
    assert found[0].mean == pytest.approx(np.mean(scores))
    assert found[0].deviation == pytest.approx(np.std(scores, ddof=1))
    half = 4.302653 * float(np.std(scores, ddof=1)) / np.sqrt(3)
    assert found[0].low == pytest.approx(np.mean(scores) - half, abs=1e-6)
    assert found[0].high == pytest.approx(np.mean(scores) + half, abs=1e-6)


def test_two_seeds_have_a_deviation_and_no_interval(bench: Bench) -> None:
    for seed in (0, 1):
        bench.add("first", matrices(0.7, seed=seed), seed)
    found = next(s for s in summarise_seeds(bench.run) if s.quantity == "miou")
    assert found.deviation is not None
    assert found.low is None


def test_profiled_models_and_empty_runs_compare_nothing(bench: Bench) -> None:
    bench.cells = [CellResult(id=name, model=name) for name in ("a", "b")]
    assert compare_all(bench.run, bench.directory) == []
    assert with_comparisons(RunResult(), bench.directory).comparisons == []


def test_seeds_that_differ_by_the_same_amount_give_no_verdict_whatever_floats_make_of_it(bench: Bench) -> None:
    for seed, score_ in enumerate((0.50, 0.60, 0.40)):
        for model, gain in (("first", 0.0), ("second", 0.02)):
            cell = bench.add(model, matrices(0.7, seed=seed), seed)
            assert cell.quality is not None
            bench.cells[-1] = cell.model_copy(update={"quality": cell.quality.model_copy(update={"miou": score_ + gain})})
    (found,) = bench.compare()
    assert (found.verdict, found.low) == ("cannot tell", None)
    assert "differ by the same amount" in found.reason


def test_a_comparison_without_an_interval_is_no_member_of_the_family(bench: Bench) -> None:
    bench.add("first", matrices(0.7, seed=1))
    bench.add("second", matrices(0.8, seed=2))
    bench.add("third", matrices(0.8, seed=3), ids=[f"other-{i}" for i in range(IMAGES)])
    second, third = bench.compare()
    assert second.family is not None
    assert (second.family.planned, second.family.others, second.confidence) == (1, 0, 0.95)
    assert (third.family, third.verdict) == (None, "cannot tell")
