"""Output on the terminal: its width and colour, short paths, the command line, a result and its files."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from segbench.plugin.choice import split_outside

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
_DATASET_OPTIONS = ("--dataset", "--datasets")


def _without_paths(arguments: list[str]) -> list[str]:
    cleaned, placeholder = [], ""
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        if placeholder:
            cleaned.append(_without_folders(argument) if placeholder == "DIR" else placeholder)
            placeholder = ""
        elif flag in _PATH_OPTIONS and equals:
            cleaned.append(f"{flag}={_without_folders(argument.partition('=')[2]) if flag == '--data' else _PATH_OPTIONS[flag]}")
        elif cleaned and cleaned[-1] in _DATASET_OPTIONS:
            cleaned.append(_dataset_names(argument))
        elif flag in _DATASET_OPTIONS and equals:
            cleaned.append(f"{flag}={_dataset_names(argument.removeprefix(f'{flag}='))}")
        else:
            cleaned.append(argument)
            placeholder = _PATH_OPTIONS.get(argument, "")
    return cleaned


def _dataset_names(text: str) -> str:
    """Datasets as they were named; one that is a folder by the folder's own name.

    >>> _dataset_names("/home/me/pets[ignore=9],camvid"), _dataset_names("folder[images=a/b]")
    ('pets[ignore=9],camvid', 'folder[images=a/b]')
    """
    return ",".join(_dataset_name(part) for part in split_outside(text))


def _dataset_name(text: str) -> str:
    head, bracket, rest = text.partition("[")
    return f"{Path(head).expanduser().resolve().name}{bracket}{rest}" if "/" in head or head.startswith((".", "~")) else text


def _without_folders(text: str) -> str:
    """``a=DIR,b=DIR`` for the folders of named datasets, ``DIR`` for one folder.

    >>> _without_folders("/mine/camvid"), _without_folders("camvid=/mine/camvid,voc2012=/mine/voc")
    ('DIR', 'camvid=DIR,voc2012=DIR')
    """
    pairs = [split_outside(part, "=") for part in split_outside(text)]
    named = all(len(pair) > 1 and re.fullmatch(r"[A-Za-z][\w-]*(\[.*\])?", pair[0].strip()) for pair in pairs)
    return ",".join(f"{pair[0].strip()}=DIR" for pair in pairs) if named else "DIR"


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
