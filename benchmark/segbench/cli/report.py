"""``segbench report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="report", short_help="Render a run, or several in one document.")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@click.option("--format", "name", default="markdown", show_default=True, metavar="NAME", help="A reporter (segbench list reporters).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report.  [default: the run's directory]")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text instead of writing report.<suffix>.")
def command(runs: tuple[Path, ...], name: str, out: Path | None, to_stdout: bool) -> int:
    """Render RUN (a run's directory, or its run.json) again: terminal, markdown, csv, json, or a plugin's format.

    Several runs go into one document below --out, each with its whole report in a folder beside it.
    """
    if len(runs) > 1:
        return _write_overview(runs, name, out)
    run = runs[0]
    from segbench.cli.output import relative, terminal
    from segbench.execution.reports import render, write_report
    from segbench.plugin.registry import load_catalog
    from segbench.results.store import load_run

    catalog = load_catalog()
    reporter = catalog.reporter(name)
    result = load_run(run)
    source = run if run.is_dir() else run.parent
    directory = (out or source).absolute()
    if not reporter.suffix or to_stdout:
        console = terminal()
        text = render(result, name, catalog, directory=directory, run_directory=source, width=console.width, color=console.is_terminal)
        click.echo(text.rstrip("\n"))
        return 0
    path = write_report(result, name, catalog, directory=directory, run_directory=source.absolute())
    click.echo(relative(path))
    return 0


def _write_overview(runs: tuple[Path, ...], name: str, out: Path | None) -> int:
    from segbench.cli.output import relative
    from segbench.errors import ConfigError
    from segbench.execution.reports import write_overview
    from segbench.plugin.registry import load_catalog
    from segbench.results.store import load_run

    if out is None:
        raise ConfigError("Several runs in one document need a folder of their own: give --out DIR.")
    sources = [(run if run.is_dir() else run.parent).absolute() for run in runs]
    if len({source.name for source in sources}) < len(sources):
        raise ConfigError("Two of these runs lie in folders of the same name, under which their reports would meet. Rename one.")
    loaded = {source.name: (load_run(run), source) for run, source in zip(runs, sources, strict=True)}
    path = write_overview(loaded, name, load_catalog(), directory=out.absolute())
    click.echo(relative(path))
    return 0
