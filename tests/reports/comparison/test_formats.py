"""A comparison of two runs as text: what a reader must not miss, at any width, with any names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from segbench import Change, Gate, GateClause, ReportTarget, RunComparison, RunDifference, RunSide
from segbench_reports.comparison import json_text, markdown, terminal

Golden = Callable[[str, str], None]
HOSTILE = "<script>alert(1)</script> | \x1b[31m`x` \u202e\n## h"


def change(quantity: str, verdict: str, model: str = "unet", **values: Any) -> Change:
    return Change.model_validate({"model": model, "baseline_model": model, "quantity": quantity, "verdict": verdict, **values})


ROWS = [
    change(
        "miou", "regressed", context={"loss": "ce"}, unit="share", better="higher", reading="difference", baseline=0.512, new=0.489,
        change=-0.023, low=-0.031, high=-0.015, n=40, method="paired bootstrap over 40 images", scope="these two checkpoints",
    ),
    change("params", "no difference shown", baseline=2_520_000, new=2_520_000, change=1.0, low=1.0, high=1.0, exact=True),
    change("macs", "regressed", baseline=4.0e8, new=4.0001e8, change=1.000025, low=1.000025, high=1.000025, exact=True),
    change(
        "latency", "improved", unit="ms", context={"input_size": "64"}, baseline=20.0, new=17.0, change=0.85, low=0.83, high=0.87, n=30,
        method="raced again, side by side: 30 shuffled rounds", scope="this machine",
    ),
    change("memory", "cannot tell", unit="MB", baseline=100.0, new=None, reason="another machine: torch 2.14 -> 2.15"),
]  # fmt: skip


@pytest.fixture
def found() -> RunComparison:
    clause = GateClause(text="miou < -0.5pt", quantity="miou", outcome="not met", failed=["unet | ce"])
    unknown = GateClause(text="memory > 5%", quantity="memory", outcome="cannot tell", undecided=["unet: another machine"])
    return RunComparison(
        baseline=RunSide(name="main"),
        new=RunSide(name="pull-request"),
        margin=0.05,
        rows=ROWS,
        gate=Gate(passed=False, clauses=[clause, unknown]),
        differences=[RunDifference(what="torch", baseline="2.14", new="2.15", concerns=["latency", "quality"])],
        only_in_baseline=["fpn | ce"],
        notes=["the new run is not finished: 1 of 2 of its cells are done, and compared as far as they go"],
    )


def target(width: int = 110, **values: Any) -> ReportTarget:
    return ReportTarget(Path(), None, width, **values)


def test_on_the_terminal(found: RunComparison, golden: Golden) -> None:
    golden("comparison.txt", terminal.render(found, target()))


def test_in_a_pull_request(found: RunComparison, golden: Golden) -> None:
    golden("comparison.md", markdown.render(found, target()))


def test_json_is_the_comparison_itself(found: RunComparison) -> None:
    assert RunComparison.model_validate_json(json_text.render(found, target())) == found


def test_nothing_foreign_takes_effect(found: RunComparison) -> None:
    rows = [row.model_copy(update={"model": HOSTILE, "reason": HOSTILE, "notes": [HOSTILE]}) for row in found.rows]
    hostile = found.model_copy(update={"rows": rows, "notes": [HOSTILE], "only_in_new": [HOSTILE], "new": RunSide(name=HOSTILE)})
    shown = terminal.render(hostile, target())
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    text = markdown.render(hostile, target())
    assert "<script>" not in text
    assert "\n## h" not in text
    assert all(line.count(" | ") == 6 for line in text.splitlines() if line.startswith("| ") and "regressed" in line)


def test_colours_only_where_they_are_asked_for(found: RunComparison) -> None:
    assert "\x1b" not in terminal.render(found, target())
    assert "\x1b[31mregressed\x1b[0m" in terminal.render(found, target(color=True))


def test_sentences_fit_the_width(found: RunComparison) -> None:
    lines = terminal.render(found, target(80)).splitlines()
    table = [line for line in lines if line.endswith(("regressed", "improved", "tell", "shown", "verdict"))]
    assert max(cell_len(line) for line in lines if line not in table) <= 80


def test_of_many_rows_only_those_that_say_something_are_listed(found: RunComparison) -> None:
    many = found.model_copy(update={"rows": [*ROWS, *(change("size", "no difference shown", f"model-{n}") for n in range(100))]})
    short = terminal.render(many, target())
    assert "101 rows without a shown difference are left out: --all lists them." in short
    assert "model-50" not in short
    assert "model-50" in terminal.render(many, target(everything=True))


def test_a_comment_is_never_longer_than_a_pull_request_takes(found: RunComparison) -> None:
    rows = [change("latency", "cannot tell", f"model-{n}" + "x" * 100, reason=f"timed apart: {n}" + "y" * 200) for n in range(2000)]
    text = markdown.render(found.model_copy(update={"rows": rows}), target())
    assert len(text) < 65_536
    assert "more rows do not fit here" in text


def test_a_gate_that_could_not_judge_says_so(found: RunComparison) -> None:
    assert found.gate is not None
    passed = found.model_copy(update={"gate": Gate(passed=True, clauses=found.gate.clauses[1:])})
    assert "Gate passed, but it could not judge memory > 5%." in terminal.render(passed, target())
    strict = found.model_copy(update={"gate": Gate(strict=True, passed=False, clauses=found.gate.clauses[1:])})
    assert "Gate not met: cannot tell about memory > 5% (--strict)." in terminal.render(strict, target())
