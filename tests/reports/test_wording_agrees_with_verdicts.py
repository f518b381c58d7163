"""No sentence, mark or ratio of any format says more than, or other than, the run's comparisons.

Results are generated: verdicts of every kind, with even, lopsided and no intervals, ties, one class, scores that are no numbers, one to
seven models, one to three seeds, one or two losses. What the formats print is parsed and held against the records, without the code that
wrote it. The mutation tests put reporters in place that are wrong in known ways: the same checks must find them.
"""

from __future__ import annotations

import csv
import html
import json
import math
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.reports.made_comparisons import Reach, with_comparisons

from segbench import CellResult, Comparison, ReportTarget, RunResult, metric
from segbench_reports.formats import csv as csv_report
from segbench_reports.formats import json as json_report
from segbench_reports.formats import latex, markdown, terminal
from segbench_reports.sections import results
from segbench_reports.text import numbers, verdicts
from segbench_reports.view import main_table as table_view
from segbench_reports.view import summary as summary_view
from segbench_reports.view.main_table import Column, Row, Table, main_table
from segbench_reports.view.summary import summary

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]
Make = Callable[[int], RunResult]

BETTER, WORSE = {"better", "faster", "less"}, {"worse", "slower", "more"}
TITLES = {"mIoU": "miou", "latency": "latency_ms", "throughput": "throughput"}


@pytest.fixture
def make_generated(make_cell: CellMaker, make_run: RunMaker) -> Make:
    """A run from a seed: all that differs between two seeds is drawn."""

    def make(seed: int) -> RunResult:
        draw = random.Random(seed)
        losses = ["ce", "focal"][: draw.choice([1, 1, 2])]
        cells = []
        for number in range(draw.randint(1, 7)):
            speed, size, base = (
                draw.choice([20.0, 20.0, 20.2, 10.0, 41.3]),
                draw.choice([4.0, 4.0, 1.0]),
                draw.choice([0.5, 0.5, 0.4924, 0.31]),
            )
            for loss in losses:
                for training in range(draw.choice([1, 1, 2, 3])):
                    miou = draw.choice([base, base + draw.uniform(-0.01, 0.01), base + 0.0008, 0.0])
                    cell = make_cell(f"m{number}", loss, training, miou=miou, millions=size, milliseconds=speed)
                    cells.append(_odd(cell, draw))
        reaches = [_reach(draw), _reach(draw)]
        return with_comparisons(make_run(cells), score=reaches[0], speed=reaches[1], paired=draw.choice([0.0, 0.3, -0.2]))

    return make


def _odd(cell: CellResult, draw: random.Random) -> CellResult:
    """Now and then a failed cell, a score that is no number, or a network that predicts one class."""
    quality = cell.quality
    assert quality is not None
    kind = draw.random()
    if kind < 0.05:
        return cell.model_copy(update={"status": "failed", "quality": None, "training": None, "deployments": []})
    if kind < 0.10:
        return cell.model_copy(update={"quality": quality.model_copy(update={"miou": math.nan})})
    if kind < 0.15:
        return cell.model_copy(update={"quality": quality.model_copy(update={"recall_per_class": [1.0, 0.0, None]})})
    return cell


def _reach(draw: random.Random) -> Reach:
    kind, width = draw.choice(["even", "even", "lopsided", "none", "mixed", "exact"]), draw.choice([0.0004, 0.004, 0.05, 0.8])

    def reach(value: float) -> tuple[float, float] | None:
        if kind == "none" or (kind == "mixed" and draw.random() < 0.3):
            return None
        return (0.0, 0.0) if kind == "exact" else (width * draw.uniform(0.1, 1), 3 * width) if kind == "lopsided" else (width, width)

    return reach


# ---- the records, read without the code under test


@dataclass(frozen=True)
class Seen:
    """A comparison as seen from one row: value, bounds and verdict towards another row."""

    value: float | None
    low: float | None
    high: float | None
    verdict: str
    whole: bool = True
    """Whether it is of all cells of both rows: seeds that one side lacks are not compared."""


