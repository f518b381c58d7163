"""The conditions of ``--fail-on``: what is read, what is refused, and what fails."""

from __future__ import annotations

from typing import Any

import pytest

from segbench.analysis.regressions.gate import check, parse_gate
from segbench.analysis.regressions.verdicts import judged
from segbench.errors import ConfigError
from segbench.results.run_comparison import Change


def latency(low: float | None, high: float | None, **changes: Any) -> Change:
    values = {"quantity": "latency", "margin": 0.05, "n": 20, "baseline": 10.0, "low": low, "high": high} | changes
    return judged(Change(model="unet", baseline_model="unet", **values))


def score(low: float, high: float) -> Change:
    return judged(Change(model="unet", baseline_model="unet", quantity="miou", better="higher", reading="difference", low=low, high=high))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read ''"),
        ("miou", "cannot read 'miou'"),
        ("miou < -0.5pt,", "cannot read ''"),
        ("miou < pt", "cannot read 'miou < pt'"),
        ("latency > 5 percent", "has the unit 'percent'; latency takes '%' or 'ms'"),
        ("miou < -1%", "miou takes 'pt' (a change of a score is told in points)"),
        ("latancy > 5%", "unknown quantity 'latancy'. Did you mean 'latency'?"),
        ("miou > 1pt", "Write 'miou < -1pt'"),
        ("miou < 1pt", "Write 'miou < -1pt'"),
        ("latency < -5%", "Write 'latency > 5%'"),
        ("latency >= 5%", "write < or >"),
        ("miou < -1pt, miou < -2pt", "names 'miou' twice"),
        ("params > 5", None),
        (" headline<-.5pt ,size > 1MB,macs>0.1G ", None),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(text: str, message: str | None) -> None:
    if message is None:
        assert parse_gate(text)
        return
    with pytest.raises(ConfigError) as error:
        parse_gate(text)
    assert message in str(error.value)
    assert "--fail-on" in str(error.value)


@pytest.mark.parametrize(
    ("text", "row", "outcome"),
    [
        ("latency > 5%", latency(1.06, 1.2), "not met"),
        ("latency > 5%", latency(1.04, 1.2), "met"),
        ("latency > 10%", latency(1.06, 1.2), "met"),
        ("latency > 0.5ms", latency(1.06, 1.2), "not met"),
        ("latency > 0.7ms", latency(1.06, 1.2), "met"),
        ("latency > 5%", latency(0.5, 0.6), "met"),
        ("latency > 5%", latency(None, None), "cannot tell"),
        ("latency > 5%", latency(0.9, 1.2), "cannot tell"),
        ("miou < -0.5pt", score(-0.02, -0.006), "not met"),
        ("miou < -0.5pt", score(-0.02, -0.004), "met"),
        ("miou < -0.5pt", score(-0.05, 0.05), "met"),
        ("params > 1%", latency(1.0, 1.0), "cannot tell"),
    ],
)
def test_a_condition_fails_only_where_the_whole_interval_is_beyond_it(text: str, row: Change, outcome: str) -> None:
    found = check(parse_gate(text), [row], strict=False)
    assert found.clauses[0].outcome == outcome
    assert found.passed is (outcome != "not met")
    assert check(parse_gate(text), [row], strict=True).passed is (outcome == "met")


def test_counts_are_held_against_the_threshold_as_they_are() -> None:
    more = judged(
        Change(model="a", baseline_model="a", quantity="params", exact=True, baseline=1e6, new=1.2e6, change=1.2, low=1.2, high=1.2)
    )
    assert not check(parse_gate("params > 0.1M"), [more], strict=False).passed
    assert check(parse_gate("params > 0.3M"), [more], strict=False).passed


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("latency_ms > 5%", "latency"),
        ("images_per_second < -5%", "throughput"),
        ("throughput_images_per_second < -5%", "throughput"),
        ("inference_memory_mb > 5%", "memory"),
        ("deployed_file_mb > 1MB", "file"),
        ("Size_MB > 1MB", "size"),
        ("HEADLINE < -1pt", "headline_iou"),
        ("mIoU < -1pt", "miou"),
    ],
)
def test_a_metric_may_be_named_as_it_is_anywhere(text: str, quantity: str) -> None:
    assert [clause.quantity for clause in parse_gate(text)] == [quantity]
    with pytest.raises(ConfigError, match=f"names '{quantity}' twice"):
        parse_gate(f"{text}, {text}")


def test_a_metric_without_rows_is_no_condition() -> None:
    with pytest.raises(ConfigError, match="unknown quantity 'flops'"):
        parse_gate("flops > 1G")
