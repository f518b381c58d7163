"""``segbench baseline``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from segbench.util.sequences import counted

_FOLDER = click.option(
    "--from", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Folder of baselines.  [default: the user's data folder]"
)


@click.group(name="baseline", short_help="Keep runs under a name, to compare with later.")
def command() -> None:
    """Keep runs under a name: 'segbench compare NAME RUN' then takes the name in place of a directory.

    Baselines lie in $SEGBENCH_BASELINES, else in the user's data folder; with --to they lie where a repository or a CI cache keeps them.
    """


@command.command(name="save", short_help="Keep a run under a name.")
@click.argument("name")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Folder of baselines.  [default: the user's data folder]"
)
@click.option(
    "--with-checkpoints/--no-checkpoints",
    "checkpoints",
    default=True,
    show_default=True,
    help="Also keep weights and exported files: without them latency can be judged by the anchor only.",
)
@click.option("--replace", is_flag=True, help="Replace a baseline of that name.")
def save(name: str, run: Path, folder: Path | None, checkpoints: bool, replace: bool) -> int:
    """Copy the results of RUN, its confusion matrices, best checkpoints and exported files to the baseline NAME."""
    from segbench.cli.output import relative
    from segbench.results.baselines import baselines_folder, save_baseline

    baseline = save_baseline(name, run, folder=baselines_folder(folder), checkpoints=checkpoints, replace=replace)
    cells = len(baseline.result.cells) if baseline.result else 0
    weights = "" if baseline.has_checkpoints else ", without checkpoints"
    size = f"{counted(cells, 'cell')}, {baseline.megabytes:.1f} MB{weights}"
    click.echo(f"Saved {name}: {size}, in {relative(baseline.directory)}")
    if baseline.result and not baseline.result.complete:
        click.echo(f"Warning: the run is not finished; '{name}' holds what is done so far.", err=True)
    return 0


@command.command(name="list", short_help="List baselines.")
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def list_(folder: Path | None, as_json: bool) -> int:
    """List baselines with what they hold."""
    from segbench.cli.output import relative
    from segbench.results.baselines import baselines_folder, list_baselines

    location = baselines_folder(folder)
    baselines = list_baselines(location)
    rows = [
        {
            "name": baseline.name,
            "started": baseline.result.environment.started if baseline.result else None,
            "dataset": baseline.result.task.dataset if baseline.result else None,
            "models": list(dict.fromkeys(cell.model for cell in baseline.result.cells)) if baseline.result else [],
            "cells": len(baseline.result.cells) if baseline.result else 0,
            "megabytes": round(baseline.megabytes, 1),
            "checkpoints": baseline.has_checkpoints,
            "error": baseline.error or None,
        }
        for baseline in baselines
    ]
    if as_json:
        click.echo(json.dumps({"baselines": rows}, indent=1))
        return 0
    if not rows:
        click.echo(f"No baselines in {relative(location)}. Keep a run: segbench baseline save NAME RUN")
        return 0
    width = max(len(baseline.name) for baseline in baselines)
    for row in rows:
        name = str(row["name"]).ljust(width)
        if row["error"]:
            click.echo(f"{name}  cannot be read: {row['error']}")
            continue
        models = ", ".join(map(str, row["models"])) if isinstance(row["models"], list) else ""
        date = str(row["started"] or "")[:10] or "no date"
        weights = "with checkpoints" if row["checkpoints"] else "no checkpoints"
        size = f"{counted(int(str(row['cells'])), 'cell')}, {row['megabytes']} MB"
        click.echo(f"{name}  {date}  {row['dataset'] or 'no dataset'}  {size}, {weights}: {models}")
    return 0


@command.command(name="remove", short_help="Delete a baseline.")
@click.argument("name")
@_FOLDER
def remove(name: str, folder: Path | None) -> int:
    """Delete the baseline NAME."""
    from segbench.results.baselines import baselines_folder, remove_baseline

    remove_baseline(name, baselines_folder(folder))
    click.echo(f"Removed {name}")
    return 0
