"""Training speeds between models: when they are compared, over what, and why they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from segbench.analysis.comparisons import compare_training_speeds
from segbench.results.records import CellResult, Comparison, Epoch, RunResult, Training

FAST, SLOW = (1.0, 20.0, 22.0, 18.0), (10.0, 10.0, 10.5, 9.5)


def trained(
    model: str, speeds: Sequence[float], seed: int = 0, *, others: float | None = 0.0, loss: str = "ce", **changes: Any
) -> CellResult:
    """A cell trained at these images/s, epoch by epoch, while other programs used a share of the machine's CPU."""
    epochs = [
        Epoch(epoch=n, images_per_second=speed, seconds=100 / speed, other_cpu_share=others, image_size=(48, 64))
        for n, speed in enumerate(speeds, 1)
    ]
    values: dict[str, Any] = {"device": "cpu", "precision": "off", "batch_size": 8, "history": epochs, **changes}
    machine = values.pop("machine", {})
    values = {"training": Training(**values), "machine": machine}
    return CellResult(id=f"{model}-{loss}-{seed}", model=model, loss=loss, recipe="smoke", seed=seed, status="ok", **values)


def only(*cells: CellResult) -> Comparison:
    (one,) = compare_training_speeds(RunResult(cells=list(cells)))
    return one


def test_two_trainings_are_compared_over_their_epochs() -> None:
    """By hand: Welch with 2.78 degrees of freedom, rounded down to 2 (t = 4.303); the first epoch of each is left out."""
    one = only(trained("large", SLOW), trained("small", FAST))
    ours, theirs = np.log(FAST[1:]), np.log(SLOW[1:])
    half = 4.302653 * math.sqrt(ours.var(ddof=1) / 3 + theirs.var(ddof=1) / 3)
    middle = ours.mean() - theirs.mean()
    assert (one.subject, one.baseline, one.quantity, one.reading) == ("small", "large", "train_images_per_second", "ratio")
    assert one.value == pytest.approx(math.exp(middle))
    assert (one.low, one.high) == pytest.approx((math.exp(middle - half), math.exp(middle + half)), rel=1e-5)
    assert (one.verdict, one.confidence, one.scope) == ("faster", 0.95, "these 2 trainings on this machine")
    assert one.p_adjusted == one.p_value


def test_three_seeds_speak_for_the_models() -> None:
    cells = [trained(model, [1.0, speed + s, speed + s], s) for model, speed in (("large", 10.0), ("small", 20.0)) for s in range(3)]
    one = only(*cells)
    logs = np.log([20 / 10, 21 / 11, 22 / 12])
    half = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    assert (one.low, one.high) == pytest.approx((math.exp(logs.mean() - half), math.exp(logs.mean() + half)), rel=1e-5)
    assert (one.verdict, one.scope, one.n) == ("faster", "this machine", 3)
    assert one.subject_cells == ["small-ce-0", "small-ce-1", "small-ce-2"]


def test_pairs_with_the_first_model_are_planned_and_the_others_share_what_is_left() -> None:
    cells = [trained(f"m{n}", [1.0, 10.0 * n, 10.1 * n, 9.9 * n, 10.2 * n]) for n in (1, 2, 3)]
    compared = compare_training_speeds(RunResult(cells=cells))
    assert [(c.subject, c.baseline) for c in compared] == [("m2", "m1"), ("m3", "m1"), ("m3", "m2")]
    assert [c.confidence for c in compared] == pytest.approx([1 - 0.02, 1 - 0.02, 1 - 0.01])
    assert compared[0].p_value is not None
    assert compared[0].p_adjusted == pytest.approx(compared[0].p_value * 2.5)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"others": 0.4}, "small-ce-0: other programs used 40 % of the machine's CPU while it trained, and 5 % count as quiet"),
        ({"others": None}, "small-ce-0: whether other programs used the machine while it trained is not known"),
        ({"device": "cuda"}, "large-ce-0 and small-ce-0 were trained under different conditions: device"),
        ({"batch_size": 4}, "large-ce-0 and small-ce-0 were trained under different conditions: batch_size"),
        ({"machine": {"cpu": "B"}}, "large-ce-0 and small-ce-0 were trained under different conditions: cpu - -> B"),
        ({"speeds": FAST[:3]}, "an interval takes 3 epochs after the first one"),
        ({"speeds": [1.0, 2.0, 2.0, 2.0], "baseline": [1.0, 1.0, 1.0, 1.0]}, "its epochs do not vary"),
        ({"seed": 1}, "no seed in common"),
    ],
)
def test_what_cannot_be_compared_says_why(changes: dict[str, Any], why: str) -> None:
    speeds, baseline = changes.pop("speeds", FAST), changes.pop("baseline", SLOW)
    one = only(trained("large", baseline), trained("small", speeds, **changes))
    assert (one.verdict, one.low, one.high, one.reason) == ("cannot tell", None, None, why)


def test_a_gpu_that_others_held_compares_nothing() -> None:
    def on_gpu(held: int | None) -> Comparison:
        cells = [trained("large", SLOW, device="cuda:0"), trained("small", FAST, device="cuda:0")]
        for cell in cells:
            assert cell.training is not None
            for row in cell.training.history:
                row.other_gpu_processes = held if row.epoch == 3 else 0
        return only(*cells)

    assert on_gpu(0).verdict == "faster"
    assert on_gpu(2).reason == "large-ce-0: other programs held the GPU in 1 of 3 epochs"
    assert on_gpu(None).reason == "large-ce-0: whether other programs used the GPU while it trained is not known"


def test_growing_images_are_not_one_speed() -> None:
    large, small = trained("large", SLOW), trained("small", FAST)
    assert small.training is not None
    small.training.history[1].image_size = (24, 32)
    assert only(large, small).reason == "the image size was not the same in all epochs"


def test_losses_on_one_network_are_compared_with_each_other() -> None:
    """Their costs differ too; only quiet trainings are compared, as of models."""
    (found,) = compare_training_speeds(RunResult(cells=[trained("large", SLOW), trained("large", FAST, loss="focal")]))
    assert (found.axis, found.subject, found.baseline) == ("loss", "focal", "ce")


def test_equal_trainings_get_a_false_verdict_in_few_families() -> None:
    """Four equal models, twelve epochs that vary by 3 %: at most 5 % of 300 families have a false verdict, up to their error."""
    random = np.random.default_rng(1)
    false = 0
    for _ in range(300):
        cells = [trained(f"m{n}", (10 * np.exp(random.normal(0, 0.03, 12))).tolist()) for n in range(4)]
        false += any(c.verdict in ("faster", "slower") for c in compare_training_speeds(RunResult(cells=cells)))
    assert false <= 27
