"""What two runs say of each other: verdicts against hand-made differences, and every reason why nothing can be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segbench.analysis.regressions.compare import Run, compare_runs
from segbench.analysis.regressions.gate import parse_gate
from segbench.analysis.regressions.latency import reference_ratio
from segbench.analysis.statistics.timing import Ratio, ratio_of
from segbench.errors import ConfigError
from segbench.results.records import Latency, ReferenceLatency, RunResult
from segbench.results.run_comparison import Change, RunComparison

MakeRun = Callable[..., Run]

STEADY = [0.8 + 0.001 * (i % 7) for i in range(30)]
WORSE = [share - 0.03 for share in STEADY]


def row(found: RunComparison, quantity: str, model: str = "unet") -> Change:
    (one,) = [each for each in found.rows if each.quantity == quantity and each.model == model]
    return one


def test_a_run_held_against_itself_shows_nothing(make_run: MakeRun) -> None:
    run = make_run()
    found = compare_runs(run, run)
    assert found.counts == {"no difference shown": 6, "cannot tell": 1}, "memory that was read once has no interval"
    assert [each.quantity for each in found.rows] == ["miou", "headline_iou", "params", "macs", "size", "latency", "memory"]
    assert row(found, "latency").method == "the same measurement"


def test_a_score_that_fell_on_every_image_has_regressed_and_the_other_way_round_improved(make_run: MakeRun) -> None:
    old, new = make_run("old", [{"shares": STEADY}]), make_run("new", [{"shares": WORSE}])
    fell = row(compare_runs(old, new), "miou")
    assert fell.verdict == "regressed"
    # hits h of 1000 in both classes: IoU = h / (2000 - h)
    means = [sum(shares) / 30 for shares in (STEADY, WORSE)]
    expected = means[1] / (2 - means[1]) - means[0] / (2 - means[0])
    assert fell.change == pytest.approx(expected, abs=1e-4)
    assert fell.low is not None
    assert fell.high is not None
    assert fell.low <= expected <= fell.high < 0
    assert "30 images" in fell.method
    assert fell.scope == "these two checkpoints"
    assert row(compare_runs(new, old), "miou").verdict == "improved"


def test_images_in_another_order_are_still_the_same_images(make_run: MakeRun) -> None:
    ids = [f"image-{n}" for n in range(30)]
    old = make_run("old", [{"shares": STEADY, "ids": ids}])
    new = make_run("new", [{"shares": STEADY[::-1], "ids": ids[::-1]}])
    found = row(compare_runs(old, new), "miou")
    assert (found.low, found.high, found.verdict) == (0.0, 0.0, "no difference shown")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({}, {"ids": [f"other-{n}" for n in range(30)]}, "scored on different images"),
        ({}, {"shares": STEADY[:20]}, "scored on different numbers of images"),
        ({"shares": STEADY[:9]}, {"shares": WORSE[:9]}, "9 images are too few for an interval: at least 10"),
        ({"kept": False}, {}, "the baseline came without confusion matrices"),
        ({}, {"dataset": "circles"}, "another dataset: squares -> circles"),
        ({}, {"quality": None}, "not scored: the new run's unet--ce--s0"),
        (
            {},
            {"resolved": {"train": {"epochs": 5, "lr": 1e-3}, "eval": {"resize": "warp"}}},
            "scored under another protocol: eval.resize keep-aspect -> warp",
        ),
        (
            {},
            {"resolved": {"train": {"epochs": 2, "lr": 1e-3}, "eval": {"resize": "keep-aspect"}}},
            "trained under other settings: train.epochs 5 -> 2 (judge all the same: --across-settings)",
        ),
    ],
)
def test_unlike_scores_are_not_judged_and_the_reason_is_named(make_run: MakeRun, old: Any, new: Any, reason: str) -> None:
    found = row(compare_runs(make_run("old", [old]), make_run("new", [new])), "miou")
    assert found.verdict == "cannot tell"
    assert reason in found.reason


def _without_crack(quality: dict[str, Any]) -> dict[str, Any]:
    """The record where the scored split has no pixel of the headline class."""
    first = quality["iou_per_class"][0]
    lists = {"iou_per_class": [first, None], "label_pixels_per_class": [quality["label_pixels_per_class"][0], 0]}
    return quality | lists | {"headline_iou": None, "miou": first}


def _changed(run: Run, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Run:
    cells = [each.model_dump() for each in run.result.cells]
    changed = [RunResult.model_validate({"cells": [each | {"quality": change(each["quality"])}]}).cells[0] for each in cells]
    return Run(run.name, run.result.model_copy(update={"cells": changed}), run.directory)


def test_means_over_different_classes_are_not_compared(make_run: MakeRun) -> None:
    found = compare_runs(make_run("old"), _changed(make_run("new"), _without_crack))
    score = row(found, "miou")
    assert (score.verdict, score.change, score.low) == ("cannot tell", None, None)
    assert score.reason == (
        "means over different classes: the new run's unet--ce--s0 over 1 of 2 classes (no pixel of crack in the scored split), "
        "the baseline's unet--ce--s0 over all 2 classes"
    )
    assert score.context["mean_over"] == "all 2 classes -> 1 of 2 classes (no pixel of crack in the scored split)"


def test_a_headline_class_without_a_pixel_keeps_its_row_and_has_a_reason(make_run: MakeRun) -> None:
    both = compare_runs(_changed(make_run("old"), _without_crack), _changed(make_run("new"), _without_crack))
    headline = row(both, "headline_iou")
    assert (headline.verdict, headline.baseline, headline.new) == ("cannot tell", None, None)
    assert headline.reason == "no pixel of crack in the scored split of the baseline and the new run"
    assert row(both, "miou").context["mean_over"] == "1 of 2 classes (no pixel of crack in the scored split)"


def test_other_training_settings_are_judged_on_request(make_run: MakeRun) -> None:
    resolved = {"train": {"epochs": 2, "lr": 1e-3}, "eval": {"resize": "keep-aspect"}}
    old, new = make_run("old", [{}]), make_run("new", [{"shares": WORSE, "resolved": resolved}])
    assert row(compare_runs(old, new, across_settings=True), "miou").verdict == "regressed"


def test_a_setting_that_only_the_newer_version_knows_is_no_difference(make_run: MakeRun) -> None:
    resolved = {"train": {"epochs": 5, "lr": 1e-3, "brand_new": 1}, "eval": {"resize": "keep-aspect", "flip": False}}
    assert row(compare_runs(make_run("old", [{}]), make_run("new", [{"resolved": resolved}])), "miou").verdict == "no difference shown"


def test_three_seeds_speak_of_the_architecture_by_a_t_interval_of_paired_differences(make_run: MakeRun) -> None:
    drops = (0.010, 0.014, 0.018)
    old = make_run("old", [{"seed": seed, "shares": [0.8] * 12} for seed in range(3)])
    new = make_run("new", [{"seed": seed, "shares": [0.8 - drop] * 12} for seed, drop in enumerate(drops)])
    found = row(compare_runs(old, new), "miou")
    differences = np.array([(0.8 - drop) / (1.2 + drop) - 0.8 / 1.2 for drop in drops])
    half = 4.302653 * differences.std(ddof=1) / math.sqrt(3)
    assert found.scope == "the architectures under this recipe"
    assert found.n == 3
    assert found.low == pytest.approx(differences.mean() - half, abs=1e-6)
    assert found.high == pytest.approx(differences.mean() + half, abs=1e-6)
    assert found.verdict == "regressed"


def test_seeds_that_all_came_out_the_same_show_no_difference(make_run: MakeRun) -> None:
    cells = [{"seed": seed, "shares": [0.8 - 0.01 * seed] * 12} for seed in range(3)]
    found = row(compare_runs(make_run("old", cells), make_run("new", cells)), "miou")
    assert (found.verdict, found.reason) == ("no difference shown", "the scores are the same")


def test_a_seed_of_one_side_is_left_out_and_said(make_run: MakeRun) -> None:
    old, new = make_run("old", [{"seed": 0}, {"seed": 1}]), make_run("new", [{"seed": 0}])
    found = row(compare_runs(old, new), "miou")
    assert found.verdict == "no difference shown"
    assert found.context["seeds"] == [0]
    assert "seed 1 in the baseline only" in found.notes


def test_counts_have_no_noise(make_run: MakeRun) -> None:
    found = compare_runs(make_run("old", [{}]), make_run("new", [{"params": 1001, "size_mb": 3.9}]))
    assert (row(found, "params").verdict, row(found, "params").change) == ("regressed", 1.001)
    assert row(found, "size").verdict == "improved"
    assert row(found, "macs").verdict == "no difference shown"


def test_multiply_adds_of_other_inputs_are_not_compared(make_run: MakeRun) -> None:
    found = row(compare_runs(make_run("old", [{}]), make_run("new", [{"input_shape": [[1, 3, 32, 32]], "macs": 1}])), "macs")
    assert (found.verdict, found.reason) == ("cannot tell", "counted for other inputs: 1x3x64x64 -> 1x3x32x32")


def test_races_that_started_their_programs_several_times_need_no_allowance_for_it() -> None:
    def timed(milliseconds: float, starts: tuple[int, ...]) -> Latency:
        random = np.random.default_rng(int(milliseconds))
        rounds = [[float(x) for x in milliseconds * np.exp(random.normal(0, 0.01, 5))] for _ in range(20)]
        return Latency(batch_size=1, input_size=(64, 64), device="cpu", rounds_ms=rounds, start_rounds=list(starts))

    def pair(*starts: int) -> tuple[Latency, Latency]:
        return timed(10, starts), timed(5, starts)

    def width(found: Ratio) -> float:
        assert found.low is not None
        assert found.high is not None
        return math.log(found.high / found.low) / 2

    def alone(starts: tuple[int, ...] = ()) -> float:
        """The width of either race's own ratio: the same rounds."""
        one, other = pair(20)
        return width(ratio_of(one.rounds_ms, other.rounds_ms, starts=starts))

    once, twice, thrice = (width(reference_ratio(pair(7, 7, 6), pair(*starts))) for starts in ((20,), (10, 10), (7, 7, 6)))
    assert once == twice == pytest.approx(math.hypot(alone(), alone(), 1.96 * 0.02), rel=0.05)
    assert thrice == pytest.approx(math.hypot(alone((7, 7, 6)), alone((7, 7, 6))), rel=1e-6)


