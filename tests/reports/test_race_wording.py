"""Wording about races agrees with what was raced: rounds, starts and intervals are spoken of only where there were some."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench.analysis.comparisons import compare_latencies
from segbench.analysis.statistics.starts import LEAST_STARTS
from segbench.analysis.statistics.timing import LEAST_ROUNDS, no_interval, quantile_intervals
from segbench.config.settings import MeasureSettings
from segbench.execution.costs.race import rounds_of_starts
from segbench_reports.formats import latex, markdown, terminal
from segbench_reports.sections.speed import speed

RACES = 40
RENDERED_EACH = 20
FORMATS = (markdown, terminal, latex)

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def _entry(draw: random.Random, milliseconds: float, starts: list[int], batch: int) -> dict[str, Any]:
    rounds = [[batch * milliseconds * draw.lognormvariate(0, 0.02) for _ in range(3)] for _ in range(sum(starts))]
    p50, p90, p99 = quantile_intervals(rounds, tuple(QUANTILES.values()), starts=starts)
    reasons = {name: no_interval(rounds, quantile, starts=starts) for name, quantile in QUANTILES.items()}
    return {
        "batch_size": batch, "input_size": [48, 64], "device": "cpu", "threads": 2, "p50_ms": batch * milliseconds,
        "ci95_ms": p50, "p90_ci95_ms": p90, "p99_ci95_ms": p99, "rounds_ms": rounds, "start_rounds": starts,
        "no_interval": {name: reason for name, reason in reasons.items() if reason},
    }  # fmt: skip


@pytest.fixture
def make_race(make_cell: Any, make_run: Any) -> Any:
    def make(draw: random.Random, starts: list[int]) -> RunResult:
        cells = []
        for model, milliseconds in (("big", 20.0), ("small", 10.0), ("other", 19.9))[: draw.randint(2, 3)]:
            timed = [_entry(draw, milliseconds, starts, batch) for batch in (1, 8)]
            form = {"backend": "eager", "raced": "now", "latency": timed}
            cells.append(
                CellResult.model_validate(make_cell(model, deployments=[form]).model_dump() | {"fingerprints": {"measure": model}})
            )
        run: RunResult = make_run(cells, race={"rounds": sum(starts), "starts": len(starts), "layout": "drawn", "disturbances": []})
        return run.model_copy(update={"comparisons": compare_latencies(run)})

    return make


def _drawn_starts(draw: random.Random) -> list[int]:
    rounds = draw.randint(1, 40)
    starts = rounds_of_starts(MeasureSettings(rounds=rounds, restart_every=max(1, rounds // min(draw.randint(1, 12), rounds))))
    return starts if len(starts) <= 12 else [rounds]


def check(text: str, starts: list[int], run: RunResult) -> None:
    """Raises AssertionError where ``text`` speaks of other rounds, starts or intervals than there were."""
    text = " ".join(text.split()).replace(r"\,", " ")
    needed = rf"it takes {LEAST_STARTS} starts of the process|it takes {LEAST_ROUNDS} rounds|segbench run[^|]*"
    claims = re.sub(needed, "", text)
    assert {int(n) for n in re.findall(r"(\d+) rounds?\b", claims)} <= {sum(starts)}
    assert {int(n) for n in re.findall(r"(\d+) starts\b", claims)} <= {len(starts)}
    assert not re.search(r"\b1 (rounds|starts)\b", claims)
    if len(starts) == 1:
        assert not re.search(r"(over|from|of) (how )?starts\b|start to start|was started \d+ times", claims)
    else:
        assert "started once" not in claims
    bounded = [comparison for comparison in run.comparisons if comparison.low is not None]
    timed = [entry for cell in run.cells for form in cell.deployments for entry in form.latency]
    if not bounded:
        assert not re.search(r"interval from|intervals of these ratios|alike", claims)
    if not any(entry.ci95_ms for entry in timed):
        assert not re.search(r"which the intervals|with its 95 % interval|intervals of the medians", claims)


def test_rounds_starts_and_intervals_are_spoken_of_as_they_were(make_race: Any, tmp_path: Any) -> None:
    draw = random.Random(12)
    kinds = set()
    for race in range(RACES):
        starts = _drawn_starts(draw)
        run = make_race(draw, starts)
        kinds.add((len(starts) == 1, any(c.low is not None for c in run.comparisons)))
        check(speed(run, None), starts, run)
        for render in FORMATS if race % RENDERED_EACH == 0 else ():
            check(_text(render, run, tmp_path), starts, run)
    assert kinds == {(True, False), (False, False), (False, True)}


def test_each_time_without_an_interval_has_its_reason_in_the_report(make_race: Any, tmp_path: Any) -> None:
    run = make_race(random.Random(3), [2, 2, 2, 2])
    text = _text(markdown, run, tmp_path)
    (entry,) = {e.no_interval["p99"] for cell in run.cells for d in cell.deployments for e in d.latency if e.batch_size == 1}
    assert entry == "it takes 299 calls, these are 24"
    assert "No interval of p99" not in text, "no p99 is shown that could have one"
    assert "No interval of p50: it takes 3 starts of the process" in _text(markdown, make_race(random.Random(3), [8]), tmp_path)


def _text(module: Any, run: RunResult, folder: Any) -> str:
    text: str = module.render(run, ReportTarget(directory=folder, width=200))
    return text


@pytest.mark.parametrize(
    "sentence",
    [
        "Every process was started 3 times: its time varied from start to start.",
        "median over rounds; 95 % interval from how starts differ",
        "models taking turns in 10 rounds over 4 starts of their processes",
        "another start may be faster, which the intervals do not show",
    ],
)
def test_a_sentence_that_says_more_than_was_done_is_found(make_race: Any, sentence: str) -> None:
    run = make_race(random.Random(1), [7])
    with pytest.raises(AssertionError):
        check(sentence, [7], run)
