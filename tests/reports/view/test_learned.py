"""Models that learned nothing, and the classes behind a mean, in every place that shows one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from tests.reports.made_comparisons import with_comparisons

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_report
from segbench_reports.formats import latex, markdown, terminal
from segbench_reports.site.badges import badges
from segbench_reports.site.boards import boards, left_out
from segbench_reports.view.learned import class_notes
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

NOTHING = "predicts only ground: nothing learned"


def changed(cell: CellResult, **fields: Any) -> CellResult:
    assert cell.quality is not None
    return cell.model_copy(update={"quality": cell.quality.model_copy(update=fields)})


def collapsed(cell: CellResult) -> CellResult:
    return changed(cell, predicted_pixels_per_class=[1000, 0, 0])


@pytest.fixture
def half(make_cell: CellMaker, make_run: RunMaker) -> RunResult:
    """A model that learned, and a faster one that predicts ground everywhere."""
    return with_comparisons(make_run([make_cell(), collapsed(make_cell("small", miou=0.45, millions=1.0, milliseconds=5.0))]))


@pytest.mark.parametrize("render", [terminal.render, markdown.render])
def test_a_model_that_learned_nothing_is_named_and_not_weighed(half: RunResult, target: ReportTarget, render: Callable[..., str]) -> None:
    text = " ".join(render(half, target).split())
    assert f"small {NOTHING}" in text
    assert "ce[weights=(..)]" in text.replace("\\", "")
    assert "Compared with big" not in text


def test_it_is_not_weighed_where_it_is_the_first_model_either(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = with_comparisons(make_run([collapsed(make_cell()), make_cell("small", millions=1.0, milliseconds=5.0)]))
    sentences = summary(run, main_table(run))
    assert sentences[0].startswith(f"big {NOTHING}")
    assert not any("x as fast" in sentence for sentence in sentences)


def test_it_never_has_the_highest_score(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell("a", miou=0.5), make_cell("b", miou=0.52), make_cell("c", miou=0.51), collapsed(make_cell("d", miou=0.6))]
    sentences = summary(run := with_comparisons(make_run(cells)), main_table(run))
    assert next(sentence for sentence in sentences if "highest" in sentence).startswith("b has the highest mIoU")


def test_one_seed_of_three_is_named_and_stays_in_the_mean(make_cell: CellMaker, make_run: RunMaker) -> None:
    cells = [make_cell(seed=0), make_cell(seed=1), collapsed(make_cell(seed=2, miou=0.2))]
    run = make_run(cells)
    assert summary(run, main_table(run))[0].startswith(f"big with 1 of 3 seeds {NOTHING}; the mean over seeds includes them.")
    (board,) = boards({"run": run})["squares"]
    assert board.entries[0].miou == pytest.approx(0.4)


def test_it_has_no_place_in_leaderboards_and_badges(half: RunResult) -> None:
    tables = boards({"run": half})
    assert [entry.name for board in tables["squares"] for entry in board.entries] == ["big"]
    assert [(one.name, one.why) for one in left_out({"run": half})] == [("small", NOTHING)]
    assert not any("small" in badge.path for badge in badges({"run": half}, tables)["run"])


def test_a_run_of_nothing_else_has_a_badge_that_says_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = make_run([collapsed(make_cell())])
    (badge,) = badges({"run": run}, boards({"run": run}))["run"]
    assert (badge.message, badge.colour) == (NOTHING, "red")


def test_a_focal_loss_is_not_advised_to_those_that_have_it(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = make_run([collapsed(make_cell(loss="focal[gamma=2]"))])
    sentence = summary(run, main_table(run))[0]
    assert "the loss focal" not in sentence
    assert "class weights" in sentence
    assert "train.epochs" in sentence


def test_pareto_charts_leave_it_out_and_say_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    pytest.importorskip("altair")
    from segbench_reports.charts.charts import cost_caption
    from segbench_reports.html.pareto import front

    cells = [make_cell("a"), make_cell("b", millions=1.0), collapsed(make_cell("c", milliseconds=1.0))]
    run = make_run(cells)
    drawn = front(run, main_table(run))
    assert drawn is not None
    assert [point["name"] for point in drawn.extra["points"]] == ["a", "b"]
    assert "without 1 network that predicted one class in every image" in drawn.alt
    assert "without 1 network that predicted one class in every image" in cost_caption(run)


def test_where_all_classes_have_labels_a_short_note_says_so(make_cell: CellMaker, make_run: RunMaker) -> None:
    run = make_run([changed(make_cell(), iou_per_class=[0.6, 0.4, 0.5], label_pixels_per_class=[900, 100, 10])])
    assert class_notes(run) == ["Means over classes are over all 3 classes."]
    assert [column.unit for column in main_table(run).columns if column.key == "miou"] == ["%"]


def test_rows_over_different_classes_are_not_alike(make_cell: CellMaker, make_run: RunMaker) -> None:
    other = changed(make_cell("small"), iou_per_class=[0.6, 0.4, 0.5], label_pixels_per_class=[900, 100, 10])
    (note,) = class_notes(make_run([make_cell(), other]))
    assert note == (
        "Means over classes are over different classes and cannot be compared from row to row: 2 of 3 classes (no pixel of rare in the "
        "scored split) and all 3 classes."
    )


@pytest.mark.parametrize("render", [terminal.render, markdown.render, latex.render])
def test_a_headline_class_without_a_pixel_keeps_its_column(
    make_cell: CellMaker, make_run: RunMaker, target: ReportTarget, render: Callable[..., str]
) -> None:
    run = make_run([changed(make_cell(), headline_class="rare", headline_iou=None)])
    text = " ".join(render(run, target).split())
    assert "IoU rare" in text
    assert "No IoU of rare: the scored split (test) has no pixel of it" in text


def test_csv_has_the_classes_behind_a_mean(half: RunResult, target: ReportTarget) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_report.render(half, target))))
    keys = ("quality_classes_averaged", "quality_classes", "quality_classes_without_pixels", "quality_only_class")
    assert [tuple(row[key] for key in keys) for row in rows] == [("2", "3", "rare", ""), ("2", "3", "rare", "ground")]
