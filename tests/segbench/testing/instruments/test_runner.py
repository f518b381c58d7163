"""Which checks are run, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from segbench.errors import UnknownNameError
from segbench.plugin.specs import resolve
from segbench.testing.instruments.checks import CHECKS, Check, choose
from segbench.testing.instruments.findings import Finding, judged, skipped
from segbench.testing.instruments.runner import run_checks
from segbench.testing.instruments.timer_torch import compare, median_interval


def test_every_check_is_there_and_has_a_function_of_its_own() -> None:
    assert len({str(check.run) for check in CHECKS}) == len(CHECKS)
    assert all(callable(resolve(check.run)) for check in CHECKS)


def test_an_unknown_check_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown check 'memry'. Did you mean 'memory'\? Checks: counts, "):
        choose(["counts", "memry"])


def test_findings_carry_their_check_and_are_kept_where_a_later_one_raises() -> None:
    def half() -> list[Finding]:
        raise ValueError

    def told(check: Check) -> None:
        names.append(check.name)

    names: list[str] = []
    checks = [
        Check(name="good", summary="s", run=lambda: [judged(True, subject="a", expected="1", measured="1")]),
        Check(name="bad", summary="half a check", run=half),
        Check(name="none", summary="s", run=lambda: [skipped("b", "not installed")]),
    ]
    report = run_checks(checks, before=told)
    assert names == ["good", "bad", "none"]
    assert [(finding.check, finding.verdict, finding.reason) for finding in report.findings] == [
        ("good", "ok", ""),
        ("bad", "FAILED", "ValueError"),
        ("none", "skipped", "not installed"),
    ]
    assert report.failed == ["bad"]
    assert (report.count("ok"), report.count("FAILED"), report.count("skipped")) == (1, 1, 1)


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (15, 4, 12), (25, 8, 18), (100, 40, 61)])
def test_order_statistics_are_those_of_the_published_tables(n: int, low: int, high: int) -> None:
    # Conover 1999, table A3, and Hollander and Wolfe 1999, table A.2, for one half
    assert median_interval(range(1, n + 1)) == (low, high)


def test_five_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="six are the least"):
        median_interval([1.0] * 5)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [([1.0] * 15, "ok"), ([1.04, 0.96] * 10, "ok"), ([1.2, 0.8] * 10, "cannot tell"), ([1.2] * 15, "FAILED"), ([0.9] * 15, "FAILED")],
)
def test_a_ratio_is_judged_by_its_whole_interval(ratios: list[float], verdict: str) -> None:
    finding = compare(ratios, subject="s", source="w")
    assert finding.verdict == verdict
    assert bool(finding.reason) == (verdict != "ok")


def test_no_published_figure_is_of_this_project() -> None:
    text = (Path(resolve("segbench.testing.instruments.counts:check").__code__.co_filename).with_name("published.py")).read_text()
    assert "torchvision" in text
    assert "timm" in text
    assert "segbench" not in text
