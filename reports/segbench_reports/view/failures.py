"""Cells without a result, each with its reason and advice."""

from __future__ import annotations

from dataclasses import dataclass

from segbench import CellResult, RunResult
from segbench_reports.text import numbers
from segbench_reports.view.cells import cell_name, varying_axes


@dataclass(frozen=True)
class Failure:
    """One cell that is not ``ok``, in plain text."""

    name: str
    what: str
    message: str
    advice: str = ""


def failures(result: RunResult) -> list[Failure]:
    """All failed, skipped, interrupted and pending cells in order."""
    axes = varying_axes(result.cells)
    return [_failure(cell, cell_name(cell, axes)) for cell in result.cells if cell.status != "ok"]


def _failure(cell: CellResult, name: str) -> Failure:
    if cell.error is None:
        message = {"pending": "not started yet", "interrupted": "the run was stopped"}.get(cell.status, "no reason was recorded")
        return Failure(name, cell.status, numbers.sentence(message))
    error = cell.error
    where = "" if error.kind == error.stage else f" in {error.stage}"
    what = cell.status if error.kind == "error" else f"{cell.status}, {error.kind.replace('-', ' ')}"
    return Failure(name, f"{what}{where}", numbers.sentence(error.message), numbers.sentence(error.advice))
