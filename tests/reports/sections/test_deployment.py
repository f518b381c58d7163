"""Deployments in the report: one row each, errors, and sentences on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import latex, markdown, terminal
from segbench_reports.text.verdicts import turned
from segbench_reports.view.deployment_sentences import sentences
from segbench_reports.view.deployments import deployment_rows, keeping


def _latency(milliseconds: float, half: float = 0.1) -> dict[str, Any]:
    ends = [milliseconds - half, milliseconds + half]
    return {"batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2, "p50_ms": milliseconds, "ci95_ms": ends}


def _deployment(backend: str, miou: float | None, milliseconds: float, **changes: Any) -> dict[str, Any]:
    form: dict[str, Any] = {"backend": backend, "latency": [_latency(milliseconds)], "raced": "now", "file_mb": 2.5, "export_seconds": 1.5}
    if miou is not None:
        form["quality"] = {"split": "test", "miou": miou}
    if backend == "eager":
        return {**form, "file_mb": None, "export_seconds": None, **changes}
    drift = {"images": 8, "input_size": [48, 64], "max_abs": 0.5, "mean_abs": 0.02, "reference_std": 2.0, "label_agreement": 0.9912}
    return {**form, "drift": drift, **changes}


def _score(model: str, backend: str, change: float, half: float | None = 0.003, **changes: Any) -> dict[str, Any]:
    """A comparison of a form with eager mode on the same images; without ``half`` it cannot tell."""
    bounds = {} if half is None else {"low": change - half, "high": change + half, "verdict": "no difference shown"}
    cells = [f"{model}-ce-0"]
    sides = {"subject": model, "baseline": model, "subject_cells": cells, "baseline_cells": cells}
    return {"quantity": "miou", **sides, "subject_backend": backend, "baseline_backend": "eager", "value": change, **bounds, **changes}


def _race(subject: str, backend: str, baseline: str, other: str, ratio: float, verdict: str = "", **changes: Any) -> dict[str, Any]:
    """A comparison of times for single images, subject / baseline, with an interval of 4 % on both sides."""
    bounds = {"low": ratio / 1.04, "high": ratio * 1.04, "verdict": verdict or ("faster" if ratio < 1 else "slower")}
    cells = {"subject_cells": [f"{subject}-ce-0"], "baseline_cells": [f"{baseline}-ce-0"]}
    sides = {"subject": subject, "baseline": baseline, "subject_backend": backend, "baseline_backend": other, **cells}
    context = {"batch_size": 1, "input_size": [48, 64], "device": "cpu", "threads": 2}
    return {"quantity": "latency_ms", "reading": "ratio", **sides, "value": ratio, **bounds, "context": context, **changes}


INT8 = "file[precision=int8]"
COMPARISONS = [
    _score("big", "file", 0.0, 0.001),
    _score("big", INT8, -0.005),
    _score("small", "file", -0.001),
    _score("small", INT8, -0.02, 0.004),
    _race("big", "file", "big", "eager", 0.5),
    _race("big", INT8, "big", "eager", 0.2),
    _race("big", INT8, "big", "file", 0.4),
    _race("small", "eager", "big", "eager", 0.51),
    _race("small", "file", "big", "eager", 0.4),
    _race("small", "file", "small", "eager", 0.8),
    _race("small", INT8, "small", "eager", 0.5),
    _race("big", "file", "small", "file", 1.25),
    _race("small", INT8, "big", INT8, 1.25),
]
"""The verdicts of the run below; its medians give other figures here and there, as medians do."""


@pytest.fixture
def deployed(make_cell: Callable[..., CellResult], make_run: Callable[..., RunResult]) -> RunResult:
    """In eager mode ``small`` is twice as fast; through ``file[precision=int8]`` the order turns, and ``small`` loses two points."""
    big = [
        _deployment("eager", 0.50, 20.0),
        _deployment("file", 0.50, 10.0, fixed_size=[48, 64]),
        _deployment("file[precision=int8]", 0.495, 4.0, precision="int8"),
    ]
    refused = {"backend": "other", "error": "export: the operator aten::grid_sampler|3d cannot be exported", "error_kind": "refused"}
    small = [
        _deployment("eager", 0.48, 10.0),
        _deployment("file", 0.479, 8.0, fixed_size=[48, 64]),
        _deployment("file[precision=int8]", 0.46, 5.0, precision="int8"),
        refused,
    ]
    cells = [make_cell(miou=0.50, deployments=big), make_cell("small", miou=0.48, deployments=small)]
    return make_run(cells, comparisons=COMPARISONS)


def test_every_form_is_a_row_with_its_figures(deployed: RunResult, target: ReportTarget) -> None:
    lines = markdown.render(deployed, target).split("## As they are deployed")[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows[0] == (
        "| model | form | precision | file<br>MB | export<br>s | drift, largest | drift, mean<br>% of deviation | labels agree<br>% "
        "| mIoU<br>% | mIoU against<br>eager, points | within<br>1 point | latency<br>ms, batch 1 | time against<br>eager "
        "| time against<br>the first | why not |"
    )
    drift, int8 = "2.50 | 1.5 | 0.50 | 1.0 | 99.12", r"file\[precision=int8\] | int8"
    assert rows[2:] == [
        "| big | eager | fp32 | – | – | – | – | – | 50.0 | – | – | 20.0 ±0.1 | – | – |  |",
        f"| big | file | fp32 | {drift} | 50.0 | ±0.0 (−0.1 to +0.1) | kept | 10.0 ±0.1 | ×0.50 (0.48 to 0.52) | – |  |",
        f"| big | {int8} | {drift} | 49.5 | −0.5 (−0.8 to −0.2) | kept | 4.00 ±0.10 | ×0.20 (0.19 to 0.21) | – |  |",
        "| small | eager | fp32 | – | – | – | – | – | 48.0 | – | – | 10.0 ±0.1 | – | ×0.51 (0.49 to 0.53) |  |",
        f"| small | file | fp32 | {drift} | 47.9 | −0.1 (−0.4 to +0.2) | kept | 8.00 ±0.10 | ×0.80 (0.77 to 0.83) "
        "| ×0.40 (0.38 to 0.42) |  |",
        f"| small | {int8} | {drift} | 46.0 | −2.0 (−2.4 to −1.6) | lost | 5.00 ±0.10 | ×0.50 (0.48 to 0.52) | – |  |",
        "| small | other | fp32 | – | – | – | – | – | – | – | – | – | – | – "
        "| export: the operator aten::grid_sampler\\|3d cannot be exported |",
    ]


def test_the_sentences_name_the_fastest_form_that_keeps_quality_and_what_turns(deployed: RunResult) -> None:
    assert sentences(deployment_rows(deployed)) == [
        "The fastest form of big that is shown to keep its mIoU within 1 point is file[precision=int8]: 5.00x as fast as eager "
        "(95 % interval 4.81 to 5.20), mIoU −0.5 points (95 % interval −0.8 to −0.2), 2.50 MB.",
        "The fastest form of small that is shown to keep its mIoU within 1 point is file: 1.25x as fast as eager "
        "(95 % interval 1.20 to 1.30), mIoU −0.1 points (95 % interval −0.4 to +0.2), 2.50 MB.",
        "In file[precision=int8] big is 1.25x as fast as small (95 % interval 1.20 to 1.30); "
        "in eager mode it is the other way round, 1.96x (95 % interval 1.89 to 2.04).",
        "The order of the models by speed is the same in file as in eager mode.",
        "Whether it is the same in other is not told by the race.",
    ]


def _changed(deployed: RunResult, number: int, **changes: Any) -> list[str]:
    """The sentences of a run in which one comparison is another; without changes it is missing."""
    comparisons = list(deployed.comparisons)
    comparisons[number : number + 1] = [comparisons[number].model_copy(update=changes)] if changes else []
    return sentences(deployment_rows(deployed.model_copy(update={"comparisons": comparisons})))


def test_a_form_whose_change_is_not_told_does_not_keep_its_quality(deployed: RunResult) -> None:
    """After two epochs INT8 scored 2.8 points higher, give or take 4: that is not known to keep anything."""
    texts = _changed(deployed, 1, value=0.028, low=-0.015, high=0.071, confidence=1 - 0.05 / 4)
    assert texts[0].startswith("The fastest form of big that is shown to keep its mIoU within 1 point is file: 2.00x as fast as eager ")
    assert texts[1] == (
        "Whether file[precision=int8] keeps the mIoU of big within 1 point cannot be told: mIoU +2.8 points (95 % interval −1.5 to +7.1)."
    )


def test_a_form_without_matrices_cannot_be_told_and_says_why(deployed: RunResult) -> None:
    reason = "the confusion matrices of big-ce-0 as file are missing"
    texts = _changed(deployed, 0, value=None, low=None, high=None, verdict="cannot tell", reason=reason)
    assert texts[1] == f"Whether file keeps the mIoU of big within 1 point cannot be told: {reason}."


def test_a_run_from_before_the_comparisons_claims_nothing(deployed: RunResult, target: ReportTarget) -> None:
    old = deployed.model_copy(update={"comparisons": []})
    why = "cannot be told: the run has no comparison with eager on the same images."
    assert sentences(deployment_rows(old)) == [
        f"Whether file and file[precision=int8] keep the mIoU of {model} within 1 point {why}" for model in ("big", "small")
    ]
    for render in (markdown.render, terminal.render, latex.render):
        text = render(old, target)
        section = text[text.index("small") :]
        assert "kept" not in section.split("As they are deployed")[-1].split("Whether")[0]
        assert "×0.20" not in text
        assert "0.20" not in section


def test_forms_that_the_race_cannot_tell_apart_share_the_first_place(deployed: RunResult) -> None:
    (first, *_) = _changed(deployed, 6, verdict="no difference shown", value=0.98, low=0.95, high=1.01)
    assert first.startswith(
        "The fastest forms of big that are shown to keep its mIoU within 1 point are file[precision=int8] and file, "
        "not told apart by the race: file[precision=int8] 5.00x as fast as eager "
    )
    assert "; file 2.00x as fast as eager (95 % interval 1.92 to 2.08)" in first


def test_a_speed_that_is_not_told_decides_nothing(deployed: RunResult) -> None:
    no_faster = "No other form of small that is shown to keep its mIoU within 1 point is shown to be faster than eager."
    assert no_faster in _changed(deployed, 9, verdict="no difference shown")
    untold = {"verdict": "cannot tell", "low": None, "high": None}
    for texts in (_changed(deployed, 9), _changed(deployed, 9, **untold)):
        assert not any("of small that" in text for text in texts)
    assert not any("the other way round" in text for text in _changed(deployed, 7, **untold)), "eager mode tells no order"


def test_a_ratio_is_the_races_and_says_where_it_cannot_tell(deployed: RunResult, target: ReportTarget) -> None:
    comparisons = list(deployed.comparisons)
    comparisons[5] = comparisons[5].model_copy(update={"low": None, "high": None, "verdict": "cannot tell", "value": 0.31})
    run = deployed.model_copy(update={"comparisons": comparisons})
    assert "| 4.00 ±0.10 | cannot tell |" in markdown.render(run, target)
    assert "cannot tell" in latex.render(run, target)


def test_a_turned_ratio_says_the_same(deployed: RunResult) -> None:
    race = deployed.comparisons[4]
    other = turned(race)
    assert (other.value, other.low, other.high, other.verdict) == pytest.approx((2.0, 2 / 1.04, 2 * 1.04, "slower"))
    assert (other.subject_backend, other.baseline_backend) == ("eager", "file")
    back = turned(other)
    assert (back.value, back.low, back.high, back.verdict) == pytest.approx((0.5, race.low, race.high, "faster"))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.01, 0.2, "kept"), (-0.011, 0.2, "cannot tell"), (-0.2, -0.01, "cannot tell"), (-0.2, -0.011, "lost"), (None, None, "cannot tell")],
)
def test_keeping_is_what_the_whole_interval_says(deployed: RunResult, low: float | None, high: float | None, word: str) -> None:
    assert keeping(deployed.comparisons[0].model_copy(update={"low": low, "high": high})) == word


def test_over_seeds_scores_are_means_and_drift_is_the_worst(make_cell: Any, make_run: Any) -> None:
    cells = [
        make_cell(seed=seed, miou=miou, deployments=[_deployment("eager", miou, 20.0), _deployment("file", miou - 0.02 * seed, 10.0)])
        for seed, miou in enumerate((0.50, 0.54))
    ]
    cells[1].deployments[1].drift.max_abs = 0.75
    eager, file = deployment_rows(make_run(cells))
    assert eager.miou == pytest.approx(0.52)
    assert file.miou == pytest.approx(0.51)
    assert file.change == pytest.approx(-0.01)
    assert file.drift(lambda form: form.drift.max_abs if form.drift else None) == 0.75


def test_the_terminal_shows_forms_and_reasons(deployed: RunResult, target: ReportTarget) -> None:
    text = terminal.render(deployed, target)
    assert "As they are deployed" in text
    assert "×0.20" in text
    assert "small as other  export: the operator aten::grid_sampler|3d cannot be exported" in " ".join(text.split("\n"))


def test_runs_in_eager_mode_only_have_no_such_section(comparison: RunResult, target: ReportTarget) -> None:
    assert deployment_rows(comparison) == []
    assert "As they are deployed" not in markdown.render(comparison, target)
