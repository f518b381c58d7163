"""Verdicts on claims: every kind, every reading, every reason not to judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.analysis.claims.judge import judge
from segbench.analysis.claims.values import bounds, outcome
from segbench.analysis.comparisons.confusions import Images
from segbench.plugin.specs import Claim
from segbench.results.metrics import METRICS
from segbench.results.records import CellResult, Deployment, Latency, Memory, Quality, RunResult, Training, Verdict


def claim(**changes: Any) -> Claim:
    given_fields: dict[str, Any] = {
        "name": "guide/size",
        "summary": "small has 2.52 M parameters",
        "subject": "small",
        "quantity": "params",
        "comparator": "about",
        "value": 2.52e6,
        "tolerance": 0.005 / 2.52,
        "source": "the guide, section 1",
    }
    return Claim(**{**given_fields, **changes})


def relative(quantity: str, reading: str, value: float, **changes: Any) -> Claim:
    return claim(
        **{
            "baseline": "large",
            "quantity": quantity,
            "reading": reading,
            "comparator": "at least",
            "value": value,
            "tolerance": 0.0,
            **changes,
        }
    )


def cell(model: str, **fields: Any) -> CellResult:
    given_fields: dict[str, Any] = {
        "id": f"{model}--{fields.get('loss', 'ce')}--s{fields.get('seed', 0)}",
        "model": model,
        "loss": "ce",
        "dataset": "voc2012",
        "recipe": "smoke",
        "seed": 0,
        "status": "ok",
        "resolved": {"train": {"epochs": 5, "batch_size": 8, "image_size": 512}, "device": "cpu"},
    }
    return CellResult(**{**given_fields, **fields})


def timing(ms: float, *, batch: int = 1, size: int = 512, jitter: float = 0.0) -> Latency:
    """Ten rounds of a race; every other one takes longer by the share ``jitter``."""
    return Latency(
        batch_size=batch,
        input_size=(size, size),
        device="cpu",
        threads=2,
        p50_ms=batch * ms,
        images_per_second=1000 / ms if ms and batch > 1 else None,
        rounds_ms=[[batch * ms * (1 + jitter * (i % 2))] * 3 for i in range(10)],
        ci95_ms=(batch * ms * 0.99, batch * ms * 1.01),
    )


def timed(model: str, ms: float, *, size: int = 512, jitter: float = 0.0, **fields: Any) -> CellResult:
    latency = [timing(ms, size=size, jitter=jitter), timing(ms, batch=8, size=size, jitter=jitter)]
    return cell(model, deployments=[Deployment(backend="eager", latency=latency, raced="noon")], **fields)


def scored(model: str, miou: float | None, **fields: Any) -> CellResult:
    quality = Quality(split="val", images=1449, miou=miou, pixel_accuracy=miou, training_score=fields.pop("training_score", None))
    return cell(model, quality=quality, **fields)


PIXELS = 1_000_000
RESAMPLED = "bootstrap over 20 images, of these checkpoints"


def matrices(of: CellResult) -> Images | None:
    """Twenty images that score what the cell scored, by turns a ten-thousandth more and less: as sure as a score can be."""
    miou = of.quality.miou if of.quality else None
    if miou is None:
        return None
    hits = round(miou * PIXELS)
    by_image = [hits + (-1) ** n * (hits // 10_000) for n in range(20)]
    return Images(tuple(map(str, range(20))), np.array([[[found, PIXELS - found], [0, 0]] for found in by_image]), None, None)


def sure(claims: list[Claim], result: RunResult, **options: Any) -> list[Verdict]:
    return judge(claims, result, matrices=matrices, **options)


def run(*cells: CellResult, classes: int = 21) -> RunResult:
    return RunResult(task={"num_classes": classes}, cells=list(cells))


def only(verdicts: list[Verdict]) -> Verdict:
    assert len(verdicts) == 1, verdicts
    return verdicts[0]


# verdicts


def test_a_figure_that_holds_is_kept_and_tells_its_cells() -> None:
    verdict = only(sure([claim()], run(cell("small", params=2_517_493))))
    assert verdict == Verdict(
        claim="guide/size",
        summary="small has 2.52 M parameters",
        claimed="2.52 M",
        measured="2.52 M",
        measured_value=2_517_493,
        verdict="kept",
        subject="small",
        cells=["small--ce--s0"],
        source="the guide, section 1",
        claim_verdict="kept",
    )


@pytest.mark.parametrize(("params", "verdict"), [(2_514_000, "broken"), (2_515_001, "kept"), (2_525_000, "kept"), (2_526_000, "broken")])
def test_a_printed_figure_holds_within_half_of_its_last_digit(params: int, verdict: str) -> None:
    assert only(sure([claim()], run(cell("small", params=params)))).verdict == verdict


def test_an_exact_count_is_shown_to_the_last_unit() -> None:
    exact = claim(value=482_754, tolerance=0.0)
    verdict = only(sure([exact], run(cell("small", params=482_755))))
    assert (verdict.verdict, verdict.claimed, verdict.measured) == ("broken", "482 754", "482 755")


@pytest.mark.parametrize(
    ("comparator", "good", "value", "expected"),
    [
        ("range", "higher", 0.29, "broken"),
        ("range", "higher", 0.30, "kept"),
        ("range", "higher", 0.40, "kept"),
        ("range", "higher", 0.41, "kept (exceeded)"),
        ("range", "lower", 0.29, "kept (exceeded)"),
        ("range", "lower", 0.41, "broken"),
        ("at least", "higher", 0.29, "broken"),
        ("at least", "higher", 0.90, "kept"),
        ("at most", "lower", 0.31, "broken"),
        ("at most", "lower", 0.10, "kept"),
        ("about", "higher", 0.30, "kept"),
        ("about", "higher", 0.31, "broken"),
        ("about", "lower", 0.29, "broken"),
    ],
)
def test_comparators(comparator: str, good: str, value: float, expected: str) -> None:
    stated = claim(comparator=comparator, value=0.3, high=0.4 if comparator == "range" else None, good=good, tolerance=0.0)
    assert outcome(stated, value) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_bounds_enclose_what_was_claimed(low: float, width: float, tolerance: float) -> None:
    stated = claim(comparator="range", value=low, high=low + width, tolerance=tolerance)
    lowest, highest = bounds(stated)
    assert lowest <= low
    assert low + width <= highest


# readings


@pytest.mark.parametrize(
    ("quantity", "reading", "value", "claimed", "measured"),
    [
        (
            "latency_ms",
            "ratio",
            0.5,
            "at least 0.5x",
            "0.50x [0.50, 0.50] (10.00 ms against 20.00 ms, cpu, batch 1, 512, 2 threads, 10 rounds of one race)",
        ),
        (
            "latency_ms",
            "speedup",
            2.0,
            "at least 2x",
            "2.00x [2.00, 2.00] (10.00 ms against 20.00 ms, cpu, batch 1, 512, 2 threads, 10 rounds of one race)",
        ),
        (
            "latency_ms",
            "reduction",
            0.5,
            "at least -50 %",
            "-50.0 % [-50.0, -50.0] (10.00 ms against 20.00 ms, cpu, batch 1, 512, 2 threads, 10 rounds of one race)",
        ),
        (
            "throughput_images_per_second",
            "speedup",
            2.0,
            "at least 2x",
            "2.00x [2.00, 2.00] (100.00 images/s against 50.00 images/s, cpu, batch 8, 512, 2 threads, 10 rounds of one race)",
        ),
    ],
)
def test_relative_readings_of_times_and_rates(quantity: str, reading: str, value: float, claimed: str, measured: str) -> None:
    verdict = only(sure([relative(quantity, reading, value)], run(timed("small", 10.0), timed("large", 20.0))))
    assert (verdict.verdict, verdict.claimed, verdict.measured) == ("kept", claimed, measured)
    assert verdict.measured_value == pytest.approx(value)
    assert verdict.cells == ["small--ce--s0", "large--ce--s0"]


def test_a_range_in_points() -> None:
    stated = relative("miou", "points", -0.02, comparator="range", high=-0.01)
    results = [only(sure([stated], run(scored("small", miou), scored("large", 0.70)))) for miou in (0.66, 0.685, 0.71)]
    assert [v.verdict for v in results] == ["broken", "kept", "kept (exceeded)"]
    assert [v.claimed for v in results] == ["-2 to -1 points"] * 3
    assert results[0].measured == f"-4.00 points [-4.00, -4.00] (66.00 % against 70.00 %, val, 1449 images, 5 epochs, {RESAMPLED})"


def test_a_share_is_shown_in_per_cent() -> None:
    stated = relative("miou", "ratio", 0.95, comparator="range", high=0.98, unit="%")
    verdict = only(sure([stated], run(scored("small", 0.672), scored("large", 0.70))))
    assert (verdict.verdict, verdict.claimed) == ("kept", "95 to 98 %")
    assert verdict.measured == f"96.0 % [96.0, 96.0] (67.20 % against 70.00 %, val, 1449 images, 5 epochs, {RESAMPLED})"


def test_one_wording_read_in_two_ways_gives_two_verdicts() -> None:
    """1.5x the speed is 33 % less time: "30-40 % faster" holds in one reading and is exceeded in the other."""
    readings = [
        relative("latency_ms", "reduction", 0.3, comparator="range", high=0.4, name="guide/less-time"),
        relative("latency_ms", "speedup", 1.3, comparator="range", high=1.4, name="guide/more-speed"),
    ]
    verdicts = sure(readings, run(timed("small", 20.0), timed("large", 30.0)))
    assert [(v.claim, v.verdict) for v in verdicts] == [("guide/less-time", "kept"), ("guide/more-speed", "kept (exceeded)")]


def test_figures_that_contradict_each_other_are_judged_apart() -> None:
    verdicts = sure([claim(), claim(name="guide/other", value=2.6e6, tolerance=0.001)], run(cell("small", params=2_517_493)))
    assert [v.verdict for v in verdicts] == ["kept", "broken"]


# conditions


@pytest.mark.parametrize(
    ("conditions", "missing"),
    [
        ({"dataset": "camvid"}, "needs dataset camvid, this run has voc2012"),
        ({"num_classes": 11}, "needs class count 11, this run has 21"),
        ({"recipe": ("enhanced", "maximum")}, "needs recipe enhanced or maximum, this run has smoke"),
        ({"device": "cuda", "image_size": 256}, "needs device cuda, this run has cpu; needs training size 256, this run has 512"),
        ({"train.epochs": 50}, "needs train.epochs 50, this run has 5"),
        ({"model.encoder": "resnet50"}, "needs model.encoder resnet50, this run does not say"),
        ({"moon": "full"}, "needs moon full, this run does not say"),
    ],
)
def test_under_other_conditions_nothing_is_judged(conditions: dict[str, Any], missing: str) -> None:
    verdict = only(sure([claim(conditions=conditions)], run(cell("small", params=1))))
    assert (verdict.verdict, verdict.missing) == ("not tested here", missing)
    assert (verdict.measured, verdict.measured_value) == (None, None)


@pytest.mark.parametrize(
    "conditions",
    [
        {"dataset": "voc2012", "num_classes": 21, "recipe": ("smoke", "enhanced"), "loss": "ce"},
        {"image_size": "512x512", "device": "cpu", "train.batch_size": 8, "batch_size": None},
    ],
)
def test_where_all_conditions_hold_it_is(conditions: dict[str, Any]) -> None:
    assert only(sure([claim(conditions=conditions)], run(cell("small", params=2_520_000)))).verdict == "kept"


def test_the_reading_that_meets_the_conditions_is_the_one_that_counts() -> None:
    """Latency at three sizes: the claim speaks of one."""
    stated = relative("latency_ms", "speedup", 2.0, conditions={"input_size": 512})
    sizes = {256: (5.0, 6.0), 512: (10.0, 20.0), 640: (15.0, 16.0)}
    small, large = (
        cell(
            name,
            deployments=[Deployment(backend="eager", raced="noon", latency=[timing(t[i], size=s) for s, t in sizes.items()])],
        )
        for i, name in enumerate(("small", "large"))
    )
    verdict = only(sure([stated], run(small, large)))
    assert (verdict.verdict, verdict.measured_value) == ("kept", 2.0)


def test_quality_on_part_of_the_images_is_not_the_claims_quality() -> None:
    part = scored("small", 0.9)
    assert part.quality is not None
    part.quality.images = 53
    verdict = only(sure([claim(quantity="miou", value=0.9, conditions={"images": 1449})], run(part)))
    assert verdict.missing == "needs number of scored images 1449, this run has 53"


# absence


def test_what_is_absent_failed_or_unmeasured_is_named() -> None:
    stated = relative("latency_ms", "speedup", 2.0)
    small, large = timed("small", 10.0), timed("large", 20.0)

    def missing(*cells: CellResult) -> str | None:
        verdict = only(sure([stated], run(*cells)))
        assert verdict.verdict == "not tested here"
        return verdict.missing

    assert missing(large) == "needs small in the run"
    assert missing(small) == "needs large in the run"
    assert missing(small, large.model_copy(update={"status": "failed"})) == "large did not finish here (failed)"
    assert missing(cell("small"), large) == "latency was not measured"
    assert missing(small, cell("large")) == "latency of large was not measured"
    assert missing(small, timed("large", 20.0, size=256)) == "needs large under the same loss, recipe, settings and circumstances"
    assert missing(timed("small", 0.0), large) == "latency is 0, which has no ratio"


def test_a_quantity_that_is_not_measured_is_said_to_be_so() -> None:
    assert only(sure([claim(quantity="beauty")], run(cell("small")))).missing == "segbench does not measure 'beauty'"


def test_a_claim_may_name_a_metric_by_any_of_its_names() -> None:
    result = run(timed("small", 8.0), timed("large", 16.0))
    by_name = [only(sure([relative(name, "speedup", 1.5)], result)) for name in ("latency_ms", "latency", "p50_ms")]
    assert [verdict.model_copy(update={"claim": ""}) for verdict in by_name] == [by_name[0].model_copy(update={"claim": ""})] * 3
    assert by_name[0].verdict == "kept"


@pytest.mark.parametrize("quantity", ["boundary_iou", "training_score"])
def test_a_metric_that_no_claim_can_name_is_said_not_to_be_measured(quantity: str) -> None:
    verdict = only(sure([claim(quantity=quantity, value=0.5)], run(cell("small"))))
    assert (verdict.missing, verdict.claimed) == (f"segbench does not measure '{quantity}'", "0.5")


def test_a_claim_that_cannot_be_read_costs_only_itself() -> None:
    verdicts = sure([claim(subject="small[oops"), claim()], run(cell("small", params=2_520_000)))
    assert [v.verdict for v in verdicts] == ["not tested here", "kept"]
    assert verdicts[0].missing


def test_a_training_score_is_never_used() -> None:
    stated = claim(quantity="miou", value=0.9, tolerance=0.1)
    verdict = only(sure([stated], run(scored("small", None, training_score=0.9))))
    assert verdict.missing == "the network was trained on the scored split (val)"
    accuracy = claim(quantity="pixel_accuracy", value=0.9, tolerance=0.1)
    assert only(sure([accuracy], run(scored("small", 0.9, training_score=0.9)))).verdict == "not tested here"


def _collapsed(model: str, miou: float, seed: int = 0) -> CellResult:
    """A cell whose every pixel is predicted as the first of two classes."""
    of = scored(model, miou, seed=seed)
    assert of.quality is not None
    fields = {"class_names": ["ground", "disk"], "label_pixels_per_class": [90, 10], "predicted_pixels_per_class": [100, 0]}
    return of.model_copy(update={"quality": of.quality.model_copy(update=fields)})


@pytest.mark.parametrize(("small", "large"), [(True, True), (True, False), (False, True)])
def test_scores_of_networks_that_learned_nothing_keep_no_claim(small: bool, large: bool) -> None:
    """Two networks that predict ground everywhere differ by 0 points, which would keep every claim of equal quality."""
    stated = relative("miou", "points", -0.02, comparator="at least")
    cells = [(_collapsed if only_ground else scored)(name, 0.45) for name, only_ground in (("small", small), ("large", large))]
    (verdict,) = sure([stated], run(*cells))
    assert verdict.verdict == "not tested here"
    assert verdict.missing == f"{'small' if small else 'large'} predicts only ground: nothing learned"


def test_a_seed_that_learned_nothing_stays_in_the_mean_of_those_that_did() -> None:
    stated = claim(quantity="miou", value=0.5, comparator="at least", tolerance=0.0)
    (verdict,) = sure([stated], run(scored("small", 0.9, seed=0), scored("small", 0.9, seed=1), _collapsed("small", 0.45, seed=2)))
    assert verdict.verdict != "not tested here"
    assert verdict.measured_value == pytest.approx(0.75)


def test_a_changed_protocol_is_not_judged_but_its_parameters_are() -> None:
    halved = scored("small", 0.9, params=2_520_000, training=Training(protocol_changed="batch 8 -> 4"))
    verdicts = sure([claim(quantity="miou", value=0.9), claim()], run(halved))
    assert [(v.verdict, v.missing) for v in verdicts] == [
        ("not tested here", "the protocol was changed (batch 8 -> 4)"),
        ("kept", None),
    ]


# which cells


def test_another_variant_of_the_model_is_not_the_subject() -> None:
    wider = cell("small[width=2]", params=2_520_000)
    assert only(sure([claim()], run(wider))).missing == "needs small in the run"
    assert only(sure([claim(subject="small[width=2]")], run(wider))).verdict == "kept"


DEFAULTS = {"small": {"width": 1, "rates": (1, 6), "pretrained": False, "weights": None}}


@pytest.mark.parametrize(
    ("options", "is_subject"),
    [
        ({"width": 1, "rates": [1, 6], "pretrained": False, "weights": None}, True),
        ({"width": 1, "rates": [1, 6], "pretrained": True, "weights": "encoder.safetensors"}, True),
        ({"width": 2, "rates": [1, 6], "pretrained": False, "weights": None}, False),
    ],
)
def test_options_that_a_config_file_changed_are_seen(options: dict[str, Any], is_subject: bool) -> None:
    """``[model] width = 2`` leaves the cell's name as it was."""
    changed = cell("small", params=2_520_000, resolved={"model_options": options})
    verdict = only(sure([claim()], run(changed), default_options=DEFAULTS))
    assert (verdict.verdict == "kept") is is_subject


