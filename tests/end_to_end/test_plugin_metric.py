"""Metrics and an augmentation of a plugin, from the run to reports, comparisons and gates, and what a broken metric costs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench import METRICS, AugmentationSpec, CellResult, MetricScore, MetricSpec, ReportTarget, RunResult, hookimpl, load_run
from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons import with_comparisons
from segbench.analysis.comparisons.confusions import METRIC_ARRAY, ConfusionFiles
from segbench.analysis.regressions.compare import Run, compare_runs
from segbench.analysis.regressions.gate import parse_gate
from segbench.errors import ConfigError, OptionError, UnknownNameError
from segbench.execution.runner import preview
from segbench.plugin.chosen import Plugin
from segbench.plugin.offered_metrics import OFFERED_METRICS
from segbench.plugin.specs import Claim
from segbench.results.plugin_metrics import RECORD, adopt
from segbench_reports.comparison import markdown as comparison_report
from segbench_reports.formats import csv as csv_report
from segbench_reports.formats import markdown


def hits(matrices: Any) -> float:
    return float(np.trace(matrices.sum(axis=0)) / matrices.sum())


def off_by(prediction: Any, mask: Any, ignore_index: int) -> float:
    return float((prediction != mask)[mask != ignore_index].sum())


def broken(matrices: Any) -> float:
    raise ArithmeticError("not today")


def flip(inputs: Any, mask: Any) -> Any:
    return {name: image.flip(-1) for name, image in inputs.items()}, mask.flip(-1)


HITS = MetricSpec(name="hits", summary="share of hits", from_confusions=hits, column=True)
_LOOKS: dict[str, Any] = {"title": "off by", "unit": "px", "better": "lower", "digits": 1, "column": True}
OFF = MetricSpec(name="off_by2", summary="pixels that are wrong", from_image=off_by, **_LOOKS)
BROKEN = MetricSpec(name="broken", summary="raises", from_confusions=broken)


class Mine:
    @hookimpl
    def segbench_metrics(self) -> list[MetricSpec]:
        return [HITS, OFF, BROKEN]

    @hookimpl
    def segbench_augmentations(self) -> list[AugmentationSpec]:
        return [AugmentationSpec(name="turn", summary="", build=lambda task, options, size: flip)]


@pytest.fixture(autouse=True)
def _table_as_before() -> Iterator[None]:
    offered = dict(OFFERED_METRICS)
    yield
    for name in [name for name in METRICS if METRICS[name].record == RECORD]:
        METRICS.remove(name)
    OFFERED_METRICS.clear()
    OFFERED_METRICS.update(offered)


@pytest.fixture
def bench(bench: Any) -> Any:
    bench.catalog.add(Mine(), Plugin("mine", package="mine", version="2.0"))
    return bench


INLINE = ("execute.where=inline", "measure.latency=false", "measure.memory=false", "measure.modules=false", "train.augmentation=turn")


def planned(bench: Any, *sets: str) -> tuple[tuple[str, ...], str]:
    """The stages that a further run of these settings would do, and why."""
    ((_, todo),) = preview(bench.config(sets=sets), catalog=bench.catalog)[0]
    assert todo is not None
    return todo.stages, todo.reason


def test_a_run_computes_what_is_named_and_a_broken_metric_costs_only_itself(bench: Any) -> None:
    assert bench.run(sets=INLINE).cells[0].quality.metrics == {}
    sets = (*INLINE, "eval.metrics=hits,off_by2,broken")
    (cell,) = bench.run(sets=sets).cells
    assert bench.heard.stages == {cell.id: ("evaluate",)}, "nothing is trained again"
    added = [f"eval.metrics.{name}.name none -> {name}" for name in ("hits", "off_by2", "broken")]
    assert bench.heard.reasons[cell.id] == f"re-evaluated: {', '.join(added)}"
    scores = cell.quality.metrics
    assert scores["hits"].value == pytest.approx(cell.quality.pixel_accuracy)
    wrong = (1 - cell.quality.pixel_accuracy) * 16 * 16
    assert (scores["off_by2"].value, scores["off_by2"].images) == (pytest.approx(wrong), 2)
    assert (scores["broken"].value, scores["broken"].reason) == (None, "it raised ArithmeticError: not today")
    assert scores["hits"].ci95_reason
    assert load_run(bench.directory).cells[0].quality == cell.quality
    report = (bench.directory / "report.md").read_text()
    assert "**broken** of dot: it raised ArithmeticError: not today." in report
    assert "**off by**: pixels that are wrong. Lower is better." in report
    assert "turn" in report

    assert planned(bench, *sets) == ((), "")
    stages, reason = planned(bench, *sets, "train.augmentation=none")
    assert "train" in stages
    assert reason == 're-run: train.augmentation turn -> "none", augmentation.name turn -> none'


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("eval.metrics=hit", UnknownNameError, r"Unknown metric 'hit'\. Did you mean 'hits'\?"),
        ("eval.metrics=miou", ConfigError, "eval.metrics names 'miou', which is a metric of segbench itself"),
        ("train.augmentation=standrd", UnknownNameError, r"Unknown augmentation 'standrd'\. Did you mean 'standard'\?"),
        ("train.augmentation=crop[scale=2]", ConfigError, "'crop' takes no options. Write train.augmentation=crop"),
        ("train.augmentation=turn[by=2]", OptionError, "turn: unknown option 'by'. It has no options."),
    ],
)
def test_what_is_not_there_is_refused_before_training(bench: Any, setting: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bench.run(sets=(*INLINE, setting))


COUNT, SEED = 60, 4


def matrices(right: float) -> Any:
    random = np.random.default_rng(0)
    labels = random.integers(40, 80, size=(COUNT, 2))
    found = np.rint(labels * (right + 0.05 * random.random((COUNT, 2)))).astype(np.int64)
    counts = np.zeros((COUNT, 2, 2), dtype=np.int64)
    for k in range(2):
        counts[:, k, k], counts[:, k, 1 - k] = found[:, k], labels[:, k] - found[:, k]
    return counts


def cell(directory: Path, model: str, right: float, *, code: str = "mine==2.0", undefined: int = 0, keep: bool = True) -> CellResult:
    counts = matrices(right)
    off = (counts.sum(axis=(1, 2)) - np.trace(counts, axis1=1, axis2=2)).astype(float)
    off[:undefined] = np.nan
    (directory / "confusions").mkdir(parents=True, exist_ok=True)
    arrays = {f"{METRIC_ARRAY}off_by2": off} if keep else {}
    np.savez(directory / "confusions" / f"{model}.npz", ids=np.array([f"i{n:02}" for n in range(COUNT)]), matrices=counts, **arrays)
    scores = {
        "hits": MetricScore(value=hits(counts), title="hits", column=True, meaning="share of hits", code=code, ci95=(0.1, 0.9)),
        "off_by2": MetricScore(value=float(np.nanmean(off)), images=COUNT - undefined, code=code, **_LOOKS),
    }
    quality = {"split": "test", "images": COUNT, "class_names": ["a", "b"], "label_pixels_per_class": counts.sum(axis=(0, 2)).tolist()}
    values: dict[str, Any] = {
        "id": model, "kind": "train", "model": model, "loss": "ce", "dataset": "d", "seed": 0, "status": "ok",
        "quality": {**quality, "miou": 0.5, "metrics": scores}, "resolved": {"train": {"epochs": 2}},
    }  # fmt: skip
    return CellResult.model_validate(values)


def compared(directory: Path, *cells: CellResult) -> tuple[RunResult, dict[str, Any]]:
    result = with_comparisons(RunResult(cells=list(cells)), directory)
    return result, {c.quantity: c for c in result.comparisons}


def test_two_models_are_compared_in_the_metrics_own_unit_and_direction(tmp_path: Path) -> None:
    OFFERED_METRICS["hits"] = HITS
    result, found = compared(tmp_path, cell(tmp_path, "poor", 0.6), cell(tmp_path, "good", 0.9))
    for name, difference in (("hits", 0.3), ("off_by2", -36.0)):
        assert (found[name].subject, found[name].verdict) == ("good", "better")
        assert found[name].value == pytest.approx(difference, rel=0.05)
        one, other = (c.quality.metrics[name].value or 0.0 for c in result.cells if c.quality)
        assert found[name].value == pytest.approx(other - one)
    assert (found["hits"].unit, found["off_by2"].unit) == ("share", "px")


def test_reports_show_it_with_its_unit_direction_interval_and_meaning(tmp_path: Path) -> None:
    OFFERED_METRICS["hits"] = HITS
    result, found = compared(tmp_path, cell(tmp_path, "poor", 0.6), cell(tmp_path, "good", 0.9))
    text = markdown.render(result, ReportTarget(tmp_path, None, 100, False))
    off = [c.quality.metrics["off_by2"].value or 0.0 for c in result.cells if c.quality]
    assert "hits<br>%" in text
    assert "off by<br>px" in text
    assert f"**{off[1]:.1f}**" in text, "the lower is the best"
    assert f"−{off[0] - off[1]:.1f} px" in text
    assert "(10.0 to 90.0)" in text
    assert "**hits**: share of hits" in text
    rows = list(csv.DictReader(io.StringIO(csv_report.render(result, ReportTarget(tmp_path, None, 100, False)))))
    assert [float(row["metrics_off_by2"]) for row in rows] == pytest.approx(off)
    assert found["off_by2"].low < found["off_by2"].value < found["off_by2"].high < 0


def test_a_gate_holds_it_in_its_unit(tmp_path: Path) -> None:
    OFFERED_METRICS["hits"] = HITS
    old, new = tmp_path / "old", tmp_path / "new"
    runs = [Run(path.name, adopt(RunResult(cells=[cell(path, "net", right)])), path) for path, right in ((old, 0.9), (new, 0.6))]

    def gate(text: str) -> Any:
        comparison = compare_runs(*runs, clauses=parse_gate(text))
        assert comparison.gate is not None
        return comparison

    assert gate("hits < -1pt").gate.passed is False
    assert gate("off_by2 > 5px").gate.passed is False
    assert gate("off_by2 > 60px").gate.passed is True
    shown = comparison_report.render(gate("hits < -1pt"), ReportTarget(tmp_path, None, 100, False))
    assert " px" in shown
    assert " pt" in shown
    with pytest.raises(ConfigError, match="off_by2 takes 'px'"):
        parse_gate("off_by2 > 5%")
    with pytest.raises(ConfigError, match="more off_by2 is worse"):
        parse_gate("off_by2 < -5px")


def test_claims_on_it_are_judged_by_its_interval(tmp_path: Path) -> None:
    OFFERED_METRICS["hits"] = HITS
    result, _ = compared(tmp_path, cell(tmp_path, "poor", 0.6), cell(tmp_path, "good", 0.9))
    fields: dict[str, Any] = {"subject": "good", "comparator": "at least", "source": "p. 1", "summary": ""}
    claims = [Claim(name=f"c{value}", quantity="hits", value=value, **fields) for value in (0.5, 0.99)]
    verdicts = judge(claims, result, matrices=ConfusionFiles(tmp_path).images)
    assert [(verdict.verdict, verdict.missing) for verdict in verdicts] == [("kept", None), ("broken", None)]


@pytest.mark.parametrize(
    ("metric", "changes", "reason"),
    [
        ("off_by2", {"undefined": 3}, "off_by2 has values for different images: 57 of good and 60 of poor"),
        ("off_by2", {"code": "mine==3.0"}, "off_by2 was computed by different code (mine==3.0 and mine==2.0): evaluate the cells again"),
        ("off_by2", {"keep": False}, "the images' values of off_by2 were not kept: evaluate the cells again"),
        ("hits", {}, "the plugin that gives hits is not installed here, so that it cannot be taken of drawn images"),
    ],
)
def test_what_cannot_be_compared_says_why(tmp_path: Path, metric: str, changes: dict[str, Any], reason: str) -> None:
    OFFERED_METRICS.pop("hits", None)
    _, found = compared(tmp_path, cell(tmp_path, "poor", 0.6), cell(tmp_path, "good", 0.9, **changes))
    assert (found[metric].verdict, found[metric].reason) == ("cannot tell", reason)


def test_a_plugin_whose_code_gives_another_value_now_draws_nothing(tmp_path: Path) -> None:
    OFFERED_METRICS["hits"] = MetricSpec(name="hits", summary="", from_confusions=lambda counts: 0.5)
    _, found = compared(tmp_path, cell(tmp_path, "poor", 0.6), cell(tmp_path, "good", 0.9))
    assert found["hits"].verdict == "cannot tell"
    assert "gives another value here than in the run (0.5 in place of" in found["hits"].reason
