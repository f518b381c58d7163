"""Output on the terminal: its width and colour, short paths, the command line, a result and its files."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from segbench.plugin.registry import Catalog
    from segbench.results.records import RunResult


def terminal() -> Console:
    """Standard output as rich sees it; a pipe is 100 columns wide unless COLUMNS says otherwise."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(width=100)
    return console


def relative(path: Path) -> str:
    """A path relative to the working directory, where that is shorter and not far away."""
    try:
        short = os.path.relpath(path)
    except ValueError:
        return str(path)
    return short if len(short) < len(str(path)) and not short.startswith("../..") else str(path)


def own_command() -> str:
    """The command line as it may be published: folders of this machine become placeholders."""
    return "segbench " + shlex.join(_without_paths(sys.argv[1:]))


_PATH_OPTIONS = {"--data": "DIR", "--out": "OUT", "--checkpoint": "CHECKPOINT"}


def _without_paths(arguments: list[str]) -> list[str]:
    cleaned, placeholder = [], ""
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        if placeholder:
            cleaned.append(placeholder)
            placeholder = ""
        elif flag in _PATH_OPTIONS and equals:
            cleaned.append(f"{flag}={_PATH_OPTIONS[flag]}")
        elif cleaned and cleaned[-1] == "--dataset":
            cleaned.append(_without_folders(argument))
        elif flag == "--dataset" and equals:
            cleaned.append(f"{flag}={_without_folders(argument.removeprefix('--dataset='))}")
        else:
            cleaned.append(argument)
            placeholder = _PATH_OPTIONS.get(argument, "")
    return cleaned


def _without_folders(dataset: str) -> str:
    """A dataset's text; one that is a folder by the folder's own name.

    >>> _without_folders("/home/me/pets[ignore=9]"), _without_folders("folder[images=a/b]")
    ('pets[ignore=9]', 'folder[images=a/b]')
    """
    head, bracket, rest = dataset.partition("[")
    return f"{Path(head).expanduser().resolve().name}{bracket}{rest}" if "/" in head or head.startswith((".", "~")) else dataset


def print_result(
    result: RunResult, catalog: Catalog, *, run_directory: Path | None = None, report: Path | None = None, data: Path | None = None
) -> None:
    """Print a result as the terminal shows it, and where its report and its data are, as far as they were written."""
    from segbench.execution.reports import render

    console = terminal()
    directory = run_directory or Path.cwd()
    text = render(
        result, "terminal", catalog, directory=directory, run_directory=run_directory, width=console.width, color=console.is_terminal
    )
    click.echo(text.rstrip("\n"))
    files = {"Report:": report, "Data:": data}
    width = max((len(name) for name, file in files.items() if file), default=0)
    lines = [f"{name:<{width}} {relative(file)}" for name, file in files.items() if file]
    if lines:
        click.echo("\n".join(["", *lines]))
