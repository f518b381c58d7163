"""Verdicts on noisy figures: only what holds for the whole interval is kept or broken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons.confusions import Images
from segbench.plugin.specs import Claim
from segbench.results.records import CellResult, Deployment, Epoch, Latency, Memory, Quality, RunResult, Training, Verdict


def stated(quantity: str, reading: str, value: float, **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "name": "guide/it", "summary": "it", "subject": "small", "baseline": "large", "quantity": quantity, "reading": reading,
        "comparator": "at least", "value": value, "source": "the guide",
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def cell(model: str, **fields: Any) -> CellResult:
    seed = fields.get("seed", 0)
    given: dict[str, Any] = {
        "id": f"{model}-{seed}",
        "model": model,
        "loss": "ce",
        "seed": seed,
        "status": "ok",
        "resolved": {"device": "cpu"},
    }
    return CellResult(**{**given, **fields})


def raced(model: str, rounds: list[float], *, race: str | None = "noon") -> CellResult:
    latency = Latency(
        batch_size=1, input_size=(8, 8), device="cpu", p50_ms=sorted(rounds)[len(rounds) // 2], rounds_ms=[[r] for r in rounds]
    )
    return cell(model, deployments=[Deployment(backend="eager", latency=[latency], raced=race)])


def only(claim: Claim, *cells: CellResult, **options: Any) -> Verdict:
    (verdict,) = judge([claim], RunResult(cells=list(cells)), **options)
    return verdict


# the ratios of the rounds are 1.4 .. 1.6: their median 1.5 is bounded by resampling to within these
LARGE, SMALL = [14.0, 15.0, 16.0] * 4, [10.0] * 12


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (stated("latency_ms", "speedup", 1.3), "kept"),
        (stated("latency_ms", "speedup", 1.7), "broken"),
        (stated("latency_ms", "speedup", 1.5), "cannot tell"),
        (stated("latency_ms", "speedup", 1.3, comparator="range", high=1.7), "kept"),
        (stated("latency_ms", "speedup", 1.0, comparator="range", high=1.2), "kept (exceeded)"),
        (stated("latency_ms", "speedup", 1.3, comparator="range", high=1.5), "kept"),
        (stated("latency_ms", "speedup", 1.5, comparator="range", high=1.7), "cannot tell"),
        (stated("latency_ms", "speedup", 1.5, comparator="about", tolerance=0.01), "cannot tell"),
        (stated("latency_ms", "ratio", 0.9, comparator="at most", good="lower"), "kept"),
        (stated("latency_ms", "reduction", 0.3, comparator="range", high=0.4), "cannot tell"),
    ],
)
def test_a_verdict_holds_for_the_whole_interval_or_there_is_none(claim: Claim, verdict: str) -> None:
    found = only(claim, raced("small", SMALL), raced("large", LARGE))
    assert found.low is not None
    assert found.high is not None
    assert found.measured_value is not None
    assert found.low < found.measured_value < found.high
    assert found.verdict == verdict
    assert found.missing is None


def test_the_interval_is_printed_beside_the_figure() -> None:
    found = only(stated("latency_ms", "reduction", 0.3), raced("small", SMALL), raced("large", LARGE))
    assert found.measured is not None
    figures, _, notes = found.measured.partition(" (")
    assert figures == "-33.3 % [-37.5, -28.6]"
    assert notes.endswith("12 rounds of one race)")


def test_what_was_not_raced_together_cannot_be_told_apart() -> None:
    claim = stated("latency_ms", "speedup", 1.3)
    apart = only(claim, raced("small", SMALL), raced("large", LARGE, race="midnight"))
    assert (apart.verdict, apart.missing, apart.low) == ("cannot tell", "the two were not timed in the rounds of one race", None)
    assert apart.measured is not None
    assert apart.measured.startswith("10.00 ms against 15.00 ms ("), "both values, but no ratio of them"
    assert apart.measured_value is None
    assert only(claim, raced("small", SMALL, race=None), raced("large", LARGE, race=None)).verdict == "cannot tell"
    few = only(claim, raced("small", SMALL[:3]), raced("large", LARGE[:3]))
    assert (few.verdict, few.missing) == ("cannot tell", "no interval: it takes 6 rounds, these are 3")


def trained(model: str, speeds: list[float], seed: int = 0, *, others: float | None = 0.0, **changes: Any) -> CellResult:
    """A cell trained at these images/s, epoch by epoch, while other programs used a share of the machine's CPU."""
    history = [Epoch(epoch=i, images_per_second=speed, seconds=100 / speed, other_cpu_share=others) for i, speed in enumerate(speeds, 1)]
    values: dict[str, Any] = {"images_per_second": 10.0, "seconds": 60.0, "epochs_run": len(speeds), "history": history, **changes}
    return cell(model, seed=seed, training=Training(**values))