def seen(run: RunResult, quantity: str, one: frozenset[str], other: frozenset[str]) -> Seen | None:
    for c in run.comparisons:
        if c.quantity != quantity:
            continue
        if one & set(c.subject_cells) and other & set(c.baseline_cells):
            return Seen(c.value, c.low, c.high, c.verdict, _is_whole(run, c, one | other))
        if one & set(c.baseline_cells) and other & set(c.subject_cells):
            turn: Callable[[float | None], float | None] = lambda x, c=c: (  # type: ignore[misc]  # noqa: E731
                None if x is None else 1 / x if c.reading == "ratio" else -x
            )
            swap = dict(zip(["better", "faster", "less"], ["worse", "slower", "more"], strict=True))
            swap |= {v: k for k, v in swap.items()}
            return Seen(turn(c.value), turn(c.high), turn(c.low), swap.get(c.verdict, c.verdict), _is_whole(run, c, one | other))
    return None


def _is_whole(run: RunResult, comparison: Comparison, cells: frozenset[str]) -> bool:
    scores = {cell.id: cell.quality.miou for cell in run.cells if cell.id in cells and cell.quality}
    scored = {name for name, score in scores.items() if score is not None and math.isfinite(score)}
    return comparison.quantity != "miou" or scored <= {*comparison.subject_cells, *comparison.baseline_cells}


# ---- the checks


def check_relative(text: str, found: Seen | None, *, points: bool) -> None:
    """What stands below a figure, against the record."""
    if found is None or found.verdict == "cannot tell" or found.value is None or not found.whole:
        assert text == ""
        return
    assert text.endswith(" n.s.") is (found.verdict == "no difference shown")
    number = number_of(text.removesuffix(" n.s."))
    shown = 100 * found.value if points else found.value
    assert abs(number - shown) <= step_of(text.removesuffix(" n.s.")) * 0.5001
    if found.verdict in BETTER | WORSE:
        assert number != (0 if points else 1), "a difference that is shown must not read as none"


def check_marks(run: RunResult, table: Table, column: Column) -> None:
    """Best is what no row is shown to beat, if the highest figure is among that; all rows alike have no mark."""
    rows = [row for row in table.main if column.key in row.figures]
    best = [row for row in rows if row.marks.get(column.key) == "best"]
    top = (max if column.metric.better == "higher" else min)(rows, key=lambda row: row.figures[column.key].value)
    beaten = [any(_beats(run, column, other, row) for other in rows if other is not row) for row in rows]
    expected = [row for row, is_beaten in zip(rows, beaten, strict=True) if not is_beaten]
    if len(expected) == len(rows) or not any(row is top for row in expected):
        expected = []
    assert [id(row) for row in best] == [id(row) for row in expected]


def _beats(run: RunResult, column: Column, one: Row, other: Row) -> bool:
    found = seen(run, column.metric.name, one.side.ids, other.side.ids)
    return found is not None and found.verdict in BETTER


def check_table(run: RunResult, table: Table, cells: Iterable[tuple[Row, Column, str, str]]) -> None:
    """``cells``: row, column, text below the figure and mark, as a format printed them."""
    reference = table.reference
    for row, column, below, mark in cells:
        if column.is_exact:
            continue
        assert mark == row.marks.get(column.key, "") or mark in ("", "best")
        comparable = reference is not None and row is not reference and column.compare and row.ranked
        own, base = (column.key in r.figures for r in (row, reference)) if comparable and reference is not None else (False, False)
        found = seen(run, column.metric.name, row.side.ids, reference.side.ids) if own and base and reference is not None else None
        check_relative(below, found, points=column.compare == "points")


