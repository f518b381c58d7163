"""The CSV report as a script reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_rows

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _rows(result: RunResult, target: ReportTarget) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_rows.render(result, target))))


def _deployed(make_cell: CellMaker) -> CellResult:
    values = make_cell().model_dump()
    eager = values["deployments"][0]
    small: dict[str, Any] = {
        "backend": "onnxruntime[precision=int8]", "precision": "int8", "file_mb": 3.5, "fixed_size": [48, 64], "raced": "then",
        "quality": {"split": "test", "miou": 0.47}, "drift": {"images": 8, "max_abs": 0.25, "label_agreement": 0.99},
        "latency": [{**eager["latency"][0], "p50_ms": 5.0}],
    }  # fmt: skip
    refused = {"backend": "openvino", "error": "it cannot take this model"}
    return CellResult.model_validate({**values, "deployments": [small, eager, refused]})


def test_every_further_form_has_a_row_of_its_own_after_its_cell(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    rows = _rows(make_run([_deployed(make_cell), make_cell("small")]), target)
    assert [(row["row"], row["model"], row["deployment_backend"]) for row in rows] == [
        ("cell", "big", "eager"),
        ("form", "big", "onnxruntime[precision=int8]"),
        ("form", "big", "openvino"),
        ("cell", "small", "eager"),
    ]
    eager, small, refused, _ = rows
    assert (eager["quality_miou"], small["quality_miou"], refused["quality_miou"]) == ("0.5", "0.47", "")
    assert (eager["latency_p50_ms"], small["latency_p50_ms"], refused["latency_p50_ms"]) == ("20.0", "5.0", "")
    assert (small["deployment_file_mb"], small["deployment_fixed_size"], small["drift_max_abs"]) == ("3.5", "48x64", "0.25")
    assert refused["deployment_error"] == "it cannot take this model"


def test_a_form_repeats_its_cell_s_costs_but_not_its_training(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    eager, small, _ = _rows(make_run([_deployed(make_cell)]), target)
    assert (small["id"], small["params"], small["macs"]) == (eager["id"], eager["params"], eager["macs"])
    assert (eager["training_seconds"], small["training_seconds"]) == ("80.0", "")


def test_the_header_is_the_same_for_every_run(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    heads = {csv_rows.render(make_run(cells), target).splitlines()[0] for cells in ([], [make_cell()], [_deployed(make_cell)])}
    assert len(heads) == 1
