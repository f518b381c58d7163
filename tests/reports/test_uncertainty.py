"""Seeds, intervals and verdicts in reports: one row per model, and no claim beyond the verdict."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_rows
from segbench_reports.formats import markdown, terminal
from segbench_reports.sections import comparisons, conventions, results
from segbench_reports.text.verdicts import turned
from segbench_reports.view.comparisons import Side, between
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]
Golden = Callable[[str, str], None]

BIG, SMALL = (0.50, 0.52, 0.54), (0.47, 0.48, 0.49)


def quality_verdict(verdict: str = "worse", **changes: Any) -> dict[str, Any]:
    """A comparison of small with big under ce."""
    checkpoints = {
        "quantity": "miou", "subject": "small", "baseline": "big", "value": -0.04, "low": -0.0648, "high": -0.0152, "verdict": verdict,
        "subject_cells": ["small-ce-0"], "baseline_cells": ["big-ce-0"], "p_value": 0.004, "n": 20, "scope": "these two checkpoints",
        "method": "paired bootstrap over 20 images, percentiles of 5000 resamples",
        "context": {"loss": "ce", "recipe": "smoke", "settings": {}, "split": "test"},
    }  # fmt: skip
    return checkpoints | changes


SEEDED: dict[str, Any] = {
    "scope": "the architectures under this recipe",
    "method": "t interval of the differences between cells of equal seed, 3 seeds; all on the same images",
    "n": 3,
    "subject_cells": [f"small-ce-{seed}" for seed in range(3)],
    "baseline_cells": [f"big-ce-{seed}" for seed in range(3)],
}


def over_seeds(model: str, scores: tuple[float, ...], low: float, high: float) -> dict[str, Any]:
    mean = sum(scores) / len(scores)
    cells = [f"{model}-ce-{seed}" for seed in range(3)]
    return {"quantity": "miou", "cells": cells, "seeds": [0, 1, 2], "n": 3, "mean": mean, "deviation": 0.02, "low": low, "high": high}


@pytest.fixture
def seeded(make_cell: CellMaker, make_run: RunMaker) -> RunResult:
    """Two models with three seeds, an all-pairs table, every convention and reliability curves."""
    curve = [{"count": 10 * k, "confidence": (k + 0.5) / 15, "accuracy": (k + 0.2) / 15} if k > 4 else {"count": 0} for k in range(15)]
    cells = []
    for model, scores, millions in (("big", BIG, 4.0), ("small", SMALL, 1.0)):
        for seed, miou in enumerate(scores):
            cell = make_cell(model, seed=seed, miou=miou, millions=millions, milliseconds=5 * millions)
            further = {
                "miou_ci95": (miou - 0.03, miou + 0.02), "miou_imagewise": miou - 0.02, "miou_worst_decile": miou - 0.2,
                "boundary_iou": miou - 0.15, "ece": 0.043, "reliability": curve,
            }  # fmt: skip
            assert cell.quality is not None
            cells.append(cell.model_copy(update={"quality": cell.quality.model_validate(cell.quality.model_dump() | further)}))
    summaries = [over_seeds("big", BIG, 0.4703, 0.5697), over_seeds("small", SMALL, 0.4552, 0.5048)]
    return make_run(cells, comparisons=[quality_verdict(**SEEDED)], seeds=summaries)


def sentences(result: RunResult) -> str:
    return " ".join(summary(result, main_table(result)))


def test_terminal_report_of_seeds(seeded: RunResult, target: ReportTarget, golden: Golden) -> None:
    golden("seeds.txt", terminal.render(seeded, target))


def test_markdown_of_seeds(seeded: RunResult, target: ReportTarget, golden: Golden) -> None:
    pytest.importorskip("altair")
    table = main_table(seeded)
    parts = [results.main(seeded, table), comparisons.comparisons(seeded), conventions.conventions(seeded, table, target)]
    golden("seeds.md", "\n\n".join([*summary(seeded, table), *parts]) + "\n")
    assert (target.directory / "reliability.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_csv_has_intervals_deviations_and_the_verdict_beside_each_cell(seeded: RunResult, target: ReportTarget) -> None:
    rows = list(csv.DictReader(csv_rows.render(seeded, target).splitlines()))
    assert [row["seeds_miou_n"] for row in rows] == ["3"] * 6
    assert float(rows[0]["seeds_miou_mean"]) == pytest.approx(0.52)
    assert (rows[0]["seeds_miou_low"], rows[0]["seeds_miou_high"]) == ("0.4703", "0.5697")
    assert (rows[0]["quality_miou_ci95_low"], rows[0]["quality_miou_ci95_high"]) == ("0.47", "0.52")
    assert [row["miou_difference_verdict"] for row in rows] == [""] * 3 + ["worse"] * 3
    assert rows[3]["miou_difference_scope"] == "the architectures under this recipe"


def test_one_seed_is_a_verdict_on_checkpoints_and_says_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    result = make_run([make_cell(), make_cell("small", miou=0.46)], comparisons=[quality_verdict()])
    text = sentences(result)
    assert "scores 4.0 points lower in mIoU on squares test over 2 of 3 classes (46.0% against 50.0%" in text
    assert "95 % interval −6.5 to −1.5 points; these two checkpoints)" in text
    assert "not about the architectures" in text
    assert "Another training of the same architectures may reverse it" in comparisons.comparisons(result)


def test_what_is_not_shown_is_not_called_lower(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(), make_cell("small", miou=0.46)]
    text = sentences(make_run(cells, comparisons=[quality_verdict("no difference shown", high=0.01)]))
    assert (
        "shows no difference in mIoU on squares test over 2 of 3 classes "
        "(46.0% against 50.0%; −4.0 points, 95 % interval −6.5 to +1.0 points" in text
    )
    assert "points lower" not in text
    unknown = quality_verdict(
        "cannot tell", value=None, low=None, high=None, reason="scored on different images: 20 and 10", scope="", method=""
    )
    text = sentences(make_run(cells, comparisons=[unknown]))
    assert (
        "cannot be told apart in mIoU on squares test over 2 of 3 classes (46.0% against 50.0%; scored on different images: 20 and 10)"
        in text
    )


def test_the_highest_score_is_not_called_better_than_what_it_was_not_shown_to_be(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(), make_cell("small", miou=0.51), make_cell("third", miou=0.4)]
    close = quality_verdict("no difference shown", value=0.01, low=-0.02, high=0.04)
    far = quality_verdict(
        "worse", subject="third", baseline="small", headline=False, subject_cells=["third-ce-0"], baseline_cells=["small-ce-0"]
    )
    text = sentences(make_run(cells, comparisons=[close, far]))
    assert "small has the highest mIoU on squares test over 2 of 3 classes: 51.0%; it is not shown to be better than big." in text


def test_a_comparison_can_be_read_from_either_side(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(), make_cell("small")]
    result = make_run(cells, comparisons=[quality_verdict()])
    sides = [Side((cell,)) for cell in cells]
    found = between(result, "miou", *sides)
    assert found is not None
    assert (found.subject, found.value, found.low, found.high, found.verdict) == ("big", 0.04, 0.0152, 0.0648, "better")
    assert turned(found) == result.comparisons[0]
    assert between(result, "miou", sides[0], Side((make_cell("small", loss="focal"),))) is None


def test_single_seeds_are_behind_the_mean_and_not_ranked(seeded: RunResult) -> None:
    table = main_table(seeded)
    assert [row.kind for row in table.main] == ["mean", "mean"]
    assert [row.cell.seed for row in table.single_seeds] == [0, 1, 2, 0, 1, 2]
    assert table.main[0].figures["miou"].interval == (0.4703, 0.5697)


def test_hostile_names_stay_text(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    name = "a|b<script>"
    result = make_run([make_cell(name), make_cell("small")], comparisons=[quality_verdict(baseline=name, reason="x|<y>", scope="|<z>")])
    text = markdown.render(result, target)
    assert "<script>" not in text
    assert "<y>" not in text
    assert "<z>" not in text
