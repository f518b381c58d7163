"""What to type to go on with a run that has stopped."""

from __future__ import annotations

import shlex
from pathlib import Path


def continue_command(directory: str) -> str:
    """The command that continues the run in a directory: what it was started with lies there, too.

    >>> continue_command("runs/quick")
    'segbench run --config runs/quick/config.toml --out runs/quick'
    """
    config = Path(directory) / "config.toml"
    return f"segbench run --config {shlex.quote(config.as_posix())} --out {shlex.quote(Path(directory).as_posix())}"
