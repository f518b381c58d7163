"""Charts and prediction pictures beside the Markdown report."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.charts import charts
from segbench_reports.formats import markdown

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _colour_scales(node: Any) -> set[tuple[str, str]]:
    """(names, colours) of every colour scale of a chart."""
    if isinstance(node, list):
        return set().union(*map(_colour_scales, node))
    if not isinstance(node, dict):
        return set()
    own = {(str(node["color"]["scale"]["domain"]), str(node["color"]["scale"]["range"]))} if "scale" in node.get("color", {}) else set()
    return own.union(*map(_colour_scales, node.values()))


def test_charts_are_svg_files_with_a_background_that_name_every_model(comparison: RunResult, target: ReportTarget) -> None:
    pytest.importorskip("vl_convert")
    text = markdown.render(comparison, target)
    for name in ("learning-curves.svg", "miou-against-cost.svg"):
        assert f"({name})" in text
        drawn = (target.directory / name).read_text(encoding="utf-8")
        words = " ".join(ElementTree.fromstring(drawn).itertext())
        assert "big" in words
        assert "small" in words
        assert re.search(r'<rect[^>]*fill="#ffffff"', drawn)


def test_colours_are_the_same_in_both_charts(comparison: RunResult) -> None:
    pytest.importorskip("altair")

    curves, costs = (
        _colour_scales(chart.to_dict()) for chart in (charts.learning_curves(comparison), charts.miou_against_cost(comparison)) if chart
    )
    assert curves == costs
    assert [scale[0] for scale in curves] == ["['big', 'small']"]


def test_each_loss_has_a_panel_of_its_own(comparison: RunResult) -> None:
    pytest.importorskip("altair")
    chart: Any = charts.learning_curves(comparison)
    titles = [panel["title"] for panel in chart.to_dict()["hconcat"]]
    assert titles == ["Validation mIoU", "Training loss: ce", "Training loss: focal"]


def test_costs_start_at_zero(comparison: RunResult) -> None:
    pytest.importorskip("altair")
    chart: Any = charts.miou_against_cost(comparison)
    panels = chart.to_dict()["hconcat"]
    domains = [panel["layer"][-1]["encoding"]["x"]["scale"]["domain"] for panel in panels]
    assert len(domains) == 3
    assert [domain[0] for domain in domains] == [0, 0, 0]


def _captions(result: RunResult, target: ReportTarget) -> list[str]:
    return re.findall(r"<sub>([^<]*)</sub>", markdown.render(result, target).split("## Charts")[1].split("\n## ")[0])


def test_captions_name_the_panels_that_are_drawn(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    pytest.importorskip("vl_convert")
    run = make_run([make_cell(), make_cell("small", millions=1.0)])
    assert _captions(run, target) == [
        "mIoU over parameters, MACs and latency; mIoU is the mean over 2 of 3 classes.",
        "Validation mIoU and training loss by epoch; the dot marks the epoch that was kept.",
    ]
    cells = [cell.model_dump() | {"deployments": []} for cell in run.cells]
    for cell in cells:
        cell["training"]["history"] = [row | {"val_miou": None} for row in cell["training"]["history"]]
    bare = make_run([CellResult.model_validate(cell) for cell in cells])
    assert _captions(bare, target) == [
        "mIoU over parameters and MACs; mIoU is the mean over 2 of 3 classes.",
        "Training loss by epoch.",
    ]


def test_only_the_panel_of_scores_of_a_page_has_a_dot(comparison: RunResult) -> None:
    pytest.importorskip("altair")
    from segbench_reports.html.detail_charts import learning_curves

    assert [(drawing.title, "dot" in drawing.caption, "dot" in drawing.alt) for drawing in learning_curves(comparison)] == [
        ("Validation mIoU", True, True),
        ("Training loss: ce", False, False),
        ("Training loss: focal", False, False),
    ]


def test_nothing_is_drawn_without_data(make_cell: CellMaker, make_run: RunMaker) -> None:
    pytest.importorskip("altair")
    bare = make_run([make_cell(training=None, quality=None)])
    assert charts.learning_curves(bare) is None
    assert charts.miou_against_cost(bare) is None


def test_without_altair_the_report_says_how_to_get_charts(
    comparison: RunResult, target: ReportTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    text = markdown.render(comparison, target)
    assert "pip install 'segbench[report]'" in text
    assert not list(target.directory.glob("*.svg"))


def test_predictions_that_exist_are_linked_relative_to_the_report(make_cell: CellMaker, make_run: RunMaker, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "predictions" / "big-ce-0"
    folder.mkdir(parents=True)
    (folder / "a b.png").write_bytes(b"")
    paths = ["predictions/big-ce-0/a b.png", "predictions/big-ce-0/gone.png", "../../outside.png", str(folder / "a b.png"), "x" * 10_000]
    (tmp_path / "outside.png").write_bytes(b"")
    result = make_run([make_cell(artifacts={"predictions": paths})])
    text = markdown.render(result, ReportTarget(tmp_path / "elsewhere", run_directory=tmp_path / "run"))
    assert re.findall(r"\]\(([^)]*\.png)\)", text) == ["../run/predictions/big-ce-0/a%20b.png"]