@pytest.mark.parametrize(
    ("milliseconds", "verdict"), [(10.0, "no difference shown"), (11.5, "regressed"), (8.7, "improved"), (10.3, "no difference shown")]
)
def test_latency_is_judged_by_its_ratio_to_the_anchor(make_run: MakeRun, milliseconds: float, verdict: str) -> None:
    """The new day's machine is half as fast, for the anchor as for the model."""
    old, new = make_run("old", [{}]), make_run("new", [{"milliseconds": 2 * milliseconds}], anchor=10.0)
    found = row(compare_runs(old, new), "latency")
    assert found.verdict == verdict
    assert found.change == pytest.approx(milliseconds / 10, rel=0.01)
    assert "ratio to anchor-1" in found.method


@pytest.mark.parametrize(
    ("milliseconds", "verdict"), [(80.0, "no difference shown"), (92.0, "regressed"), (70.0, "improved"), (82.0, "no difference shown")]
)
def test_throughput_is_judged_by_its_ratio_to_the_anchor(make_run: MakeRun, milliseconds: float, verdict: str) -> None:
    """More is better; batches are not raced again."""

    def batched(name: str, batch: float, anchor: float) -> Run:
        run = make_run(name)
        single = run.result.cells[0].deployments[0].latency[0]
        assert run.result.race is not None
        assert run.result.race.anchor is not None
        reference = run.result.race.anchor.latency[0]

        def entry(base: Latency, time: float) -> Latency:
            rounds = [[x / base.rounds_ms[0][0] * time for x in block] for block in base.rounds_ms]
            return base.model_copy(update={"batch_size": 8, "rounds_ms": rounds, "p50_ms": time, "images_per_second": 8e3 / time})

        run.result.cells[0].deployments[0].latency.append(entry(single, batch))
        run.result.race.anchor.latency.append(ReferenceLatency.model_validate(entry(reference, anchor).model_dump()))
        return run

    old, new = batched("old", 80.0, 30.0), batched("new", 2 * milliseconds, 60.0)
    found = row(compare_runs(old, new), "throughput")
    assert found.verdict == verdict
    assert found.change == pytest.approx(80 / milliseconds, rel=0.01)
    assert found.baseline == pytest.approx(100.0)
    assert found.new == pytest.approx(8e3 / (2 * milliseconds))
    assert found.context["batch_size"] == 8
    gated = compare_runs(old, new, clauses=parse_gate("throughput < -5%")).gate
    assert gated is not None
    assert gated.passed == (verdict != "regressed")


