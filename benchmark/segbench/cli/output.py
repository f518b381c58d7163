"""How results are printed: width, colour and paths."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from rich.console import Console


def terminal() -> Console:
    """Standard output as rich sees it; a pipe is 100 columns wide unless COLUMNS says otherwise."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(width=100)
    return console


def relative(path: Path) -> str:
    """A path as short as it can be typed from here."""
    try:
        short = os.path.relpath(path)
    except ValueError:
        return str(path)
    return short if len(short) < len(str(path)) and not short.startswith("../..") else str(path)


def own_command() -> str:
    """The command line as it may be published: folders of this machine become placeholders."""
    return "segbench " + shlex.join(_without_paths(sys.argv[1:]))


_PATHS = {"--data": "DIR", "--out": "OUT", "--checkpoint": "CHECKPOINT"}


def _without_paths(arguments: list[str]) -> list[str]:
    cleaned, placeholder = [], ""
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        if placeholder:
            cleaned.append(placeholder)
            placeholder = ""
        elif flag in _PATHS and equals:
            cleaned.append(f"{flag}={_PATHS[flag]}")
        else:
            cleaned.append(argument)
            placeholder = _PATHS.get(argument, "")
    return cleaned


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(190), duration(7300), duration(200000)
    ('42 s', '3 min 10 s', '2 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
