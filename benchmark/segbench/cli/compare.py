"""``segbench compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from segbench.analysis.regressions.compare import Run
    from segbench.analysis.regressions.latency import Key, Retimed
    from segbench.analysis.regressions.pairing import Pairing
    from segbench.execution.events import Event
    from segbench.plugin.registry import Catalog
    from segbench.results.records import RunResult

_EPILOG = """\b
Verdicts
  regressed            the whole 95 % interval of the change lies beyond the margin, for the worse
  improved             the same, for the better
  no difference shown  the interval does not leave the margin: nothing was shown, which is not "equal"
  cannot tell          no interval, or one wider than the margin on both sides; or unlike machines,
                       versions, data or protocol, named with both values
The margin is 5 % for speed and memory (--margin) and none for scores; counts (params, macs, size)
have no noise, any difference is one.

\b
Exit code
  0  compared (whatever was found), or every condition of --fail-on is met
  1  a condition of --fail-on is not met
  2  the input was wrong
"""


@click.command(name="compare", short_help="Hold two runs against each other, and gate on regressions.", epilog=_EPILOG)
@click.argument("baseline", metavar="BASELINE")
@click.argument("new", metavar="NEW")
@click.option("--fail-on", metavar="TEXT", help='Exit 1 on a shown regression: "miou < -0.5pt, latency > 5%, params > 0.1M".')
@click.option("--strict", is_flag=True, help="With --fail-on: exit 1 also where a condition cannot be judged.")
@click.option("--margin", metavar="PERCENT", default="5%", show_default=True, help="Change of speed or memory that counts.")
@click.option(
    "--retime/--no-retime",
    default=None,
    help="Race both runs' artifacts again, side by side.  [default: where both are there and their code is unchanged]",
)
@click.option("--rounds", type=click.IntRange(min=6), metavar="N", help="Rounds of that race, at most four times as many.  [default: 30]")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads of that race.  [default: the new run's]")
@click.option("--match", "matches", multiple=True, metavar="OLD=NEW", help="Hold the model NEW against the baseline's OLD. Repeatable.")
@click.option("--across-settings", is_flag=True, help="Judge scores also where training settings differ.")
@click.option("--format", "name", default="terminal", show_default=True, metavar="NAME", help="terminal, markdown, json, or a plugin's.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write there instead of printing.")
@click.option("--all", "show_all", is_flag=True, help="List every row, also those without a shown difference in large runs.")
@click.option("--baselines", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Folder of baselines.")
def command(
    baseline: str,
    new: str,
    fail_on: str | None,
    strict: bool,
    margin: str,
    retime: bool | None,
    rounds: int | None,
    threads: int | None,
    matches: tuple[str, ...],
    across_settings: bool,
    name: str,
    out: Path | None,
    show_all: bool,
    folder: Path | None,
) -> int:
    """What changed from BASELINE to NEW: runs' directories, run.json files, or names of saved baselines.

    RUN/CELL, RUN/PART and a cell's checkpoint (see 'segbench export --help') restrict a side to that cell.

    Scores are compared on the same images (or over seeds), counts exactly, latency only in a race of both or against the anchor that both
    were raced with.
    """
    from segbench.analysis.regressions.compare import compare_runs
    from segbench.analysis.regressions.gate import parse_gate
    from segbench.analysis.regressions.pairing import match
    from segbench.errors import ConfigError
    from segbench.plugin.registry import load_catalog
    from segbench.results.baselines import baselines_folder

    if strict and not fail_on:
        raise ConfigError("--strict goes with --fail-on: without conditions nothing can fail.")
    if out is not None and out.is_dir():
        raise ConfigError(f"'{out}' is a folder: give --out a file.")
    share = _share(margin)
    catalog = load_catalog()
    reporter = catalog.reporter(name)
    if reporter.comparison is None:
        able = ", ".join(spec.name for spec, _ in catalog.specs("reporters") if spec.comparison)
        raise ConfigError(f"Format '{name}' shows one run; a comparison can be shown as: {able}.")
    runs = [_load(text, baselines_folder(folder)) for text in (baseline, new)]
    clauses = parse_gate(fail_on) if fail_on is not None else []  # runs bring the names of their plugins' metrics
    pairing = match(runs[0].result, runs[1].result, _renamed(matches))
    race_again = retime is not False
    race = {"forced": bool(retime), "rounds": rounds, "threads": threads, "margin": share}
    timed = _retime(pairing, runs, catalog, **race) if race_again else {}
    comparison = compare_runs(
        *runs,
        margin=share,
        across_settings=across_settings,
        retimed=timed,
        clauses=clauses,
        strict=strict,
        pairing=pairing,
    )
    from segbench.cli.output import terminal
    from segbench.plugin.specs import ReportTarget, resolve

    console = terminal()
    printed = out is None
    target = ReportTarget(Path.cwd(), None, console.width if printed else 120, printed and console.is_terminal, everything=show_all)
    _put(resolve(reporter.comparison)(comparison, target), out)
    return 0 if comparison.gate is None or comparison.gate.passed else 1


def _put(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text.rstrip("\n"))
        return
    from segbench.util.files import explained, write_atomic

    with explained(out):
        write_atomic(out, (text.rstrip("\n") + "\n").encode())


def _load(text: str, folder: Path) -> Run:
    from segbench.analysis.regressions.compare import Run
    from segbench.results.baselines import find_run
    from segbench.results.store import load_run

    if (cell := _named_cell(text)) is not None:
        run, name = cell
        return Run(f"{run.name}/{name}", _restricted(load_run(run), run, name), run)
    path = find_run(text, folder)
    result = load_run(path)
    directory = path if path.is_dir() else path.parent
    shown = path.name if path.is_dir() or path.name != "run.json" else path.absolute().parent.name
    return Run(shown or path.absolute().name, result, directory)


def _named_cell(text: str) -> tuple[Path, str] | None:
    """Run and cell where one trained cell is named, None for a whole run or a baseline. Raises :class:`ConfigError` for mere weights."""
    from segbench.errors import ConfigError
    from segbench.execution.plan.sources import WEIGHTS_FILES, find_trained, is_inside_run

    if not is_inside_run(text) and not text.endswith(WEIGHTS_FILES):
        return None
    network = find_trained(text).only()
    if network.run is None or network.cell is None:
        raise ConfigError(f"'{text}' holds weights and no results to compare: give RUN or RUN/CELL, or score it first (segbench evaluate).")
    return network.run, network.cell


def _restricted(result: RunResult, run: Path, name: str) -> RunResult:
    from segbench.errors import StoreError

    cells = [cell for cell in result.cells if cell.id == name]
    if not cells:
        raise StoreError(f"'{run / 'run.json'}' has no results of the cell '{name}'. Continue the run, or compare whole runs.")
    return result.model_copy(update={"cells": cells})


def _retime(pairing: Pairing, runs: list[Run], catalog: Catalog, **race: Any) -> dict[Key, Retimed]:
    from segbench.analysis.regressions.pairing import networks_of
    from segbench.execution.costs.retime import retime

    settings = {name: value for name, value in race.items() if value}
    return retime(networks_of(pairing.pairs), *runs, catalog=catalog, listener=_Lines(), **settings)


class _Lines:
    """Progress lines on stderr, one for each race."""

    def on(self, event: Event) -> None:
        from segbench.execution.events import Note

        if isinstance(event, Note):
            click.echo(f"{event.sentence} ..", err=True)


def _share(text: str) -> float:
    from segbench.errors import ConfigError

    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise ConfigError(f"--margin {text}: give a percentage from 0 on, as in --margin 5%.")
    return value / 100


def _renamed(matches: tuple[str, ...]) -> dict[str, str]:
    from segbench.errors import ConfigError
    from segbench.plugin.choice import split_outside

    renamed = {}
    for text in matches:
        parts = [part.strip() for part in split_outside(text, "=")]
        if len(parts) != 2 or not all(parts):
            raise ConfigError(f"--match {text}: write OLD=NEW, as in --match unet=unet-lite.")
        renamed[parts[0]] = parts[1]
    return renamed