def test_the_interval_of_two_races_is_wider_than_that_of_either(make_run: MakeRun) -> None:
    old, new = make_run("old", [{}]), make_run("new", [{"milliseconds": 11.0}])
    found = row(compare_runs(old, new), "latency")
    assert found.low is not None
    assert found.high is not None
    width = math.log(found.high / found.low)
    for run in (old, new):
        assert run.result.race is not None
        assert run.result.race.anchor is not None
        alone = ratio_of(run.result.cells[0].deployments[0].latency[0].rounds_ms, run.result.race.anchor.latency[0].rounds_ms)
        assert alone.high is not None
        assert alone.low is not None
        assert width > math.log(alone.high / alone.low)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ({"anchor": None}, "timed apart: no anchor was raced along in the new run"),
        ({"machine": {"cpu": "another", "torch": "2.15.0", "device": "cpu"}}, "timed apart: another machine: cpu a processor -> another"),
        ({"machine": {"cpu": "a processor", "torch": "2.16.0", "device": "cpu"}}, "timed apart: another machine: torch 2.15.0 -> 2.16.0"),
        ({"threads": 2}, "timed apart: another number of threads: 1 -> 2"),
        (
            {"disturbances": ["Other programs used 2.0 of 2 cores while the models were timed."]},
            "timed apart: a disturbed race is not related to another by its anchor "
            "(new run: Other programs used 2.0 of 2 cores while the models were timed)",
        ),
        ({"name": "anchor-2"}, "timed apart: another anchor: anchor-1 -> anchor-2"),
    ],
)
def test_times_of_unlike_races_are_not_compared(make_run: MakeRun, new: dict[str, Any], reason: str) -> None:
    run = make_run("new", anchor=new.pop("anchor", 5.0))
    form = run.result.cells[0].deployments[0]
    form.machine = new.get("machine", form.machine)
    form.latency[0].threads = new.get("threads", 1)
    if "disturbances" in new:
        assert run.result.race is not None
        run.result.race.disturbances = new["disturbances"]
    if "name" in new:
        assert run.result.race is not None
        assert run.result.race.anchor is not None
        run.result.race.anchor.name = new["name"]
    found = row(compare_runs(make_run("old"), run), "latency")
    assert (found.verdict, found.reason) == ("cannot tell", reason)


