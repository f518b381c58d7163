"""``segbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from segbench.plugin.registry import Catalog
    from segbench.results.records import RunResult


@click.command(name="report", short_help="Render a run, or several in one document.")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@click.option("--format", "name", default="markdown", show_default=True, metavar="NAME", help="A reporter (segbench list reporters).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report.  [default: the run's directory]")
@click.option("--reanalyse", is_flag=True, help="Work out intervals, verdicts, diagnoses and claims anew; writes run.json too.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text instead of writing report.<suffix>.")
def command(runs: tuple[Path, ...], name: str, out: Path | None, reanalyse: bool, to_stdout: bool) -> int:
    """Render RUN (a run's directory, or its run.json) again: terminal, markdown, csv, json, or a plugin's format.

    Several runs go into one document below --out, each with its whole report in a folder beside it; so do those of a directory that
    'segbench run --datasets' or '--folds' made.

    Verdicts that an earlier version drew are worked out anew from the rounds and confusion matrices that the run keeps, and the report
    says so; --reanalyse does that for any run and keeps the new ones in its run.json.
    """
    if len(runs) > 1:
        return _write_overview(_by_folder(runs), name, out, reanalyse=reanalyse)
    run = runs[0]
    from segbench.execution.several import runs_below

    if run.is_dir() and not (run / "run.json").exists() and (several := runs_below(run.absolute())):
        return _write_overview(several, name, out or run, reanalyse=reanalyse)
    from segbench.cli.output import relative, terminal
    from segbench.execution.reports import render, write_report
    from segbench.plugin.registry import load_catalog

    catalog = load_catalog()
    reporter = catalog.reporter(name)
    source = run if run.is_dir() else run.parent
    result = _loaded(run, source, catalog, reanalyse=reanalyse)
    directory = (out or source).absolute()
    if not reporter.suffix or to_stdout:
        console = terminal()
        text = render(result, name, catalog, directory=directory, run_directory=source, width=console.width, color=console.is_terminal)
        click.echo(text.rstrip("\n"))
        return 0
    path = write_report(result, name, catalog, directory=directory, run_directory=source.absolute())
    click.echo(relative(path))
    return 0


def _loaded(run: Path, source: Path, catalog: Catalog, *, reanalyse: bool) -> RunResult:
    """The run with up-to-date verdicts; ``reanalyse`` writes them to its run.json."""
    from segbench.execution.reanalysis import reanalysed, up_to_date
    from segbench.results.store import RunStore, load_run

    result = load_run(run)
    if not reanalyse:
        return up_to_date(result, source, catalog)
    result = reanalysed(result, source, catalog)
    RunStore(source.absolute()).write_run(result)
    return result


def _by_folder(runs: tuple[Path, ...]) -> dict[str, Path]:
    from segbench.errors import ConfigError

    sources = [(run if run.is_dir() else run.parent).absolute() for run in runs]
    if len({source.name for source in sources}) < len(sources):
        raise ConfigError("Two of these runs lie in folders of the same name, under which their reports would meet. Rename one.")
    return {source.name: run for source, run in zip(sources, runs, strict=True)}


def _write_overview(runs: dict[str, Path], name: str, out: Path | None, *, reanalyse: bool) -> int:
    from segbench.cli.output import relative
    from segbench.errors import ConfigError
    from segbench.execution.reports import write_overview
    from segbench.plugin.registry import load_catalog

    if out is None:
        raise ConfigError("Several runs in one document need a folder of their own: give --out DIR.")
    catalog = load_catalog()
    sources = {folder: (run if run.is_dir() else run.parent).absolute() for folder, run in runs.items()}
    loaded = {folder: (_loaded(run, sources[folder], catalog, reanalyse=reanalyse), sources[folder]) for folder, run in runs.items()}
    path = write_overview(loaded, name, catalog, directory=out.absolute())
    click.echo(relative(path))
    return 0