def test_a_default_spelled_out_is_still_the_default() -> None:
    spelled = cell("small[width=1]", params=2_520_000, resolved={"model_options": dict(DEFAULTS["small"])})
    assert only(sure([claim()], run(spelled), default_options=DEFAULTS)).verdict == "kept"


def test_seeds_are_averaged() -> None:
    cells = [scored("small", miou, seed=s) for s, miou in enumerate((0.60, 0.70))] + [scored("large", 0.70, seed=s) for s in range(2)]
    verdict = only(sure([relative("miou", "points", -0.051)], run(*cells)))
    assert verdict.measured_value == pytest.approx(-0.05)
    shares = "65.00 % against 70.00 %, val, 1449 images, 5 epochs"
    assert verdict.measured == f"-5.00 points [-5.00, -5.00] ({shares}, mean of 2 seeds, {RESAMPLED})"
    assert verdict.cells == ["small--ce--s0", "small--ce--s1", "large--ce--s0", "large--ce--s1"]


def test_a_seed_that_failed_is_left_out() -> None:
    cells = [scored("small", 0.6, seed=0), cell("small", seed=1, status="failed"), scored("large", 0.6)]
    verdict = only(sure([relative("miou", "points", 0.0)], run(*cells)))
    assert (verdict.verdict, verdict.cells) == ("kept", ["small--ce--s0", "large--ce--s0"])