_FIGURES = r"(?:(?P<a>[\d.]+)(?: ±[\d.]+)?% against (?P<b>[\d.]+)(?: ±[\d.]+)?%; )?"
_NUMBER = r"[+−±]?[\d.]+"
_CORRECTED = r"(?:, corrected for \d+ comparisons)?;"
SHOWN = re.compile(
    rf"scores (?P<x>[\d.]+) points (?P<way>higher|lower) in (?P<name>[\w ]+?)(?: on [\w ]+)? \({_FIGURES}95 % interval "
    rf"(?P<low>{_NUMBER}) to (?P<high>{_NUMBER}) points{_CORRECTED}"
)
EQUAL = re.compile(
    rf"shows no difference in (?P<name>mIoU)(?: on [\w ]+)? \({_FIGURES}(?P<x>{_NUMBER}) points, 95 % interval "
    rf"(?P<low>{_NUMBER}) to (?P<high>{_NUMBER}) points{_CORRECTED}"
)
FAST = re.compile(rf"runs (?P<x>[\d.]+)x as fast \(95 % interval (?P<low>[\d.]+) to (?P<high>[\d.]+){_CORRECTED}")
AS_FAST = re.compile(rf"no difference in speed \((?P<x>[\d.]+)x as fast, 95 % interval (?P<low>[\d.]+) to (?P<high>[\d.]+){_CORRECTED}")


def check_sentences(run: RunResult, sentences: list[str]) -> None:
    """Each clause has a record of its verdict with its figures, and each record against the first has its clause."""
    text = " ".join(sentences)
    scores = [c for c in run.comparisons if c.quantity == "miou" and c.headline]
    for pattern, verdicts_of in ((SHOWN, BETTER | WORSE), (EQUAL, {"no difference shown"})):
        for clause in pattern.finditer(text):
            assert any(_fits(clause, c) for c in scores if c.verdict in verdicts_of), clause[0]
            _check_scores(clause)
    times = [c for c in run.comparisons if c.quantity == "latency_ms"]
    for pattern, verdicts_of in ((FAST, BETTER | WORSE), (AS_FAST, {"no difference shown"})):
        for clause in pattern.finditer(text):
            assert any(_fits(clause, c, speed=True) for c in times if c.verdict in verdicts_of), clause[0]
    assert len(re.findall(r"points (?:higher|lower)", text)) == len(SHOWN.findall(text)), "a clause without an interval"
    assert len(re.findall(r"x as fast", text)) == len(FAST.findall(text)) + len(AS_FAST.findall(text)), "a speed without an interval"
    brief = len([c for c in scores if c.axis == "model"]) > 5 or "Further models" in text or " in mIoU: " in text
    told = [c for c in scores if c.verdict in BETTER | WORSE and _is_pair_of_rows(run, c) and not _is_of_nothing(run, c)]
    assert brief or len(SHOWN.findall(text)) + len(re.findall(r"(?:better|worse) in mIoU", text)) == len(told), "an effect was left out"
    if "has the highest mIoU" in text and "not shown to be better" not in text and "cannot be told" not in text:
        _check_highest(run)


def _is_pair_of_rows(run: RunResult, comparison: Comparison) -> bool:
    return bool(comparison.subject_cells and comparison.baseline_cells)


def _is_of_nothing(run: RunResult, comparison: Comparison) -> bool:
    """True for two models of which one predicts one class in every image with all its seeds: it has a sentence of its own."""
    if comparison.axis != "model":
        return False
    sides = [
        next(row for row in main_table(run).main if set(ids) & row.side.ids)
        for ids in (comparison.subject_cells, comparison.baseline_cells)
    ]
    return any(_learned_nothing(row) for row in sides)


def _learned_nothing(row: Row) -> bool:
    return all(cell.quality is not None and cell.quality.recall_per_class == [1.0, 0.0, None] for cell in row.cells if cell.quality)


def _check_highest(run: RunResult) -> None:
    table = main_table(run)
    rows = [row for row in table.main if "miou" in row.figures and not _learned_nothing(row)]
    top = max(rows, key=lambda row: row.figures["miou"].value)
    for row in rows:
        if row is not top:
            found = seen(run, "miou", top.side.ids, row.side.ids)
            assert found is not None
            assert found.verdict == "better"


