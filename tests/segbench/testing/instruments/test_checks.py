"""Which checks are run, and what is said of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from segbench.errors import UnknownNameError
from segbench.testing.check import Check, CheckResult, judged, run_all, skipped
from segbench.testing.instruments import peers, published
from segbench.testing.instruments.checks import CHECKS, choose, instrument
from segbench.testing.instruments.stamp import summarise
from segbench.testing.instruments.timer_torch import compare, median_interval


def test_every_check_is_there_and_has_a_name_and_a_summary_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len({check.summary for check in CHECKS}) == len(CHECKS) == 7


def test_an_unknown_check_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown check 'memry'. Did you mean 'memory'\? Checks: counts, "):
        choose(["counts", "memry"])


def _half() -> Iterator[CheckResult]:
    yield judged(True, subject="a", expected="1", measured="1")
    warnings.warn("a library's", stacklevel=1)
    raise ValueError


def test_results_carry_their_check_and_are_kept_where_a_later_one_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "check", _half)
    names: list[str] = []
    checks: list[Check[None]] = [
        Check("good", "s", lambda: [judged(True, subject="a", expected="1", measured="1")]),
        instrument("bad", "half a check", "segbench.testing.instruments.peers:check"),
        Check("none", "s", lambda: [skipped("b", "not installed")]),
    ]
    results = run_all(checks, before=lambda check: names.append(check.name))
    assert names == ["good", "bad", "none"]
    assert [(result.name, result.verdict, result.message) for result in results] == [
        ("good", "ok", ""),
        ("bad", "ok", ""),
        ("bad", "FAILED", "ValueError"),
        ("none", "skipped", "not installed"),
    ]
    assert (results[2].subject, results[2].expected, results[2].measured) == ("half a check", "a figure", "an error")
    outcome = summarise(results, seconds=1.0)
    assert outcome.failed_checks == ["bad"]
    assert (outcome.ok, outcome.failed, outcome.skipped) == (2, 1, 1)


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
    result = compare(ratios, subject="s", source="w")
    assert result.verdict == verdict
    assert bool(result.message) == (verdict != "ok")


def test_no_published_figure_is_of_this_project() -> None:
    text = Path(published.__file__).read_text()
    assert "torchvision" in text
    assert "timm" in text
    assert "segbench" not in text
