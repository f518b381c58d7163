"""The summary in sentences: only claims that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.reports.made_comparisons import even, no_interval, with_comparisons

from segbench import CellResult, Comparison, RunResult
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary, unfinished_note

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _sentences(make_run: RunMaker, cells: Sequence[CellResult], **changes: Any) -> list[str]:
    result = with_comparisons(make_run(cells, **changes))
    return summary(result, main_table(result))


def test_a_pair_is_compared_in_cost_speed_and_score(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(miou=0.5), make_cell("small", miou=0.488, millions=1.0, milliseconds=12.5)]
    assert _sentences(make_run, cells) == [
        "Compared with big, small has 0.25x the parameters and 0.25x the MACs, runs 1.60x as fast (95 % interval 1.57 to 1.63; batch 1, "
        "48x64, cpu, 2 threads) and scores 1.2 points lower in mIoU on squares test over 2 of 3 classes "
        "(48.8% against 50.0%; 95 % interval −1.6 to −0.8 "
        "points; these two checkpoints).",
        "One seed: these verdicts are about these checkpoints, not about the architectures; how far these scores would move with another "
        "is not known.",
    ]


def test_what_noise_can_explain_is_not_called_a_difference(make_cell: CellMaker, make_run: RunMaker) -> None:
    text = _sentences(make_run, [make_cell(), make_cell("b", milliseconds=20.2, miou=0.501)])[0]
    assert "shows no difference in speed (0.99x as fast, 95 % interval 0.97 to 1.01; batch 1, 48x64, cpu, 2 threads)" in text
    assert (
        "shows no difference in mIoU on squares test over 2 of 3 classes "
        "(50.1% against 50.0%; +0.1 points, 95 % interval −0.3 to +0.5 points" in text
    )


def test_rounded_figures_do_not_contradict_each_other(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = with_comparisons(make_run([make_cell(miou=0.4924), make_cell("b", miou=0.4916)]), score=even(0.0001))
    text = " ".join(summary(run, main_table(run)))
    assert (
        "scores 0.08 points lower in mIoU on squares test over 2 of 3 classes (49.16% against 49.24%; 95 % interval −0.09 to −0.07 points"
        in text
    )


def test_what_cannot_be_told_says_why_and_gives_no_ratio(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = with_comparisons(make_run([make_cell(), make_cell("b", milliseconds=5.0)]), score=no_interval, speed=no_interval)
    text = " ".join(summary(run, main_table(run)))
    assert "cannot be told apart from it in speed (it takes 6 rounds, these are 4; batch 1, 48x64, cpu, 2 threads)" in text
    assert "as fast" not in text


def test_times_taken_under_other_conditions_are_not_compared(make_cell: CellMaker, make_run: RunMaker) -> None:
    other = make_cell("b", milliseconds=5.0)
    other.deployments[0].latency[0].threads = 1
    assert "as fast" not in " ".join(_sentences(make_run, [make_cell(), other]))


def test_losses_are_compared_model_by_model(make_cell: CellMaker, make_run: RunMaker) -> None:
    scores = {("big", "ce"): 0.5, ("big", "focal"): 0.519, ("small", "ce"): 0.45, ("small", "focal"): 0.44}
    text = _sentences(make_run, [make_cell(model, loss, miou=miou) for (model, loss), miou in scores.items()])
    assert (
        "focal in place of ce: big scores 1.9 points higher in mIoU (51.9% against 50.0%; 95 % interval +1.4 to +2.4 points, "
        "corrected for 2 comparisons; these two checkpoints); small scores 1.0 points lower in mIoU (44.0% against 45.0%; 95 % interval "
        "−1.5 to −0.5 points, corrected for 2 comparisons; these two checkpoints)."
    ) in text
    assert text[0] == "big (focal) has the highest mIoU on squares test over 2 of 3 classes: 51.9%."
    assert text[1].startswith("Compared with big, small has the same parameters and the same MACs and shows no difference in speed")
    assert "; with ce it scores 5.0 points lower in mIoU" in text[1]
    assert "; with focal it scores 7.9 points lower in mIoU" in text[1]


def test_further_models_have_their_verdicts_in_one_sentence(make_cell: CellMaker, make_run: RunMaker) -> None:
    scores = {f"m{n}": 0.5 + 0.02 * n for n in range(8)}
    text = _sentences(make_run, [make_cell(name, miou=miou) for name, miou in scores.items()])
    assert [sentence.partition(",")[0] for sentence in text if sentence.startswith("Compared")] == ["Compared with m0"] * 4
    (rest,) = [sentence for sentence in text if sentence.startswith("Further")]
    assert rest == ("Further models against m0: better in mIoU: m5, m6 and m7; no difference shown in latency: m5, m6 and m7.")


def test_a_network_that_predicts_one_class_is_named(make_cell: CellMaker, make_run: RunMaker) -> None:
    cell = make_cell("b", miou=0.4)
    assert cell.quality is not None
    quality = cell.quality.model_copy(update={"recall_per_class": [1.0, 0.0, None]})
    text = _sentences(make_run, [make_cell(), cell.model_copy(update={"quality": quality})])
    (named,) = [sentence for sentence in text if "nothing learned" in sentence]
    assert named == (
        "b predicts only ground: nothing learned. Its speed and cost are not weighed against quality. Two causes look alike: the class "
        "fills 90.0 % of the scored labels (class weights, as in ce[weights=(..)], or the loss focal), or training ended too early after 4 "
        "epochs (more train.epochs, or another train.lr). "
        "Check the labels first (segbench data check): rare has no pixel in the scored split."
    )
    assert not any("Compared with" in sentence or "x as fast" in sentence for sentence in text)


def test_deviation_over_seeds_is_explained_where_there_are_several(make_cell: CellMaker, make_run: RunMaker) -> None:
    text = _sentences(make_run, [make_cell(seed=0), make_cell(seed=1, miou=0.6)])
    assert text == [
        "big scores 55.0 ±7.1% mIoU on squares test over 2 of 3 classes, 20 images.",
        "± behind a score is its standard deviation over seeds.",
    ]


def test_without_scores_nothing_is_said_about_them(make_cell: CellMaker, make_run: RunMaker) -> None:
    profiled = {"quality": None, "training": None, "loss": None, "dataset": None}
    cells = [make_cell(**profiled), make_cell("small", millions=1.0, milliseconds=10.0, **profiled)]
    assert _sentences(make_run, cells, config={}) == [
        "Compared with big, small has 0.25x the parameters and 0.25x the MACs and runs 2.00x as fast (95 % interval 1.96 to 2.04; "
        "batch 1, 48x64, cpu, 2 threads)."
    ]


def test_a_training_score_is_never_compared(make_cell: CellMaker, make_run: RunMaker) -> None:
    seen = [make_cell(m, quality={"split": "val", "training_score": s}) for m, s in (("big", 0.9), ("small", 0.7))]
    assert "points" not in " ".join(_sentences(make_run, seen))


def test_an_incomplete_run_says_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(), make_cell("b", status="pending", quality=None)]
    assert unfinished_note(make_run(cells, complete=False)) == (
        "This run is incomplete: 1 of 2 cells is done. The same command continues where it stopped."
    )
    assert unfinished_note(make_run(cells[:1])) == ""


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("faster", "runs 1.67x as fast (95 % interval 1.54 to 1.82; batch 1, 48x64, cpu, 2 threads)"),
        (
            "no difference shown",
            "shows no difference in speed (1.67x as fast, 95 % interval 1.54 to 1.82; batch 1, 48x64, cpu, 2 threads)",
        ),
    ],
)
def test_speed_is_told_by_the_races_verdict(comparison: RunResult, verdict: str, said: str) -> None:
    big, small = comparison.cells[0], comparison.cells[2]
    raced = Comparison(
        quantity="latency_ms", subject="small", baseline="big", subject_cells=[small.id], baseline_cells=[big.id], subject_backend="eager",
        baseline_backend="eager", reading="ratio", value=0.6, low=0.55, high=0.65, verdict=verdict,
        context={"batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2},
    )  # fmt: skip
    elsewhere = raced.model_copy(update={"value": 0.1, "context": {**raced.context, "input_size": [96, 96]}})
    run = comparison.model_copy(update={"comparisons": [elsewhere, raced]})
    assert said in " ".join(summary(run, main_table(run)))