def _fits(clause: re.Match[str], comparison: Comparison, *, speed: bool = False) -> bool:
    values = (comparison.value, comparison.low, comparison.high)
    if None in values:
        return False
    value, low, high = (v or 0.0 for v in values)
    if speed:
        value, low, high = 1 / value, 1 / high, 1 / low
    else:
        value, low, high = 100 * value, 100 * low, 100 * high
    texts = [clause["x"], clause["low"], clause["high"]]
    signed = [abs(value) if not speed and clause.re is SHOWN else value, low, high]
    close = all(abs(number_of(text) - number) <= 0.5001 * step_of(text) for text, number in zip(texts, signed, strict=True))
    way = clause.groupdict().get("way")
    return close and (way is None or (way == "higher") is (value > 0))


def _check_scores(clause: re.Match[str]) -> None:
    """The two scores differ by the difference that stands beside them, in the digits that are shown."""
    if clause["a"] is None:
        return
    difference = float(clause["a"]) - float(clause["b"])
    shown = number_of(clause["x"])
    shown = abs(shown) if clause.re is SHOWN else shown
    difference = abs(difference) if clause.re is SHOWN else difference
    assert abs(difference - shown) < step_of(clause["x"]) * 0.5001 + 1e-9, clause[0]


def number_of(text: str) -> float:
    return float(text.replace("−", "-").replace("×", "").replace("±", ""))


def step_of(text: str) -> float:
    """The value of one in the last digit that is shown."""
    return float(10 ** -len(text.partition(".")[2]))


# ---- the formats, parsed


def markdown_cells(run: RunResult, table: Table) -> list[tuple[Row, Column, str, str]]:
    rows = [line for line in results.main(run, table).splitlines() if line.startswith("| ")][2:]
    found = []
    for row, line in zip(table.main, rows, strict=False):
        fields = [field.strip() for field in re.split(r"(?<!\\)\|", line)[1:-1]][len(table.axes) :]
        for column, field in zip(table.columns, fields, strict=True):
            value, *below = re.split(r"<br><sub>|</sub>", field)
            parts = [part for part in below if part and not part.startswith("95 %: ")]
            found.append((row, column, parts[0] if parts else "", "best" if value.startswith("**") else ""))
    return found


def html_cells(run: RunResult, table: Table) -> list[tuple[Row, Column, str, str]]:
    from segbench_reports.html import main_table as page_table

    return [
        (row, column, html.unescape(cell.relative), cell.mark)
        for row, line in zip(table.rows, page_table.lines(table), strict=True)
        for column, cell in zip(table.columns, line.cells, strict=True)
        if row.ranked
    ]


def check_page_data(run: RunResult, table: Table) -> None:
    """The texts with which the page compares any two rows."""
    from segbench_reports.html import main_table as page_table

    data: dict[str, Any] = json.loads(json.dumps(page_table.table_data(run, table)))
    columns = {column.key: column for column in table.columns}
    for key, row, other, below, tip in data["comparisons"]:
        column = columns[key]
        found = seen(run, column.metric.name, table.rows[row].side.ids, table.rows[other].side.ids)
        check_relative(below, found, points=column.compare == "points")
        assert found is not None
        assert found.verdict in tip


def check_latex(run: RunResult, table: Table, target: ReportTarget) -> None:
    """Bold and underlined figures are those of the table's marks, and no ratio stands anywhere."""
    text = latex.render(run, target)
    lines = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].splitlines()[1:-1]
    for row, line in zip(table.main, lines, strict=False):
        fields = line.strip().removesuffix(r" \\").split(" & ")[len(table.axes) :]
        for column, field in zip(table.columns, fields, strict=True):
            mark = "best" if r"\textbf" in field else "second" if r"\underline" in field else ""
            assert mark == row.marks.get(column.key, "")
            assert r"\times" not in field


def check_csv(run: RunResult, target: ReportTarget) -> None:
    for line in csv.DictReader(csv_report.render(run, target).splitlines()):
        if line["row"] != "cell" or not line["miou_difference_verdict"]:
            continue
        records = [
            c for c in run.comparisons
            if c.quantity == "miou" and c.headline and c.axis == "model" and line["id"] in c.subject_cells
        ]  # fmt: skip
        assert any(
            line["miou_difference_verdict"] == c.verdict and line["miou_difference_value"] == ("" if c.low is None else repr(c.value))
            for c in records
        )


