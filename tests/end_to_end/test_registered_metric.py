"""A metric that nobody built in: once it is registered it is in the main table, the CSV, comparisons, gates, seeds and claims."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench import METRICS, CellResult, ChangeRow, Claim, Metric, ReportTarget, RunComparison, RunResult, TableColumn
from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons.quality import compare_quality
from segbench.analysis.comparisons.seeds import summarise_seeds
from segbench.analysis.regressions.compare import Run, compare_runs
from segbench.analysis.regressions.gate import parse_gate
from segbench_reports.comparison import markdown as comparison_report
from segbench_reports.formats import csv as csv_report
from segbench_reports.formats import latex, markdown, terminal

FIELD = Metric(
    "receptive_field",
    title="field",
    words="receptive field",
    meaning="**field**: pixels that one logit sees.",
    unit="kpx",
    scale=1e-3,
    better="higher",
    record="cell",
    column=TableColumn(),
    change=ChangeRow("field", units={"px": 1.0}),
)
DICE = Metric(
    "dice",
    title="Dice",
    words="Dice",
    meaning="**Dice**: twice the overlap over both areas.",
    unit="%",
    scale=100.0,
    better="higher",
    compare="points",
    noise="seeds",
    depends="training",
    record="quality",
    column=TableColumn(),
    change=ChangeRow(),
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for metric in (FIELD, DICE):
        METRICS.register(metric)
    yield
    for metric in (FIELD, DICE):
        METRICS.remove(metric.name)


def cell(model: str, field: int, dice: float, seed: int = 0) -> CellResult:
    values: dict[str, Any] = {
        "id": f"{model}--s{seed}", "kind": "train", "model": model, "loss": "ce", "dataset": "squares", "seed": seed, "status": "ok",
        "receptive_field": field, "quality": {"split": "test", "images": 4, "dice": dice}, "resolved": {"train": {"epochs": 2}},
        "fingerprints": {"measure": model},
    }  # fmt: skip
    return CellResult.model_validate(values)


def run(*cells: CellResult) -> RunResult:
    return RunResult(cells=list(cells), task={"dataset": "squares"})


@pytest.fixture
def two_models() -> RunResult:
    return run(cell("big", 9000, 0.75), cell("small", 4500, 0.5))


@pytest.fixture
def target(tmp_path: Path) -> ReportTarget:
    return ReportTarget(tmp_path, None, 100, False)


def test_it_has_a_column_with_its_unit_its_best_and_its_meaning(two_models: RunResult, target: ReportTarget) -> None:
    text = markdown.render(two_models, target)
    assert "| model | field<br>kpx | Dice<br>% |" in text
    assert "| big | **9.00** | 75.0 |" in text, "a score has no best and no difference without a comparison"
    assert "| small | 4.50<br><sub>×0.50</sub> | 50.0 |" in text
    assert "- **field**: pixels that one logit sees." in text


def test_it_stands_in_the_terminal_and_in_latex(two_models: RunResult, target: ReportTarget) -> None:
    assert "9.00*" in terminal.render(two_models, target)
    assert r"\textbf{9.00}" in latex.render(two_models, target)


def test_it_is_a_last_column_of_the_csv_in_the_unit_of_the_record(two_models: RunResult, target: ReportTarget) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_report.render(two_models, target))))
    assert list(rows[0])[-2:] == ["receptive_field", "quality_dice"]
    assert [(row["receptive_field"], row["quality_dice"]) for row in rows] == [("9000", "0.75"), ("4500", "0.5")]


def compared(new: RunResult, tmp_path: Path, condition: str) -> RunComparison:
    old = run(*(cell("big", 9000, 0.75 + seed / 100, seed) for seed in range(3)))
    return compare_runs(Run("old", old, tmp_path), Run("new", new, tmp_path), clauses=parse_gate(condition))


def is_passed(comparison: RunComparison) -> bool | None:
    return comparison.gate.passed if comparison.gate else None


def test_a_gate_fails_where_a_count_got_worse(tmp_path: Path) -> None:
    comparison = compared(run(cell("big", 8000, 0.75)), tmp_path, "field < -10%")
    (row,) = [row for row in comparison.rows if row.quantity == "field"]
    assert (row.verdict, row.exact, row.better, row.baseline, row.new) == ("regressed", True, "higher", 9000, 8000)
    assert is_passed(comparison) is False
    assert "| field | 9000 | 8000 | −11.1 % | exact | **regressed** |" in comparison_report.render(
        comparison, ReportTarget(tmp_path, None, 100, False)
    )
    assert is_passed(compared(run(cell("big", 8000, 0.75)), tmp_path, "receptive_field < -1500px"))


def test_a_gate_fails_where_a_score_fell_over_seeds(tmp_path: Path) -> None:
    lower = run(*(cell("big", 9000, 0.65 + seed / 90, seed) for seed in range(3)))
    comparison = compared(lower, tmp_path, "dice < -1pt")
    (row,) = [row for row in comparison.rows if row.quantity == "dice"]
    assert (row.verdict, row.unit, row.reading) == ("regressed", "share", "difference")
    assert is_passed(comparison) is False


def test_one_seed_of_a_score_that_cannot_be_resampled_decides_nothing(tmp_path: Path) -> None:
    comparison = compared(run(cell("big", 9000, 0.1)), tmp_path, "dice < -1pt")
    (row,) = [row for row in comparison.rows if row.quantity == "dice"]
    assert (row.verdict, row.reason) == ("cannot tell", "Dice takes 3 seeds: it cannot be taken of drawn images")


def test_conditions_on_it_are_checked_like_those_on_any_other() -> None:
    from segbench.errors import ConfigError

    with pytest.raises(ConfigError, match="field takes '%' or 'px'"):
        parse_gate("field < -1pt")
    with pytest.raises(ConfigError, match=r"Write 'field < -5%'"):
        parse_gate("field > 5%")
    with pytest.raises(ConfigError, match=r"Known: .*throughput, field, dice"):
        parse_gate("fild < -5%")


def test_seeds_are_summarised_and_models_compared(tmp_path: Path) -> None:
    result = run(*(cell(model, 1, dice + seed / 50, seed) for model, dice in (("a", 0.5), ("b", 0.7)) for seed in range(3)))
    assert [(summary.quantity, summary.n) for summary in summarise_seeds(result)] == [("dice", 3), ("dice", 3)]
    comparisons = [found for found in compare_quality(result, tmp_path) if found.quantity == "dice"]
    assert [found.subject for found in comparisons] == ["b"]


def test_claims_on_it_are_judged(two_models: RunResult) -> None:
    def claim(quantity: str, value: float, **changes: Any) -> Claim:
        fields: dict[str, Any] = {"subject": "big", "comparator": "at least", "source": "p. 1", "summary": "", **changes}
        return Claim(name=quantity, quantity=quantity, value=value, **fields)

    twice = claim("receptive_field", 2.0, baseline="small", reading="speedup")
    verdicts = judge([claim("receptive_field", 9500), twice, claim("dice", 0.7)], two_models)
    assert [(v.verdict, v.claimed) for v in verdicts] == [
        ("broken", "at least 9.50 kpx"), ("kept", "at least 2x"), ("cannot tell", "at least 70 %")
    ]  # fmt: skip
    assert verdicts[0].measured == "9.00 kpx"
    assert verdicts[2].missing == "an interval takes 3 seeds: Dice cannot be taken of drawn images"
