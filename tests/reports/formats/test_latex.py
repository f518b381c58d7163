"""The LaTeX report: what it says, and that LaTeX takes it, whatever names a run holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.made_comparisons import with_comparisons

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import latex as report
from segbench_reports.text.latex import SIGNS, latex

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]
Compile = Callable[[str], str]

HOSTILE = [
    r"a_b%c&d#e{f}g~h^i\j<k>l$m",
    "[2cm] * \\\\ \\input{/etc/passwd} \\end{table}",
    "%\n\\end{document}",
    "\u202eright\u2066to left",
    "中文 ğüşİ Ωµ½ ﬁ 😀 \ufffd",
    "--dash-- ''quote'' ``tick`` ?` !` \"",
    "n" * 10_000,
    "^^5cinput ^^M",
]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """The text of the page that LaTeX makes of a fragment; skipped where there is no LaTeX."""
    engine = next((name for name in ("pdflatex", "tectonic") if shutil.which(name)), None)
    if engine is None:
        pytest.skip("no LaTeX is installed (Debian: texlive-latex-recommended; or tectonic)")
    flags = ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"] if engine == "pdflatex" else []

    def run(fragment: str) -> str:
        (tmp_path / "report.tex").write_text(fragment, encoding="utf-8")
        document = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n\\input{report.tex}\n\\end{document}\n"
        (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
        call = [engine, *flags, "paper.tex"]
        done = subprocess.run(call, check=False, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-3000:]
        (tmp_path / "said.txt").write_text(done.stdout)
        if shutil.which("pdftotext") is None:
            return ""
        return subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], check=True, cwd=tmp_path, capture_output=True, text=True).stdout

    return run


def _body(text: str) -> list[str]:
    """The rows of the first table."""
    return [line.strip() for line in text.partition("\\midrule")[2].partition("\\bottomrule")[0].strip().splitlines()]


def test_best_is_bold_and_second_underlined(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    cells = [make_cell(miou=0.5), make_cell("mid", miou=0.6, millions=2.0), make_cell("small", miou=0.4, millions=1.0)]
    rows = _body(report.render(with_comparisons(make_run(cells)), target))
    assert [row.split(" & ")[1:3] for row in rows] == [
        [r"\underline{50.0}", "4.00"],
        [r"\textbf{60.0}", r"\underline{2.00}"],
        ["40.0", r"\textbf{1.00}"],
    ]


def test_intervals_stand_behind_scores_and_latencies(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    values = make_cell(miou=0.5).model_dump()
    values["quality"]["miou_ci95"] = [0.47, 0.53]
    text = report.render(make_run([CellResult.model_validate(values)]), target)
    assert r"50.0 {\tiny {[}47.0, 53.0]}" in text
    assert r"20.0 $\pm$0.4" in text
    assert "95 \\% interval of this checkpoint's mIoU over images like these" in text


def test_notes_say_under_what_each_number_holds(comparison: RunResult, target: ReportTarget) -> None:
    notes = report.render(comparison, target).partition(r"\begin{minipage}")[2]
    for said in (
        r"\emph{mIoU}: intersection over union, averaged over the classes",
        r"\emph{MACs}: multiply-adds",
        "counted at 1x3x48x64 (batch, channels, height, width)",
        "Timed eager fp32 at 48x64, cpu, 2 threads",
        "Protocol: 4 epochs, batch 8, size 48x64, lr 1e-3",
    ):
        assert said in notes
    assert "is the ratio to" not in notes, "there are no ratios in this table"
    assert r"\caption{2 models on squares (test, 20 images)" in report.render(comparison, target).replace("big against small", "2 models")


def test_a_half_finished_run_says_so(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    waiting = make_cell("later", status="pending", quality=None, deployments=[], training=None)
    text = report.render(make_run([make_cell(), waiting], complete=False), target)
    assert text.count("This run is incomplete: 1 of 2 cells is done.") == 2, "in the comment and below the table"
    assert "% Nothing has been measured yet." in report.render(make_run([]), target)


def test_a_long_table_goes_on_in_a_second_one(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    text = report.render(make_run([make_cell(f"m{n}") for n in range(60)]), target)
    assert text.count(r"\begin{table}") == 2
    assert text.count(r"\label{") == 1
    assert "(continued)" in text
    assert len([line for line in text.splitlines() if re.match(r"\s+m\d+ &", line)]) == 60


def test_deployed_forms_have_a_table_of_their_own(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    values = make_cell().model_dump()
    eager = values["deployments"][0]
    quick = {**eager, "backend": "onnxruntime", "file_mb": 16.0, "latency": [{**eager["latency"][0], "p50_ms": 5.0, "ci95_ms": [4.9, 5.1]}]}
    sides = {"subject": "big", "baseline": "big", "subject_cells": [values["id"]], "baseline_cells": [values["id"]]}
    context = {"batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2}
    race = {**sides, "subject_backend": "onnxruntime", "baseline_backend": "eager", "value": 0.25, "low": 0.24, "high": 0.26}
    compared = [{"quantity": "latency_ms", "reading": "ratio", **race, "context": context, "verdict": "faster"}]
    cells = [CellResult.model_validate({**values, "deployments": [eager, quick]})]
    text = report.render(make_run(cells, comparisons=compared), target)
    assert text.count(r"\begin{table}") == 2
    assert r"\emph{latency}: median of single calls with its 95 \% interval, at batch 1, 48x64, cpu, 2 threads." in text
    assert r"big & onnxruntime & fp32 & 16.0 & -- & 5.00 $\pm$0.10 & $\times$0.25 (0.24 to 0.26) & 200 \\" in text


@given(st.text(max_size=40))
def test_no_sign_that_latex_interprets_is_left(text: str) -> None:
    left = latex(text)
    for safe in sorted({*SIGNS.values(), "{}"}, key=len, reverse=True):
        left = left.replace(safe, "")
    assert not set(left) & set("\\%&#_{}~^$<>|[*")
    assert all(ord(sign) < 0x180 for sign in left)


def test_latex_takes_whatever_names_a_run_holds(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget, compiled: Compile) -> None:
    letters = "".join(chr(code) for code in range(0x20, 0x250)) + "".join(SIGNS)
    names = [*HOSTILE, *(letters[first : first + 60] for first in range(0, len(letters), 60))]
    cells = []
    for place, name in enumerate(names):
        values = make_cell(name, loss=name[:80], id=str(place), miou=0.3 + place / 50).model_dump()
        cells.append(CellResult.model_validate({**values, "notes": [name], "settings": {name[:80]: name[:80]}}))
    page = compiled(report.render(make_run(cells, config={"dataset": HOSTILE[1]}, environment={"segbench": "%\n\\bad"}), target))
    if page:
        assert "root:" not in page


def test_what_latex_sets_is_what_was_measured(comparison: RunResult, target: ReportTarget, compiled: Compile, tmp_path: Path) -> None:
    page = compiled(report.render(comparison, target))
    assert "Overfull" not in (tmp_path / "said.txt").read_text()
    if not page:
        pytest.skip("no pdftotext is installed (Debian: poppler-utils)")
    assert re.search(r"big\s+focal\s+52\.0\s+4\.00", page)
    assert re.search(r"small\s+ce\s+48\.0\s+1\.00", page)


def test_a_printed_name_is_the_name(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget, compiled: Compile) -> None:
    name = r"net[a_b=1]{x}%&#$"
    page = compiled(report.render(make_run([make_cell(name)]), target))
    # an underscore is a drawn line, which has no letter in the file
    assert not page or name.replace("_", " ") in page