def check_all(run: RunResult, target: ReportTarget) -> None:
    """All formats of one run against its records."""
    table = main_table(run)
    for column in table.columns:
        if not column.is_exact:
            check_marks(run, table, column)
    if table.rows:
        check_table(run, table, markdown_cells(run, table))
        check_table(run, table, html_cells(run, table))
        check_latex(run, table, target)
    check_page_data(run, table)
    check_sentences(run, summary(run, table))
    check_csv(run, target)


@pytest.mark.parametrize("seed", range(40))
def test_every_format_says_what_the_comparisons_say(seed: int, make_generated: Make, target: ReportTarget) -> None:
    run = make_generated(seed)
    check_all(run, target)
    assert RunResult.model_validate_json(json_report.render(run, target)).comparisons == run.comparisons


@pytest.mark.parametrize("seed", range(0, 40, 8))
def test_whole_documents_carry_the_same_sentences(seed: int, make_generated: Make, target: ReportTarget) -> None:
    run = make_generated(seed)
    sentences = summary(run, main_table(run))
    shown = " ".join(terminal.render(run, target).split())
    written = re.sub(r"\\(.)", r"\1", markdown.render(run, target))
    for sentence in sentences:
        assert " ".join(sentence.split()) in shown
        assert sentence in written
    check_sentences(run, [line.removeprefix("- ") for line in written.partition("## ")[0].splitlines()])


# ---- reporters that are wrong in known ways


def _raw_quotient(result: RunResult, row: Row, baseline: Row, column: Column) -> str:
    own, base = row.figures.get(column.key), baseline.figures.get(column.key)
    if own is None or base is None or column.compare is None or not base.value:
        return ""
    return numbers.points(own.value - base.value) if column.compare == "points" else f"×{own.value / base.value:.2f}"


def _best_by_value(rows: list[Row]) -> list[str]:
    scored = [row for row in rows if "miou" in row.figures]
    return [f"{row.cell.model} has the highest mIoU: 1%." for row in scored[:1]]


def _stars_by_value(result: RunResult, rows: list[Row], column: Column) -> list[Row]:
    return rows[:1]


def _without_doubt(comparison: Comparison | None) -> str:
    return "" if comparison is None or comparison.value is None else verdicts.effect(comparison)


def _difference_of_rounded(result: RunResult, comparison: Comparison, *rest: str) -> str:
    value = 100 * (comparison.value or 0)
    return f"scores {abs(value):.1f} points {'higher' if value > 0 else 'lower'} in {metric(comparison.quantity).title}"


def _speed_of_medians(result: RunResult, row: Row, base: Row) -> list[str]:
    own, other = row.figures.get("latency_ms"), base.figures.get("latency_ms")
    return [f"runs {other.value / own.value:.2f}x as fast (95 % interval 0.90 to 1.10; batch 1)"] if own and other else []


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a table that divides pooled medians": (table_view, "relative_to", _raw_quotient),
    "stars by point values": (table_view, "_level", _stars_by_value),
    "no word on what is not shown": (table_view, "relative", _without_doubt),
    "effects without intervals": (summary_view, "score_clause", _difference_of_rounded),
    "a headline of medians": (summary_view, "_speed", _speed_of_medians),
    "effects left out": (summary_view, "_effects", lambda result, table: []),
    "the highest is called best": (summary_view, "_best", lambda result, rows, table, where: _best_by_value(rows)),
    "one decimal always": (summary_view, "score_texts", lambda comparison, a, b: (f"{100 * a:.0f}", f"{100 * b:.0f}")),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_reporter_that_says_other_than_the_verdicts_is_found(
    name: str, make_generated: Make, target: ReportTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(place, attribute, mutant)
    with pytest.raises(AssertionError):
        check_many(make_generated, target)


def check_many(make: Make, target: ReportTarget) -> None:
    for seed in range(60):
        check_all(make(seed), target)
