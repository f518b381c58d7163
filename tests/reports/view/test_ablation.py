"""An ablation in reports: only claims that its comparisons show."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from segbench import Ablation, AblationStep, CellResult, Comparison, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_rows
from segbench_reports.formats import markdown, terminal
from segbench_reports.view.ablation import MeasuredStep, measured_ablations, sentences

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

MODELS = ("net", "net[width=8]", "net[skip=1,width=8]", "slim")
CHANGES = (("width", "16", "8"), ("skip", "0", "1"), ("kind", "plain", "thin"))


def compared(subject: CellResult, baseline: CellResult, value: float, half: float, quantity: str = "miou", **changes: Any) -> Comparison:
    low, high = value - half, value + half
    verdict = "no difference shown" if low <= 0 <= high else "better" if value > 0 else "worse"
    values = {
        "quantity": quantity, "subject": subject.model, "baseline": baseline.model, "subject_cells": [subject.id],
        "baseline_cells": [baseline.id], "value": value, "low": low, "high": high, "verdict": verdict, "method": "a t interval over seeds",
        "scope": "the architectures under this recipe", "headline": False, "context": {"step": 1},
    }  # fmt: skip
    return Comparison.model_validate(values | changes)


@pytest.fixture
def ablated(make_cell: CellMaker, make_run: RunMaker) -> RunResult:
    """Half the width at the same score, a skip that costs and gives nothing, and a last step that saves at a loss."""
    cells = [
        make_cell(MODELS[0], millions=4.0, miou=0.50),
        make_cell(MODELS[1], millions=2.0, miou=0.50),
        make_cell(MODELS[2], millions=3.0, miou=0.505),
        make_cell(MODELS[3], millions=1.0, miou=0.45),
    ]
    steps = [
        AblationStep(option=name, before=before, after=after, baseline=one, subject=other)
        for (name, before, after), one, other in zip(CHANGES, MODELS, MODELS[1:], strict=False)
    ]
    values = (0.0, 0.005, -0.055)
    found = [compared(*pair, v, 0.013, context={"step": n}) for n, (pair, v) in enumerate(zip(_pairs(cells), values, strict=True), 1)]
    return make_run(cells, ablation=Ablation(start="net", end="slim", steps=steps), comparisons=found)


def _pairs(cells: Sequence[CellResult]) -> list[tuple[CellResult, CellResult]]:
    return [(after, before) for before, after in itertools.pairwise(cells)]


def _steps(result: RunResult) -> Sequence[MeasuredStep]:
    (measured,) = measured_ablations(result)
    return measured.steps


def test_each_step_is_judged_by_its_own_difference_and_cost(ablated: RunResult) -> None:
    assert [step.outcome for step in _steps(ablated)] == [
        ("cheaper", "no loss of mIoU shown (a loss of up to 1.3 points is not excluded)"),
        ("dearer", "no gain in mIoU shown"),
        ("a trade", "lower cost, but worse"),
    ]
    assert sentences(ablated) == [
        "Of the changes from net to slim, width=8 is cheaper (no loss of mIoU shown); "
        "skip=1 is dearer (no gain in mIoU shown); kind=thin is a trade (lower cost, but worse); "
        "where no loss is shown, losses of up to 1.3 points are not excluded."
    ]


@pytest.mark.parametrize(
    ("miou", "millions", "latency", "outcome"),
    [
        (0.05, 4.0, "no difference shown", "pays"),
        (0.05, 8.0, "no difference shown", "a trade"),
        (0.0, 4.0, "no difference shown", "no effect shown"),
        (0.0, 4.0, "faster", "cheaper"),
        (0.0, 4.0, "slower", "dearer"),
        (0.0, 2.0, "slower", "a trade"),
        (-0.05, 4.0, "no difference shown", "costs"),
        (-0.05, 2.0, "slower", "costs"),
        (-0.05, 4.0, "faster", "a trade"),
    ],
)
def test_verdicts_over_all_mixtures(
    make_cell: CellMaker, make_run: RunMaker, miou: float, millions: float, latency: str, outcome: str
) -> None:
    before, after = make_cell("net"), make_cell("slim", millions=millions)
    ablation = Ablation(start="net", end="slim", steps=[AblationStep(option="a", before="1", after="2", baseline="net", subject="slim")])
    timed = compared(after, before, 1.0, 0.1, "latency_ms", reading="ratio", verdict=latency)
    run = make_run([before, after], ablation=ablation, comparisons=[compared(after, before, miou, 0.01), timed])
    assert _steps(run)[0].outcome[0] == outcome


def test_a_speed_that_is_lost_in_the_correction_is_no_cost(make_cell: CellMaker, make_run: RunMaker) -> None:
    before, after = make_cell("net"), make_cell("slim")
    ablation = Ablation(start="net", end="slim", steps=[AblationStep(option="a", before="1", after="2", baseline="net", subject="slim")])
    timed = compared(after, before, 0.96, 0.03, "latency_ms", reading="ratio", verdict="faster")
    same = compared(after, before, 0.0, 0.01)
    lost = timed.model_copy(update={"reason": "by itself, but not after correction for 7 steps"})
    outcomes = []
    for each in (timed, lost):
        (step,) = _steps(make_run([before, after], ablation=ablation, comparisons=[same, each]))
        outcomes.append((step.speed, step.outcome[0]))
    assert outcomes == [("faster", "cheaper"), (None, "no effect shown")]


def test_without_an_interval_nothing_is_claimed(ablated: RunResult, make_cell: CellMaker) -> None:
    bare = ablated.model_copy(update={"comparisons": []})
    assert {step.outcome for step in _steps(bare)} == {("cannot tell", "no interval for the difference in mIoU")}
    assert sentences(bare) == []
    waiting = ablated.model_copy(update={"cells": [*ablated.cells[:3], ablated.cells[3].model_copy(update={"quality": None})]})
    assert _steps(waiting)[2].outcome == ("cannot tell", "not run yet")
    other = compared(make_cell("net", loss="focal"), ablated.cells[1], 0.3, 0.01)
    elsewhere = ablated.model_copy(update={"comparisons": [other]})
    assert _steps(elsewhere)[0].miou is None, "a comparison of other cells says nothing here"


def test_few_seeds_speak_of_their_checkpoints_only(ablated: RunResult) -> None:
    found = [c.model_copy(update={"scope": "these two checkpoints"}) for c in ablated.comparisons]
    (said,) = sentences(ablated.model_copy(update={"comparisons": found}))
    assert said.startswith(
        "With too few seeds to speak of more than these checkpoints, of the changes from net to slim, width=8 is cheaper"
    )


def test_all_formats_show_the_ablation(ablated: RunResult, target: ReportTarget) -> None:
    pytest.importorskip("altair")
    text = markdown.render(ablated, target)
    assert "## Ablation" in text
    assert "| 1 | width: 16 → 8 | ×0.50 | ×0.50 | 50.0 | ±0.0 n.s. \\[−1.3, +1.3\\] | **cheaper**: no loss of mIoU shown" in text
    assert "Intervals of the change of mIoU: a t interval over seeds; about the architectures under this recipe." in text
    picture = (target.directory / "ablation.svg").read_text()
    assert "kind: plain → thin" in picture
    assert "MACs (G)" in picture
    shown = terminal.render(ablated, ReportTarget(target.directory, width=160))
    assert "From net to slim, one option at a time" in shown
    rows = list(csv.DictReader(io.StringIO(csv_rows.render(ablated, target))))
    assert [(row["ablation_step"], row["ablation_change"], row["ablation_verdict"]) for row in rows] == [
        ("0", "", ""), ("1", "width=8", "cheaper"), ("2", "skip=1", "dearer"), ("3", "kind=thin", "a trade"),
    ]  # fmt: skip
    assert float(rows[3]["ablation_miou_low"]) == pytest.approx(-0.068)


def test_each_loss_has_an_ablation_of_its_own(ablated: RunResult, make_cell: CellMaker, target: ReportTarget) -> None:
    both = ablated.model_copy(update={"cells": [*ablated.cells, *(make_cell(model, "focal") for model in MODELS)]})
    assert [measured.name for measured in measured_ablations(both)] == ["ce", "focal"]
    assert all(len(level) == 1 for measured in measured_ablations(both) for level in measured.levels)
    assert "one option at a time (focal)" in markdown.render(both, target)


def test_a_run_without_an_ablation_has_no_such_section(comparison: RunResult, target: ReportTarget) -> None:
    assert "Ablation" not in markdown.render(comparison, target)
