"""The command line: one file per command, each loaded when it is used.

Results go to stdout, progress and warnings to stderr. Exit 0 all well, 1 a cell failed or a check was not met, 2 the user's input was
wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import warnings

import click

from segbench import __version__
from segbench.errors import SegbenchError, did_you_mean

COMMANDS = {
    "run": "Train, score and measure models under one protocol, and compare them.",
    "profile": "Measure params, macs, latency and memory without training.",
    "watch": "Look on while a run is at work, also from another shell.",
    "ablate": "Walk from one model to another, one option at a time.",
    "evaluate": "Score trained cells or a checkpoint again, on any split or size.",
    "score": "Score folders of predicted masks, whatever made them.",
    "predict": "Masks and overlays of images, by a trained cell or an exported file.",
    "export": "Write a model as a file to be shipped, with its metadata.",
    "compare": "Hold two runs against each other, and gate on regressions.",
    "baseline": "Keep runs under a name, to compare with later.",
    "report": "Render a run, or several in one document.",
    "publish": "Build a static site of runs: leaderboards, reports, badges.",
    "schema": "Print the JSON Schema of run.json, or hold files against it.",
    "list": "List models, losses, datasets, recipes, .. and plugins.",
    "check": "Run the conformance checks of a model, loss, dataset, ..",
    "verify": "Hold the instruments against known quantities on this machine.",
    "data": "Check, preview or fetch a dataset.",
}


class LazyGroup(click.Group):
    """Loads a command's module when it is called, so that ``--help`` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module loaded."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"segbench.cli.{cmd_name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Unknown commands get near misses."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            ctx.fail(f"No such command '{name}'.{did_you_mean(name, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with:  segbench run      (a complete comparison on embedded data, about three minutes)",
)
@click.version_option(__version__, prog_name="segbench")
def cli() -> None:
    """Benchmark semantic segmentation models under one protocol: params, MACs, latency, memory and mIoU."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``segbench`` command."""
    _speak_any_encoding()
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(args=arguments, prog_name="segbench", standalone_mode=False)
    except (KeyboardInterrupt, click.exceptions.Abort):
        code = 130
        click.echo("Interrupted. What was finished is kept: the same command continues from there.", err=True)
    except click.UsageError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SegbenchError as error:
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:  # the reader (head, less) has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except Exception as error:  # a fault of ours or of a plugin: one line, too
        if os.environ.get("SEGBENCH_TRACEBACK"):
            raise
        click.echo(_unexpected(error), err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _speak_any_encoding() -> None:
    """Replace characters that a stream cannot encode (an ASCII pipe, an old console) by question marks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _unexpected(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (
        f"Unexpected error: {type(error).__name__}{': ' + lines[0] if lines else ''}\n"
        "This is a fault of segbench or of a plugin, not yours; what was finished is kept. "
        "Set SEGBENCH_TRACEBACK=1 to see where it happened, and report that with the command."
    )


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    # one plain line on stderr: the place in our source is no help to a user
    if category.__module__.startswith("segbench") or issubclass(category, UserWarning):
        click.echo(f"Warning: {message}", err=True)