def test_each_loss_is_compared_with_the_baseline_under_the_same_loss() -> None:
    cells = [scored("small", 0.70), scored("small", 0.50, loss="focal"), scored("large", 0.70), scored("large", 0.60, loss="focal")]
    verdicts = sure([relative("miou", "points", -0.02)], run(*cells))
    assert [(v.verdict, v.cells) for v in verdicts] == [
        ("kept", ["small--ce--s0", "large--ce--s0"]),
        ("broken", ["small--focal--s0", "large--focal--s0"]),
    ]


def test_costs_do_not_depend_on_the_loss() -> None:
    cells = [cell("small", params=2_520_000), cell("small", params=2_520_000, loss="focal")]
    verdict = only(sure([claim()], run(*cells)))
    assert verdict.cells == ["small--ce--s0", "small--focal--s0"]


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": "enhanced"},
        {"settings": {"train.lr": 0.1}},
        {"loss": "focal"},
        {"resolved": {"train": {"epochs": 5}, "model_options": {"pretrained": True}}},
        {"resolved": {"train": {"epochs": 50}}},
        {"resolved": {"train": {"epochs": 5}}, "training": Training(protocol_changed="batch 8 -> 4")},
    ],
)
def test_scores_are_compared_only_where_both_were_trained_alike(other: dict[str, Any]) -> None:
    alike: dict[str, Any] = {"resolved": {"train": {"epochs": 5}}}
    stated = relative("miou", "points", 0.0)
    assert only(sure([stated], run(scored("small", 0.7, **alike), scored("large", 0.6, **alike)))).verdict == "kept"
    verdict = only(sure([stated], run(scored("small", 0.7, **alike), scored("large", 0.6, **{**alike, **other}))))
    assert verdict.missing == "needs large under the same loss, recipe, settings and circumstances"