def _with_memory(run: Run, *, mean: float, spread: float, processes: int = 6) -> Run:
    """Weights and activations of ``mean`` MB, in as many processes, which lie evenly within ``spread`` of it."""
    memory = run.result.cells[0].deployments[0].memory_mb
    assert memory is not None
    memory.activation_peaks = [mean - 10 + spread * x for x in np.linspace(-1, 1, processes)] if processes > 1 else []
    memory.activation_peak = mean - 10.0
    return run


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [
        # 100 MB to within 1 MB on either side
        (103.0, 1.0, "no difference shown"),
        (110.0, 1.0, "regressed"),
        (90.0, 1.0, "improved"),
        # 100 MB to within 15 MB on either side
        (110.0, 15.0, "cannot tell"),
        (140.0, 15.0, "regressed"),
    ],
)
def test_memory_is_judged_by_how_much_it_differs_from_process_to_process(
    make_run: MakeRun, mean: float, spread: float, verdict: str
) -> None:
    old, new = make_run("old"), make_run("new")
    found = row(compare_runs(_with_memory(old, mean=100.0, spread=spread), _with_memory(new, mean=mean, spread=spread)), "memory")
    assert (found.verdict, found.n) == (verdict, 6)
    assert found.change == pytest.approx(mean / 100)
    assert found.method.startswith("medians over 6 and 6 fresh processes")


def test_memory_on_cuda_is_counted_and_differs_by_any_margin(make_run: MakeRun) -> None:
    old, new = make_run("old"), make_run("new")
    for run, peak in ((old, 100.0), (new, 106.0)):
        form = run.result.cells[0].deployments[0]
        form.machine = {**form.machine, "device": "cuda:0"}
        assert form.memory_mb is not None
        form.memory_mb.inference_peak = peak
    found = row(compare_runs(old, new), "memory")
    assert (found.verdict, found.low, found.high, found.method) == ("regressed", 1.06, 1.06, "counted by the allocator")


def test_memory_that_was_read_once_passes_no_verdict(make_run: MakeRun) -> None:
    old, new = make_run("old"), make_run("new")
    found = row(compare_runs(old, _with_memory(new, mean=200.0, spread=1.0)), "memory")
    assert (found.verdict, found.low, found.high) == ("cannot tell", None, None)
    assert found.reason == "memory was read in one process; an interval takes 6"
    assert found.change == pytest.approx(2.0)


