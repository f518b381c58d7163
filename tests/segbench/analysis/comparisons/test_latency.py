"""Verdicts on speed: only within a race, each pair once, all of them one family."""

from __future__ import annotations

import random
from typing import Any

import pytest

from segbench.analysis.comparisons import compare_latencies
from segbench.results.records import CellResult, Comparison, RunResult

Rounds = list[list[float]]


def _rounds(milliseconds: float, *, seed: int, rounds: int = 10, noise: float = 0.01) -> Rounds:
    """Moods of the rounds are shared by all (one seed), noise is each one's own."""
    moods, own = random.Random(0), random.Random(seed)
    return [[milliseconds * mood * own.gauss(1, noise) for _ in range(5)] for mood in (1 + moods.random() for _ in range(rounds))]


def _entry(rounds: Rounds, batch: int = 1) -> dict[str, Any]:
    return {"batch_size": batch, "input_size": [64, 96], "device": "cpu", "threads": 1, "rounds_ms": rounds, "p50_ms": 1.0}


def _form(
    milliseconds: float, *, seed: int, backend: str = "eager", raced: str | None = "now", batch: int = 1, **more: Any
) -> dict[str, Any]:
    return {"backend": backend, "raced": raced, "latency": [_entry(_rounds(milliseconds, seed=seed, **more), batch)]}


def _cell(model: str, *forms: dict[str, Any], seed: int = 0) -> CellResult:
    return CellResult.model_validate(
        {"id": f"{model}-{seed}", "model": model, "seed": seed, "fingerprints": {"measure": model}, "deployments": list(forms)}
    )


def _told(run: RunResult, *, headline: bool = True) -> list[Comparison]:
    return [found for found in compare_latencies(run) if found.headline is headline]


def test_every_form_is_held_against_the_first_model_in_eager_mode() -> None:
    big = _cell("big", _form(20, seed=1), _form(15, seed=2, backend="twin"))
    small = _cell("small", _form(10, seed=3))
    found = _told(RunResult(cells=[big, small]))
    assert [(one.subject, one.subject_backend, one.verdict) for one in found] == [("big", "twin", "faster"), ("small", "eager", "faster")]
    assert {(one.baseline, one.baseline_backend) for one in found} == {("big", "eager")}
    assert [one.value for one in found] == pytest.approx([0.75, 0.5], rel=0.01)
    last = found[-1]
    assert last.low is not None
    assert last.high is not None
    assert 0.49 < last.low < 0.5 < last.high < 0.51
    assert (last.reading, last.n, last.quantity, last.scope) == ("ratio", 10, "latency_ms", "this machine")
    assert last.context == {"batch_size": 1, "input_size": [64, 96], "device": "cpu", "threads": 1}


def test_throughput_reads_the_other_way_round() -> None:
    cells = [_cell("big", _form(20, seed=1, batch=8)), _cell("small", _form(10, seed=2, batch=8))]
    (found,) = _told(RunResult(cells=cells))
    assert (found.quantity, found.verdict) == ("throughput", "faster")
    assert found.value == pytest.approx(2, rel=0.01)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_equal_models_show_no_difference() -> None:
    (found,) = _told(RunResult(cells=[_cell("a", _form(20, seed=1)), _cell("b", _form(20, seed=2))]))
    assert found.verdict == "no difference shown"


def test_cells_that_share_a_measurement_are_one_contender() -> None:
    cells = [_cell("big", _form(20, seed=1), seed=seed) for seed in (0, 1)] + [
        _cell("small", _form(10, seed=2), seed=seed) for seed in (0, 1)
    ]
    (found,) = _told(RunResult(cells=cells))
    assert (found.baseline_cells, found.subject_cells) == (["big-0", "big-1"], ["small-0", "small-1"])


def test_times_of_different_races_are_not_compared() -> None:
    cells = [
        _cell("big", _form(20, seed=1)),
        _cell("small", _form(10, seed=2, raced="yesterday")),
        _cell("tiny", _form(5, seed=3, raced=None)),
    ]
    assert compare_latencies(RunResult(cells=cells)) == []


def test_what_cannot_be_told_has_its_reason() -> None:
    few = RunResult(cells=[_cell("a", _form(20, seed=1, rounds=5)), _cell("b", _form(10, seed=2, rounds=5))])
    assert [(one.verdict, one.low, one.reason) for one in _told(few)] == [("cannot tell", None, "it takes 6 rounds, these are 5")]
    fallen = _cell("c", {"backend": "eager", "raced": "now", "latency": [], "error": "batch 1: it fell"})
    run = RunResult(cells=[_cell("a", _form(20, seed=1)), _cell("b", _form(10, seed=2)), fallen])
    assert [(one.subject, one.verdict, one.reason) for one in _told(run)][1] == ("c", "cannot tell", "c (eager): batch 1: it fell")
    torn = RunResult(cells=[_cell("a", _form(20, seed=1)), _cell("b", _form(10, seed=2, rounds=9))])
    assert _told(torn)[0].reason == "their rounds are not the same ones"


