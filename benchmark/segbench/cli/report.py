"""``segbench report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="report", short_help="Render a run in another format.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "name", default="markdown", show_default=True, metavar="NAME", help="A reporter (segbench list reporters).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report.  [default: the run's directory]")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text instead of writing report.<suffix>.")
def command(run: Path, name: str, out: Path | None, to_stdout: bool) -> int:
    """Render RUN (a run's directory, or its run.json) again: terminal, markdown, csv, json, or a plugin's format."""
    from segbench.cli.output import relative, terminal
    from segbench.registry import load_catalog
    from segbench.reporting import render, write_report
    from segbench.store import load_run

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
