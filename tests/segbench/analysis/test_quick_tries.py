"""Rows with a limit: shown, and neither ranked nor compared nor judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons import with_comparisons
from segbench.analysis.regressions.pairing import match
from segbench.errors import ConfigError
from segbench.plugin.specs import Claim
from segbench.results.readings import not_comparable
from segbench.results.records import CellResult, Deployment, Latency, Quality, RunResult


def cell(name: str, hits: int, **own: Any) -> CellResult:
    timing = Latency(batch_size=1, input_size=(8, 8), device="cpu", p50_ms=hits, rounds_ms=[[float(hits + i % 2)] for i in range(8)])
    return CellResult(
        id=name,
        model=name,
        dataset="dots",
        loss="ce",
        recipe="r",
        seed=0,
        status="ok",
        params=hits,
        fingerprints={"measure": name},
        quality=Quality(split="val", miou=hits / 100, images=30, class_names=["a", "b"], label_pixels_per_class=[100, 100]),
        deployments=[Deployment(backend="eager", raced="one", latency=[timing])],
        **own,
    )


def run(directory: Path, **own: Any) -> RunResult:
    (directory / "confusions").mkdir(parents=True)
    cells = [cell("a", 40, **own), cell("b", 60, **own)]
    for each in cells:
        hits = each.params or 0
        matrices = np.array([[[hits + i % 3, 100 - hits - i % 3], [5, 95]] for i in range(30)])
        np.savez(directory / "confusions" / f"{each.id}.npz", ids=np.array([f"i{i}" for i in range(30)]), matrices=matrices)
    return with_comparisons(RunResult(cells=cells, task={"dataset": "dots", "class_names": ["a", "b"], "num_classes": 2}), directory)


def test_a_quick_try_has_no_comparison_of_any_kind(tmp_path: Path) -> None:
    assert {"miou", "latency_ms"} <= {record.quantity for record in run(tmp_path / "all").comparisons}
    assert run(tmp_path / "few", limit=30).comparisons == []


def test_an_ordinary_row_is_not_compared_with_a_quick_try(tmp_path: Path) -> None:
    result = run(tmp_path / "all")
    first, second = result.cells
    mixed = result.model_copy(update={"cells": [first, second.model_copy(update={"limit": 5})]})
    assert with_comparisons(mixed, tmp_path / "all").comparisons == []


def test_claims_are_not_judged_by_a_quick_try(tmp_path: Path) -> None:
    claim = Claim(name="c", summary="c", subject="a", quantity="params", comparator="about", value=40, tolerance=0.1, source="s")
    (whole,) = judge([claim], run(tmp_path / "all"), default_options={})
    (tried,) = judge([claim], run(tmp_path / "few", limit=30), default_options={})
    assert whole.verdict == "kept"
    assert tried.verdict == "not tested here"
    assert "a quick try on at most 30 images of each split" in str(tried.missing)


def test_runs_are_not_compared_by_quick_tries(tmp_path: Path) -> None:
    whole = run(tmp_path / "all")
    assert len(match(whole, whole).pairs) == 2
    with pytest.raises(ConfigError, match=r"a \| ce is a quick try on at most 30 images .* Run it without --limit"):
        match(whole, run(tmp_path / "few", limit=30))


def test_an_ordinary_row_may_be_compared() -> None:
    assert not not_comparable(CellResult(id="a", model="a"))
    assert "at most 1 image of each split" in not_comparable(CellResult(id="a", model="a", limit=1))