def test_of_like_costs_only_those_under_the_conditions_are_averaged() -> None:
    cells = [cell("small", params=1, recipe="enhanced"), cell("small", params=2_520_000)]
    verdict = only(sure([claim(conditions={"recipe": "smoke"})], run(*cells)))
    assert (verdict.verdict, verdict.measured_value) == ("kept", 2_520_000)


def test_a_claim_about_losses() -> None:
    stated = relative("miou", "points", 0.01, subject="small|focal[gamma=2,alpha=1]", baseline="small|ce")
    cells = [scored("small", 0.72, loss="focal[alpha=1,gamma=2]"), scored("small", 0.70), scored("small", 0.1, loss="focal")]
    verdict = only(sure([stated], run(*cells)))
    assert (verdict.verdict, verdict.cells) == ("kept", ["small--focal[alpha=1,gamma=2]--s0", "small--ce--s0"])


def test_a_pruned_network_does_not_speak_for_the_published_one() -> None:
    assert only(sure([claim()], run(cell("small", params=2_520_000, kind="prune")))).missing == "needs small in the run"


# quantities


def test_memory_is_the_networks_own() -> None:
    memory = Memory(weights=10.0, inference_peak=700.0, activation_peak=90.0, training_peak=900.0, batch_size=1, input_size=(512, 512))
    on = {
        device: cell("small", deployments=[Deployment(backend="eager", memory_mb=memory)], resolved={"device": device})
        for device in ("cpu", "cuda")
    }
    read = {(d, q): [r.value for r in METRICS[q].read(c)] for d, c in on.items() for q in ("inference_memory_mb", "training_memory_mb")}
    assert read == {
        ("cpu", "inference_memory_mb"): [100.0],
        ("cuda", "inference_memory_mb"): [700.0],
        ("cpu", "training_memory_mb"): [None],
        ("cuda", "training_memory_mb"): [900.0],
    }


