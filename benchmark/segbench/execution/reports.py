"""Render a run in the formats that reporters offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from segbench.analysis.short_names import labelled
from segbench.errors import ConfigError, SegbenchError
from segbench.execution.records import judge_claims
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import ReportTarget, resolve
from segbench.results.records import RunResult
from segbench.results.store import RunStore
from segbench.util.files import explained, write_atomic


def render(
    result: RunResult,
    name: str,
    catalog: Catalog,
    *,
    directory: Path,
    run_directory: Path | None = None,
    width: int = 120,
    color: bool = False,
) -> str:
    """The report's text; pictures go below ``directory``."""
    reporter = catalog.reporter(name)
    target = ReportTarget(directory=directory, run_directory=run_directory, width=width, color=color)
    shown = result if reporter.whole_names else labelled(result)
    text: str = resolve(reporter.render)(shown, target)
    return text


def write_report(result: RunResult, name: str, catalog: Catalog, *, directory: Path, run_directory: Path | None = None) -> Path:
    """Write ``report.<suffix>`` (``report.txt`` where the format has no suffix) below ``directory``."""
    suffix = catalog.reporter(name).suffix or "txt"
    path = directory / f"report.{suffix}"
    if path.is_dir():
        raise SegbenchError(f"'{path}' is a folder: the report cannot be written there. Choose another --out DIR.")
    with explained(path):
        directory.mkdir(parents=True, exist_ok=True)
        text = render(result, name, catalog, directory=directory, run_directory=run_directory or directory)
        write_atomic(path, text.encode())
    return path


def write_overview(runs: Mapping[str, tuple[RunResult, Path]], name: str, catalog: Catalog, *, directory: Path) -> Path:
    """Write each run's report below ``directory``, in a folder of its name, and over all of them ``report.<suffix>``.

    ``runs`` holds results and the directories that they lie in.
    """
    reporter = catalog.reporter(name)
    if reporter.overview is None or not reporter.suffix:
        able = ", ".join(spec.name for spec, _ in catalog.specs("reporters") if spec.overview and spec.suffix)
        raise SegbenchError(f"Format '{name}' shows one run at a time; several in one document: {able}.")
    path = directory / f"report.{reporter.suffix}"
    if path.is_dir():
        raise SegbenchError(f"'{path}' is a folder: the report cannot be written there. Choose another --out DIR.")
    for folder, (result, source) in runs.items():
        write_report(result, name, catalog, directory=directory / folder, run_directory=source)
    with explained(path):
        text: str = resolve(reporter.overview)({folder: labelled(result) for folder, (result, _) in runs.items()}, ReportTarget(directory))
        write_atomic(path, text.encode())
    return path


def write_reports(result: RunResult, directory: Path, catalog: Catalog, *, formats: Sequence[str]) -> list[str]:
    """Write several formats; one that fails is left out and named in the returned notes."""
    notes = []
    for name in formats:
        try:
            write_report(result, name, catalog, directory=directory)
        except Exception as error:  # a report that fails must not lose the results that it shows
            notes.append(f"report '{name}' could not be written: {type(error).__name__}: {error}")
    return notes


def require_empty_folder(directory: Path) -> None:
    """Raise :class:`ConfigError` for a folder that holds something: results must not mix."""
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"'{directory}' is not empty: give --out a new folder.")


def write_result(result: RunResult, directory: Path, catalog: Catalog, *, command: str | None = None) -> None:
    """Write ``run.json`` and ``report.md``, with claims judged where they have not been; pictures are looked for in the same directory."""
    claims = result.claims or judge_claims(result, catalog)
    result = result.model_copy(update={"claims": claims, "command": command or result.command})
    notes = write_reports(result, directory, catalog, formats=("markdown",))
    RunStore(directory).write_run(result.model_copy(update={"warnings": [*result.warnings, *notes]}))
