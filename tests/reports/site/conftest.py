"""Runs that share conditions and runs that do not, and the site made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult

pytest.importorskip("jinja2")

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]
Changed = Callable[..., CellResult]
Build = Callable[..., Path]


@pytest.fixture
def changed(make_cell: CellMaker) -> Changed:
    """A cell with some of its parts different: ``changed("big", quality={"split": "val"}, train={"epochs": 8}, raced="then")``."""

    def make(model: str = "big", *, miou: float = 0.5, interval: tuple[float, float] | None = None, **parts: Any) -> CellResult:
        top = {key: value for key, value in parts.items() if key not in ("quality", "train", "eval", "raced", "p50_ms")}
        values = make_cell(model, miou=miou, **top).model_dump()
        values["quality"] |= {"miou_ci95": interval, "image_size": [48, 64], "resize": "keep-aspect"} | parts.get("quality", {})
        for section in ("train", "eval"):
            values["resolved"][section] |= parts.get(section, {})
        values["deployments"][0]["raced"] = parts.get("raced", "2026-11-01T10:00:00+00:00")
        if "p50_ms" in parts:
            milliseconds = parts["p50_ms"]
            values["deployments"][0]["latency"][0] |= {"p50_ms": milliseconds, "ci95_ms": [0.98 * milliseconds, 1.02 * milliseconds]}
        return CellResult.model_validate(values)

    return make


@pytest.fixture
def site_runs(changed: Changed, make_run: RunMaker) -> dict[str, RunResult]:
    """Two runs that share a table, one that stands apart, one that is half-finished and has a training score."""

    def run(cells: list[CellResult], day: int, **changes: Any) -> RunResult:
        result = make_run(cells, **changes)
        started = f"2026-11-{day:02}T10:00:00+00:00"
        return result.model_copy(update={"environment": result.environment.model_copy(update={"started": started})})

    waiting = changed("later", id="later", status="pending", training=None).model_copy(update={"quality": None, "deployments": []})
    return {
        "first": run([changed("big", interval=(0.47, 0.53)), changed("small", miou=0.44, interval=(0.41, 0.46), p50_ms=10.0)], 1),
        "second": run([changed("medium", miou=0.52, interval=(0.49, 0.55), raced="2026-11-02T10:00:00+00:00", p50_ms=15.0)], 2),
        "longer": run([changed("big", miou=0.6, train={"epochs": 40})], 3),
        "half": run([changed("seen", quality={"miou": None, "training_score": 0.9, "split": "train"}), waiting], 4, complete=False),
    }


@pytest.fixture
def build_site(tmp_path: Path) -> Build:
    """The pages over some runs; each run's own page is a stand-in."""
    from segbench_reports.site import build

    def built(runs: Mapping[str, RunResult], **target: Any) -> Path:
        root = tmp_path / "site"
        for folder, run in runs.items():
            (root / "runs" / folder).mkdir(parents=True, exist_ok=True)
            (root / "runs" / folder / "index.html").write_text("<title>report</title>")
            (root / "runs" / folder / "run.json").write_text(run.model_dump_json())
        build(runs, ReportTarget(root, **target))
        return root

    return built