def test_each_pair_has_one_verdict_and_few_families_have_a_false_one() -> None:
    """Of eight equal models some pair nearly always seems different by itself; of the family none does but in one race of twenty."""
    assert _told(RunResult(cells=[_cell("a", _form(20, seed=1)), _cell("b", _form(10, seed=2))]), headline=False) == []
    told = 0
    for trial in range(12):
        cells = [_cell(f"m{i}", _form(20, seed=100 * trial + i, noise=0.05)) for i in range(8)]
        pairs = compare_latencies(RunResult(cells=cells))
        assert len({frozenset((p.subject, p.baseline)) for p in pairs}) == len(pairs) == 28
        assert sum(p.headline for p in pairs) == 7
        assert all(p.family is not None and (p.family.planned, p.family.others) == (7, 21) for p in pairs)
        assert all(p.p_adjusted is not None and p.p_value is not None and p.p_adjusted >= p.p_value for p in pairs)
        told += any(pair.verdict != "no difference shown" for pair in pairs)
    assert told <= 2
    apart = [_cell(f"m{i}", _form(20 + 10 * i, seed=i)) for i in range(3)]
    assert {pair.verdict for pair in compare_latencies(RunResult(cells=apart))} == {"slower"}


def test_a_form_is_compared_with_the_same_model_in_eager_mode() -> None:
    cells = [_cell("a", _form(20, seed=1)), _cell("b", _form(15, seed=2), _form(10, seed=3, backend="twin"))]
    (form,) = [c for c in compare_latencies(RunResult(cells=cells)) if c.axis == "form"]
    assert (form.subject, form.subject_backend, form.baseline_backend, form.planned, form.headline) == ("b", "twin", "eager", True, False)
    assert form.verdict == "faster"
    assert form.value == pytest.approx(2 / 3, rel=0.02)


def test_the_verdict_is_that_of_the_interval() -> None:
    for trial in range(40):
        cells = [_cell(f"m{i}", _form(20 * (1 + 0.01 * i), seed=10 * trial + i)) for i in range(4)]
        for pair in compare_latencies(RunResult(cells=cells)):
            assert pair.low is not None
            assert pair.high is not None
            assert pair.p_adjusted is not None
            expected = "faster" if pair.high < 1 else "slower" if pair.low > 1 else "no difference shown"
            assert pair.verdict == expected
            assert (pair.p_adjusted < 0.05) is (expected != "no difference shown")


def test_networks_that_differ_in_settings_of_their_training_only_are_no_pair_of_models() -> None:
    """The batch of the training is part of what a measurement depends on: one network may be in one race several times."""

    def cell(model: str, batch: int, milliseconds: float) -> CellResult:
        made = _cell(model, _form(milliseconds, seed=batch + len(model)), seed=batch)
        settings = {"train.batch_size": batch}
        return made.model_copy(update={"settings": settings, "fingerprints": {"measure": f"{model}-{batch}"}})

    cells = [cell(model, batch, milliseconds) for model, milliseconds in (("a", 20.0), ("bb", 10.0)) for batch in (8, 16)]
    pairs = compare_latencies(RunResult(cells=cells))
    assert sorted((p.axis, p.subject, p.baseline, p.headline, p.planned) for p in pairs) == [
        ("model", "bb", "a", True, True),
        ("model", "bb", "a", True, True),
        ("settings", "a", "a", False, False),
        ("settings", "bb", "bb", False, False),
        ("variant", "bb", "a", False, False),
        ("variant", "bb", "a", False, False),
    ]


def test_times_of_zero_and_other_starts_are_named() -> None:
    zero = RunResult(cells=[_cell("a", _form(20, seed=1)), _cell("b", _form(0, seed=2))])
    assert [(one.verdict, one.reason) for one in _told(zero)] == [("cannot tell", "there are times of zero")]
    first, second = _form(20, seed=1), _form(10, seed=2)
    first["latency"][0]["start_rounds"], second["latency"][0]["start_rounds"] = [2] * 5, [5, 5]
    other = RunResult(cells=[_cell("a", first), _cell("b", second)])
    assert [(one.verdict, one.reason) for one in _told(other)] == [("cannot tell", "their rounds are not the same ones")]
