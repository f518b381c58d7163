"""``segbench watch``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from segbench.cli.watching.files import RunFiles
    from segbench.cli.watching.state import RunState


@click.command(name="watch", short_help="Look on while a run is at work.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option("--once", is_flag=True, help="Print one state and end.  [default where the output is no terminal]")
@click.option(
    "--interval", type=click.FloatRange(min=0.1, max=3600), default=1.0, show_default=True, metavar="SECONDS", help="How often to look."
)
@click.option("--json", "as_json", is_flag=True, help="Print one state as JSON, and nothing else.")
def command(run: Path, once: bool, interval: float, as_json: bool) -> int:
    """Show a run from its files, live, also from another shell: cells done, learning curves, time left.

    Ends with the run: exit 0, or 1 where a cell failed or the run stopped before its time. Nothing is written, and the run does not
    notice; Ctrl-C ends the looking on only.
    """
    from segbench.cli.watching.files import RunFiles

    files = RunFiles(run.parent if run.name == "run.json" and run.is_file() else run)
    if as_json:
        state = files.read()
        click.echo(json.dumps(state.to_dict(), indent=1))
        return state.exit_code
    from segbench.cli.output import terminal

    console = terminal()
    if once or not console.is_terminal:
        state = files.read()
    else:
        try:
            state = _show_live(files, console, interval)
        except KeyboardInterrupt:
            click.echo("No longer looking on. The run itself goes on.", err=True)
            return 130
    _print_state(state, console)
    return state.exit_code


def _show_live(files: RunFiles, console: Console, interval: float) -> RunState:
    """Show the run until it is over."""
    from rich.live import Live

    from segbench.cli.watching.screen import fixed_lines, screen

    state = files.read()
    with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while not state.over:
            rows = max(3, console.height - fixed_lines(state))
            live.update(screen(state, width=console.width, rows=rows, plain=_is_plain(console)), refresh=True)
            time.sleep(interval)
            state = files.read()
    return state


def _print_state(state: RunState, console: Console) -> None:
    from segbench.cli.watching.screen import screen

    console.print(screen(state, width=console.width, plain=_is_plain(console)))


def _is_plain(console: Console) -> bool:
    """True where the terminal's encoding has no characters for curves."""
    try:
        "▁█…·".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False