def test_training_speed_is_judged_over_epochs_without_the_first() -> None:
    """By hand: logs of 20, 22, 18 against 10, 10.5, 9.5; Welch with 2.78 degrees of freedom, rounded down to 2 (t = 4.303)."""
    small, large = trained("small", [1.0, 20.0, 22.0, 18.0]), trained("large", [10.0, 10.0, 10.5, 9.5])
    found = only(stated("train_images_per_second", "speedup", 1.3), small, large)
    ours, theirs = np.log([20, 22, 18]), np.log([10, 10.5, 9.5])
    half = 4.302653 * math.sqrt(ours.var(ddof=1) / 3 + theirs.var(ddof=1) / 3)
    middle = ours.mean() - theirs.mean()
    assert found.measured_value == pytest.approx(math.exp(middle))
    assert (found.low, found.high) == pytest.approx((math.exp(middle - half), math.exp(middle + half)), rel=1e-5)
    assert found.verdict == "kept"
    assert only(stated("train_images_per_second", "speedup", 2.0), small, large).verdict == "cannot tell"
    assert only(stated("train_images_per_second", "speedup", 3.0), small, large).verdict == "broken"
    short = only(stated("train_images_per_second", "speedup", 1.3), trained("small", [1.0, 20.0]), large)
    assert (short.verdict, short.missing) == ("cannot tell", "an interval takes 3 epochs after the first one")


def test_three_seeds_speak_for_training_speed_before_epochs_do() -> None:
    cells = [trained("small", [1.0, 20.0 + s, 20.0 + s], s) for s in range(3)] + [trained("large", [1.0, 10.0, 10.0], s) for s in range(3)]
    found = only(stated("train_images_per_second", "speedup", 1.3), *cells)
    logs = np.log([2.0, 2.1, 2.2])
    half = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((math.exp(logs.mean() - half), math.exp(logs.mean() + half)), rel=1e-5)
    assert found.measured is not None
    assert "t interval over 3 seeds" in found.measured


def test_an_epochs_length_has_an_interval_of_its_own() -> None:
    claim = stated("train_seconds_per_epoch", "value", 10.0, baseline=None, comparator="at most", good="lower")
    found = only(claim, trained("small", [1.0, 20.0, 22.0, 18.0]))
    assert found.measured_value == 5.0, "the median"
    logs = np.log([100 / 20, 100 / 22, 100 / 18])
    half = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((5 * math.exp(-half), 5 * math.exp(half)), rel=1e-5)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        (0.2, "small-0: other programs used 20 % of the machine's CPU while it trained, and 5 % count as quiet"),
        (None, "small-0: whether other programs used the machine while it trained is not known"),
    ],
)
@pytest.mark.parametrize("quantity", ["train_images_per_second", "train_seconds_per_epoch", "training_hours"])
def test_a_busy_machine_decides_nothing_about_training(quantity: str, others: float | None, why: str) -> None:
    small, large = trained("small", [1.0, 20.0, 22.0, 18.0], others=others), trained("large", [10.0, 10.0, 10.5, 9.5])
    judged = only(stated(quantity, "speedup", 1.3), small, large)
    assert (judged.verdict, judged.low, judged.missing) == ("cannot tell", None, why)
    assert judged.measured is not None
    assert " against " in judged.measured.partition(" (")[0], "both values, but no ratio of them"
    assert judged.measured_value is None
    alone = only(stated(quantity, "value", 1e-9, baseline=None, comparator="at least"), small)
    assert (alone.verdict, alone.missing) == ("cannot tell", why)


def test_what_a_quiet_machine_gave_to_others_widens_the_interval() -> None:
    speeds, others = ([1.0, 20.0, 22.0, 18.0], [10.0, 10.0, 10.5, 9.5]), (0.04, 0.02)
    bounds = []
    for quantity in ("train_images_per_second", "train_seconds_per_epoch"):
        claim = stated(quantity, "speedup", 1.3)
        still = only(claim, trained("small", speeds[0]), trained("large", speeds[1]))
        shared = only(claim, trained("small", speeds[0], others=others[0]), trained("large", speeds[1], others=others[1]))
        assert still.low is not None
        assert still.high is not None
        assert (shared.low, shared.high) == pytest.approx((still.low * 0.98, still.high / 0.96))
        bounds.append((shared.low, shared.high))
    assert bounds[0] == pytest.approx(bounds[1])


