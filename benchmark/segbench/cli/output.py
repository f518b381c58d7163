"""How results are printed: width, colour and paths."""

from __future__ import annotations

import os
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