def test_only_the_eager_deployment_counts() -> None:
    latency = [Latency(batch_size=1, input_size=(512, 512), device="cpu", p50_ms=1.0)]
    exported = cell("small", deployments=[Deployment(backend="onnxruntime", latency=latency)])
    assert list(METRICS["latency_ms"].read(exported)) == []


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("params", 11.0),
        ("params_trained", 12.0),
        ("size_mb", 13.0),
        ("macs", 14.0),
        ("flops", 28.0),
        ("fvcore_flops", 15.0),
        ("latency_ms", 20.0),
        ("throughput_images_per_second", 50.0),
        ("train_images_per_second", 16.0),
        ("train_seconds_per_epoch", 2.5),
        ("miou", 0.5),
        ("miou_micro", 0.6),
        ("miou_imagewise", 0.55),
        ("miou_frequency_weighted", 0.58),
        ("pixel_accuracy", 0.8),
        ("mean_accuracy", 0.7),
        ("headline_iou", 0.65),
    ],
)
def test_each_quantity_is_read_from_its_key(quantity: str, value: float) -> None:
    quality = Quality(
        split="val",
        miou=0.5,
        miou_micro=0.6,
        miou_imagewise=0.55,
        miou_frequency_weighted=0.58,
        pixel_accuracy=0.8,
        mean_accuracy=0.7,
        headline_iou=0.65,
    )
    full = timed(
        "small",
        20.0,
        params=11,
        params_trained=12,
        size_mb=13.0,
        macs=14,
        flops=28,
        fvcore_flops=15,
        quality=quality,
        training=Training(images_per_second=16.0, seconds=10.0, epochs_run=4),
    )
    assert [reading.value for reading in METRICS[quantity].read(full)] == [value]


