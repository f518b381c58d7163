"""The section on training: median speeds, and how far they compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv, markdown
from segbench_reports.sections.training import speed_sentences

UNKNOWN = "whether other programs used the machine while it trained is not known"
BUSY = "small-ce-0: other programs used 40 % of the machine's CPU while it trained, and 5 % count as quiet"


def _speed(subject: str = "small", baseline: str = "big", **changes: Any) -> dict[str, Any]:
    told = {"value": 1.9, "low": 1.8, "high": 2.0, "confidence": 1 - 0.05 / 3, "verdict": "faster"}
    sides = {"subject": subject, "baseline": baseline, "scope": "these 2 trainings on this machine", "context": {"loss": "ce"}}
    return {"quantity": "train_images_per_second", "reading": "ratio", **sides, **told, **changes}


@pytest.fixture
def run(make_cell: Callable[..., CellResult], make_run: Callable[..., RunResult]) -> Callable[..., RunResult]:
    """A run of two cells, of which the second had a slow first epoch and one that something else held up."""

    def make(*comparisons: dict[str, Any]) -> RunResult:
        cells = [make_cell(), make_cell("small")]
        training = cells[1].training
        assert training is not None
        for row, speed in zip(training.history, (2.0, 12.0, 0.2, 11.0), strict=True):
            row.images_per_second = speed
        return make_run(cells, comparisons=list(comparisons))

    return make


def test_the_median_over_epochs_stands_in_every_format(run: Callable[..., RunResult], target: ReportTarget) -> None:
    """The run stored 30 images/s, as earlier versions did."""
    text = markdown.render(run(), target)
    rows = [line for line in text.split("## Training")[1].splitlines() if line.startswith("| small")]
    assert "| 11.0 |" in rows[0]
    header, _, small = (line.split(",") for line in csv.render(run(), target).splitlines()[:3])
    assert small[header.index("training_images_per_second")] == "11.0"


def test_verdicts_on_speeds_carry_their_interval(run: Callable[..., RunResult]) -> None:
    same = _speed("tiny", "big", value=1.01, low=0.98, high=1.04, verdict="no difference shown")
    assert speed_sentences(run(_speed(), same)) == [
        "small (ce) trains 1.90x as fast as big (98.3 % interval 1.80 to 2.00, these 2 trainings on this machine).",
        "tiny and big (ce) show no difference in training speed (98.3 % interval 0.98 to 1.04, these 2 trainings on this machine).",
    ]


def _untold(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "verdict": "cannot tell", "reason": reason}


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ((BUSY, BUSY), "other programs used 40 % of the machine's CPU, and 5 % count as quiet"),
        ((f"small-ce-0: {UNKNOWN}", f"big-ce-0: {UNKNOWN}"), "whether other programs used the machine is not known"),
        (
            ("big-ce-0 and small-ce-0 were trained under different conditions: batch_size",) * 2,
            "they were trained under different conditions: batch_size",
        ),
        (("no seed in common",) * 2, "no seed in common"),
    ],
)
def test_one_reason_for_all_pairs_is_one_sentence_without_cells(
    run: Callable[..., RunResult], target: ReportTarget, reasons: tuple[str, str], said: str
) -> None:
    result = run(_speed(**_untold(reasons[0])), _speed("tiny", "small", **_untold(reasons[1])))
    sentence = f"Training speeds are not compared: {said}."
    assert speed_sentences(result) == [sentence]
    assert sentence in markdown.render(result, target)


def test_several_reasons_are_a_sentence_each_that_names_few_pairs_and_counts_many(run: Callable[..., RunResult]) -> None:
    many = [_speed(f"m{n}", "big", **_untold(f"{cell}: {UNKNOWN}")) for n, cell in enumerate(["small-ce-0", "big-ce-0"] * 3)]
    assert speed_sentences(run(*many, _speed(**_untold("no seed in common")))) == [
        "Training speeds of 6 pairs are not compared: whether other programs used the machine is not known.",
        "Training speeds (small against big) are not compared: no seed in common.",
    ]
    assert speed_sentences(run(_speed(), _speed("tiny", **_untold("no seed in common"))))[1:] == [
        "Training speeds (tiny against big) are not compared: no seed in common."
    ]


@pytest.mark.parametrize(("select_on", "epoch"), [("val", "| 4 |"), (None, "| not chosen; kept the last, 4 |")])
def test_an_epoch_that_no_split_chose_is_not_called_the_best(
    make_cell: Callable[..., CellResult], make_run: Callable[..., RunResult], target: ReportTarget, select_on: str | None, epoch: str
) -> None:
    cell = make_cell()
    assert cell.training is not None
    training = cell.training.model_copy(update={"select_on": select_on})
    text = markdown.render(make_run([cell.model_copy(update={"training": training})]), target)
    (row,) = [line for line in text.split("## Training")[1].split("## ")[0].splitlines() if line.startswith("| big")]
    assert row.startswith(f"| big | 4 {epoch}")


def test_without_comparisons_nothing_is_said(run: Callable[..., RunResult]) -> None:
    assert speed_sentences(run()) == []