def test_durations_of_trainings_of_different_length_are_not_bounded_by_their_epochs() -> None:
    cells = trained("small", [1.0, 20.0, 22.0, 18.0], epochs_run=4), trained("large", [10.0, 10.0, 10.5, 9.5, 10.0])
    judged = only(stated("training_hours", "speedup", 1.3), *cells)
    assert (judged.verdict, judged.missing) == ("cannot tell", "they were trained for different numbers of epochs: 4, 5")


def scored(model: str, miou: float, seed: int = 0, accuracy: float = 0.9) -> CellResult:
    return cell(model, seed=seed, quality=Quality(split="val", images=40, miou=miou, pixel_accuracy=accuracy))


def test_three_seeds_are_judged_by_their_paired_differences() -> None:
    pairs = [(0.50, 0.52), (0.54, 0.55), (0.58, 0.61)]
    cells = [scored(model, pair[side], s) for side, model in enumerate(("small", "large")) for s, pair in enumerate(pairs)]
    found = only(stated("miou", "points", -0.05), *cells)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (found.measured_value, found.low, found.high) == pytest.approx((-0.02, -0.02 - half, -0.02 + half), rel=1e-5)
    assert found.verdict == "kept"
    shares = only(stated("miou", "ratio", 0.97, unit="%"), *cells)
    assert shares.measured_value == pytest.approx(np.mean([0.50 / 0.52, 0.54 / 0.55, 0.58 / 0.61]))
    assert shares.verdict == "cannot tell"


def matrices_of(counts: dict[str, npt.NDArray[Any]]) -> Any:
    return lambda of: Images(tuple(map(str, range(len(counts[of.model])))), counts[of.model], None, None)