def test_costs_are_told_once_for_all_losses_and_seeds_of_a_network(make_run: MakeRun) -> None:
    cells = [{"loss": loss, "seed": seed} for loss in ("ce", "focal") for seed in (0, 1)]
    found = compare_runs(make_run("old", cells), make_run("new", cells))
    assert [each.quantity for each in found.rows].count("params") == 1
    assert len(row(found, "params").cells) == 4
    assert [each.quantity for each in found.rows].count("miou") == 2


def test_a_model_under_another_loss_is_matched_as_the_last_resort_and_said(make_run: MakeRun) -> None:
    found = compare_runs(make_run("old", [{"loss": "ce"}]), make_run("new", [{"loss": "focal", "params": 999}]))
    assert row(found, "miou").reason.startswith("trained under other settings: loss ce -> focal")
    assert row(found, "params").verdict == "improved"


def test_what_only_one_run_has_is_listed(make_run: MakeRun) -> None:
    found = compare_runs(make_run("old", [{}, {"model": "fpn"}]), make_run("new", [{}, {"model": "psp"}]))
    assert (found.only_in_baseline, found.only_in_new) == (["fpn | ce | smoke"], ["psp | ce | smoke"])


def test_a_model_can_be_held_against_the_one_whose_place_it_took(make_run: MakeRun) -> None:
    old, new = make_run("old", [{}]), make_run("new", [{"model": "unet-lite", "params": 900}])
    found = compare_runs(old, new, renamed={"unet": "unet-lite"})
    assert row(found, "params", "unet-lite").subject == "unet -> unet-lite"
    with pytest.raises(ConfigError, match="--match: 'fpn' is no model of the baseline"):
        compare_runs(old, new, renamed={"fpn": "unet-lite"})


def test_runs_without_a_cell_in_common_are_one_message_with_both_sides(make_run: MakeRun) -> None:
    with pytest.raises(ConfigError) as error:
        compare_runs(make_run("old", [{"model": "fpn"}]), make_run("new", [{}]))
    assert str(error.value) == (
        "The two runs have no cell in common. The baseline has: fpn. The new run has: unet. "
        "To hold one model against another: --match 'fpn=unet'."
    )


def test_a_cell_that_failed_in_the_new_run_only_is_said(make_run: MakeRun) -> None:
    error = {"stage": "train", "kind": "error", "message": "out of luck"}
    found = compare_runs(make_run("old"), make_run("new", [{"status": "failed", "quality": None, "error": error}]))
    assert "failed in the new run, not in the baseline: unet--ce--s0: out of luck" in found.notes
    assert row(found, "miou").verdict == "cannot tell"


def test_a_run_that_is_not_finished_is_compared_as_far_as_it_goes(make_run: MakeRun) -> None:
    pending: dict[str, Any] = {"model": "fpn", "status": "pending", "quality": None, "deployments": [], "params": None}
    new = make_run("new", [{}, pending], complete=False)
    found = compare_runs(make_run("old", [{}, {"model": "fpn"}]), new)
    assert "the new run is not finished: 1 of 2 of its cells are done, and compared as far as they go" in found.notes
    assert row(found, "miou").verdict == "no difference shown"
    assert row(found, "miou", "fpn").reason == "not scored: the new run's fpn--ce--s0"


def test_what_the_machines_differ_in_is_listed_with_what_it_matters_for(make_run: MakeRun) -> None:
    old = make_run("old", environment={"cpu": "a", "packages": {"torch": "2.14"}})
    new = make_run("new", environment={"cpu": "b", "packages": {"torch": "2.15"}})
    found = {each.what: (each.baseline, each.new, each.concerns) for each in compare_runs(old, new).differences}
    assert found == {"processor": ("a", "b", ["latency"]), "torch": ("2.14", "2.15", ["latency", "memory", "quality"])}


def test_a_threshold_below_the_margin_asks_for_a_finer_verdict(make_run: MakeRun) -> None:
    old, new = make_run("old"), make_run("new", [{"milliseconds": 10.75}])
    assert row(compare_runs(old, new), "latency").verdict == "no difference shown"
    found = compare_runs(old, new, clauses=parse_gate("latency > 1%"))
    assert row(found, "latency").verdict == "regressed"
    assert found.gate is not None
    assert not found.gate.passed
