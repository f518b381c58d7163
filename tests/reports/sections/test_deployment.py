"""Deployments in the report: one row each, errors, and sentences on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import markdown, terminal
from segbench_reports.view.deployments import deployment_rows, sentences


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
    return make_run([make_cell(miou=0.50, deployments=big), make_cell("small", miou=0.48, deployments=small)])


def test_every_form_is_a_row_with_its_figures(deployed: RunResult, target: ReportTarget) -> None:
    lines = markdown.render(deployed, target).split("## As they are deployed")[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows[0] == (
        "| model | form | precision | file<br>MB | export<br>s | drift, largest | drift, mean<br>% of deviation | labels agree<br>% "
        "| mIoU<br>% | mIoU against<br>eager, points | latency<br>ms, batch 1 | time against<br>eager "
        "| time against<br>the first | why not |"
    )
    assert rows[2:] == [
        "| big | eager | fp32 | – | – | – | – | – | 50.0 | – | 20.0 ±0.1 | – | – |  |",
        "| big | file | fp32 | 2.50 | 1.5 | 0.50 | 1.0 | 99.12 | 50.0 | ±0.0 | 10.0 ±0.1 | ×0.50 | – |  |",
        "| big | file\\[precision=int8\\] | int8 | 2.50 | 1.5 | 0.50 | 1.0 | 99.12 | 49.5 | −0.5 | 4.00 ±0.10 | ×0.20 | – |  |",
        "| small | eager | fp32 | – | – | – | – | – | 48.0 | – | 10.0 ±0.1 | – | ×0.50 |  |",
        "| small | file | fp32 | 2.50 | 1.5 | 0.50 | 1.0 | 99.12 | 47.9 | −0.1 | 8.00 ±0.10 | ×0.80 | ×0.40 |  |",
        "| small | file\\[precision=int8\\] | int8 | 2.50 | 1.5 | 0.50 | 1.0 | 99.12 | 46.0 | −2.0 | 5.00 ±0.10 | ×0.50 | ×0.25 |  |",
        "| small | other | fp32 | – | – | – | – | – | – | – | – | – | – "
        "| export: the operator aten::grid_sampler\\|3d cannot be exported |",
    ]


def test_the_sentences_name_the_fastest_form_that_keeps_quality_and_what_turns(deployed: RunResult) -> None:
    assert sentences(deployment_rows(deployed)) == [
        "The fastest form of big that keeps its mIoU within 1 point is file[precision=int8]: "
        "5.00x as fast as eager, mIoU −0.5 points, 2.50 MB.",
        "The fastest form of small that keeps its mIoU within 1 point is file: 1.25x as fast as eager, mIoU −0.1 points, 2.50 MB.",
        "In file[precision=int8] big is 1.25x as fast as small; in eager mode it is the other way round, 2.00x.",
        "The order by mIoU is the same in file and file[precision=int8] as in eager mode.",
    ]


def test_times_of_different_races_or_within_the_noise_decide_nothing(make_cell: Any, make_run: Any) -> None:
    def said(**changes: Any) -> list[str]:
        forms = [_deployment("eager", 0.5, 10.0), _deployment("file", 0.5, 9.95, **changes)]
        return sentences(deployment_rows(make_run([make_cell(deployments=forms)])))

    assert said() == ["No other form of big that keeps its mIoU within 1 point runs faster than eager beyond the noise."]
    assert said(raced="earlier") == []


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