def test_judging_survives_run_json() -> None:
    result = run(timed("small", 10.0), timed("large", 20.0))
    stated = relative("latency_ms", "speedup", 2.0, conditions={"input_size": 512})
    again = RunResult.model_validate_json(result.model_dump_json())
    assert judge([stated], again) == sure([stated], result)


def test_trained_scores_are_not_judged_on_a_network_that_was_taken_as_given() -> None:
    def row(name: str, *, as_given: bool) -> CellResult:
        training = Training(as_given=True) if as_given else Training(epochs_run=5)
        return cell(name, loss=None if as_given else "ce", params=2_520_000, training=training, quality=Quality(split="test", miou=0.6))

    score = claim(name="guide/score", quantity="miou", comparator="at least", value=0.5, tolerance=0.0)
    gain = relative("miou", "points", 1.0, name="guide/gain")
    given, trained = row("small", as_given=True), row("small", as_given=False)
    size, quality = judge([claim(), score], RunResult(cells=[given]))
    assert (size.verdict, quality.verdict) == ("kept", "not tested here")
    assert "needs a trained small, this run took it as given" in (quality.missing or "")
    assert judge([score], RunResult(cells=[trained]))[0].verdict != "not tested here"
    assert judge([gain], RunResult(cells=[trained, row("large", as_given=True)]))[0].verdict == "not tested here"
