"""Keep results that were made without a run's directory: scores of one checkpoint, profiles of untrained models."""

from __future__ import annotations

from pathlib import Path

from segbench.errors import ConfigError
from segbench.registry import Catalog
from segbench.results import RunResult
from segbench.run.publishing import judge_claims
from segbench.run.reporting import write_reports
from segbench.store import RunStore


def require_empty(directory: Path) -> None:
    """Raise :class:`ConfigError` for a folder that holds something: results must not mix."""
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"'{directory}' is not empty: give --out a new folder.")


def keep(result: RunResult, directory: Path, catalog: Catalog, *, command: str | None = None) -> None:
    """Write ``run.json`` and ``report.md``, with claims judged where they have not been; pictures are looked for in the same directory."""
    claims = result.claims or judge_claims(result, catalog)
    result = result.model_copy(update={"claims": claims, "command": command or result.command})
    notes = write_reports(result, directory, catalog, formats=("markdown",))
    RunStore(directory).write_run(result.model_copy(update={"warnings": [*result.warnings, *notes]}))