def images(right: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """One class of 1000 pixels per image, of which so many are found: mIoU and pixel accuracy are the share of them."""
    return np.array([[[hits, 1000 - hits], [0, 0]] for hits in right])


def test_fewer_seeds_are_judged_by_the_images_of_these_checkpoints() -> None:
    random = np.random.default_rng(1)
    easy = random.integers(300, 900, 40)
    large, small = images(easy), images(easy - 20 + random.integers(-5, 6, 40))
    scores = {name: float(table[:, 0, 0].sum() / table.sum()) for name, table in (("small", small), ("large", large))}
    cells = [scored(name, score, accuracy=score) for name, score in scores.items()]
    matrices = matrices_of({"small": small, "large": large})
    found = only(stated("miou", "points", -0.03), *cells, matrices=matrices)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.004, "paired by image: how hard an image is does not count"
    assert found.low < scores["small"] - scores["large"] < found.high
    assert found.verdict == "kept"
    assert found.measured is not None
    assert "bootstrap over 40 images, of these checkpoints" in found.measured
    share = only(stated("pixel_accuracy", "ratio", 0.95, unit="%"), *cells, matrices=matrices)
    assert share.low is not None
    assert share.high is not None
    assert share.low < scores["small"] / scores["large"] < share.high
    alone = only(stated("miou", "value", 0.5, baseline=None), *cells, matrices=matrices)
    assert alone.low is not None
    assert alone.high is not None
    assert alone.high - alone.low > 0.05, "alone it is not known better than the images differ"


@pytest.mark.parametrize(
    ("matrices", "why"),
    [
        (lambda of: None, "fewer than 3 seeds, and the matrices of the images are not there to resample"),
        (lambda of: Images((of.model,), images(np.array([500])), None, None), "scored on different images: large-0 on 1, small-0 on 1"),
        (lambda of: Images(("a", "b"), images(np.array([500, 400])), None, None), "2 images are too few for an interval: at least 10"),
    ],
)
def test_a_score_without_an_interval_supports_no_verdict(matrices: Any, why: str) -> None:
    found = only(stated("miou", "points", -0.9), scored("small", 0.5), scored("large", 0.5), matrices=matrices)
    assert (found.verdict, found.missing, found.measured_value) == ("cannot tell", why, None)
    assert found.measured is not None
    assert found.measured.startswith("50.00 % against 50.00 %"), "both values, but no difference of them"


def used(model: str, *mb: float, device: str = "cpu", seed: int = 0) -> CellResult:
    """Weights of 10 MB, and as many processes as there are figures, which say what weights and activations took in each."""
    activations = [each - 10.0 for each in mb]
    memory = Memory(
        weights=10.0,
        activation_peak=float(np.median(activations)),
        inference_peak=700.0,
        activation_peaks=activations if len(mb) > 1 else [],
    )
    return cell(model, seed=seed, deployments=[Deployment(backend="eager", memory_mb=memory)], resolved={"device": device})


def _around(mb: float, spread: float) -> list[float]:
    return [mb - spread, mb - spread / 2, mb, mb, mb + spread / 2, mb + spread]


@pytest.mark.parametrize(("mb", "spread", "verdict"), [(52.0, 2.0, "kept"), (59.0, 5.0, "cannot tell"), (75.0, 5.0, "broken")])
def test_memory_is_as_sure_as_its_processes_are_alike(mb: float, spread: float, verdict: str) -> None:
    claim = stated("inference_memory_mb", "ratio", 0.6, comparator="at most", good="lower")
    found = only(claim, used("small", *_around(mb, spread)), used("large", *_around(100.0, 5.0)))
    assert found.verdict == verdict
    assert found.measured_value == pytest.approx(mb / 100)
    # the least reading of one beside the greatest of the other
    reach = math.hypot(math.log(mb / (mb - spread)), math.log(105 / 100))
    assert found.low == pytest.approx(mb / 100 * math.exp(-reach))


def test_memory_that_was_read_once_supports_no_verdict() -> None:
    """Readings of one figure differ by 9 % from process to process: a single one says nothing of the next."""
    claim = stated("inference_memory_mb", "ratio", 0.6, comparator="at most", good="lower")
    found = only(claim, used("small", 30.0), used("large", *_around(100.0, 5.0)))
    assert (found.verdict, found.low, found.high) == ("cannot tell", None, None)
    assert found.missing == "memory was read in one process; an interval takes 6"
    exact = only(claim, used("small", 60.0, device="cuda"), used("large", 110.0, device="cuda"))
    assert (exact.low, exact.high) == (None, None)


def test_cells_that_share_one_measurement_of_memory_do_not_narrow_its_interval() -> None:
    claim = stated("inference_memory_mb", "value", 100.0, comparator="at most", good="lower", baseline=None)
    one = only(claim, used("small", *_around(80.0, 5.0)))
    three = only(claim, *(used("small", *_around(80.0, 5.0), seed=seed) for seed in range(3)))
    assert (one.low, one.high) == (three.low, three.high) == (75.0, 85.0)


def test_memory_that_hardly_varies_is_as_sure_as_its_meter() -> None:
    """1 MB on either side of 20 and of 40 MB."""
    claim = stated("inference_memory_mb", "reduction", 0.5, comparator="at least", good="higher")
    found = only(claim, used("small", *_around(20.0, 0.01)), used("large", *_around(40.0, 0.01)))
    assert (found.low, found.high) == pytest.approx((1 - 0.5 * math.exp(0.075), 1 - 0.5 * math.exp(-0.075)), abs=1e-3)


def test_images_of_one_scene_are_no_independent_evidence() -> None:
    random = np.random.default_rng(2)
    scenes = np.repeat(random.integers(300, 900, 12), 5)
    table = images(scenes)
    names, groups = tuple(map(str, range(60))), tuple(str(n // 5) for n in range(60))
    score = float(table[:, 0, 0].sum() / table.sum())
    claim = stated("miou", "value", 0.5, baseline=None)
    found = {
        kind: only(claim, scored("small", score), matrices=lambda of, given=given: Images(names, table, None, given))
        for kind, given in (("images", None), ("scenes", groups))
    }
    widths = {kind: (v.high or 0) - (v.low or 0) for kind, v in found.items() if v.low is not None}
    assert "scenes" not in widths or widths["scenes"] > 1.5 * widths["images"]
    assert "12 groups of images" in f"{found['scenes'].measured} {found['scenes'].missing}"


def test_a_single_timing_has_the_interval_of_its_race() -> None:
    """95 to 105 ms for a batch of 8 are 76.2 to 84.2 images per second."""
    single = Latency(batch_size=1, input_size=(8, 8), device="cpu", p50_ms=10.0, ci95_ms=(9.5, 10.5))
    batch = Latency(batch_size=8, input_size=(8, 8), device="cpu", p50_ms=100.0, ci95_ms=(95.0, 105.0), images_per_second=80.0)
    timed = cell("small", deployments=[Deployment(backend="eager", latency=[single, batch], raced="noon")])
    rate = only(stated("throughput_images_per_second", "value", 75.0, baseline=None), timed)
    assert (rate.low, rate.high) == pytest.approx((8000 / 105, 8000 / 95))
    assert rate.verdict == "kept"
    slow = only(stated("latency_ms", "value", 10.0, baseline=None, comparator="at most", good="lower"), timed)
    assert (slow.low, slow.high, slow.verdict) == (9.5, 10.5, "cannot tell")
