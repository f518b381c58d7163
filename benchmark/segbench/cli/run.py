"""``segbench run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segbench.config.run_config import RunConfig, load_config
from segbench.errors import SegbenchError
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from segbench.execution.plan.plan import Plan
    from segbench.results.records import Ablation

_FLAGS = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "image_size": "train.image_size",
    "lr": "train.lr",
    "limit": "data.limit",
    "metrics": "eval.metrics",
}


@click.command(name="run", short_help="Train, score and measure models, and compare them.")
@click.option(
    "--models", metavar="A,B[..]", help="Models, with options in brackets, and with labels as in lite=NAME.  [default: the DeepLab pair]"
)
@click.option(
    "--weights",
    multiple=True,
    metavar="MODEL=FILE",
    help="File of weights (torch, safetensors, RUN/CELL) that a model starts from, or with --epochs 0 is scored with. Repeatable.",
)
@click.option("--partial-weights", is_flag=True, default=None, help="Load what fits of such a file; the row says which share that is.")
@click.option("--losses", metavar="A,B[..]", help="Losses.  [default: the recipe's]")
@click.option("--dataset", metavar="NAME", help="Dataset.  [default: the embedded one that fits the models]")
@click.option("--datasets", metavar="A,B[..]", help="Several datasets, each a run of its own, and an overview over them.")
@click.option("--data", multiple=True, metavar="DIR", help="Folder of the dataset; with --datasets NAME=DIR, repeatable or a=DIR,b=DIR.")
@click.option("--folds", metavar="K", help="Divide the data into K parts (whole scenes); score each part after training on the others.")
@click.option("--limit", metavar="N", help="At most N images of each split, for a quick try that is not ranked or judged.")
@click.option(
    "--recipe", "recipes", metavar="A,B", help="Named settings.  [default: smoke on embedded data, else the dataset's own or quick-test]"
)
@click.option("--vary", multiple=True, metavar="KEY=V,V", help="Make a setting an axis, as in train.lr=1e-3,1e-4. Repeatable.")
@click.option("--seeds", metavar="0,1,..", help="Seeds, as an axis.  [default: 0]")
@click.option("--backends", metavar="A,B[..]", help="Forms in which each model is deployed and measured.  [default: eager]")
@click.option(
    "--teacher", metavar="TRAINED|MODEL", help="Trained network (see export --help) or model of this run that all others learn from, too."
)
@click.option("--teacher-temperature", metavar="T", help="How soft the teacher's probabilities are made.  [default: 4]")
@click.option("--teacher-weight", metavar="X", help="Share of the teacher in the loss, from 0 to 1.  [default: 0.5]")
@click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with any of these and more.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting, as in train.epochs=20. Repeatable.")
@click.option("--epochs", metavar="N", help="Short for --set train.epochs=N; 0: nothing is trained, networks are taken as given.")
@click.option("--batch-size", metavar="N", help="Short for --set train.batch_size=N.")
@click.option("--image-size", metavar="N|HxW", help="Short for --set train.image_size=..")
@click.option("--lr", metavar="X", help="Short for --set train.lr=X.")
@click.option("--metrics", metavar="A,B", help="Plugins' metrics to compute beside (segbench list metrics).")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.  [default: auto]")
@click.option("--out", metavar="DIR", help="The run's directory; the same one continues it.  [default: runs/<dataset>-<recipe>]")
@click.option("--fresh", is_flag=True, help="Forget earlier results in that directory.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--verbose", "-v", is_flag=True, help="With --dry-run: also which code decides whether cells run again.")
def command(config_file: Path | None, sets: tuple[str, ...], fresh: bool, dry_run: bool, verbose: bool, **flags: Any) -> int:
    """Train, score and measure every model under one protocol, then compare them.

    Without arguments: the two DeepLab presets on embedded data with the recipe 'smoke'; on other data 'quick-test' is taken where no recipe
    is named. Finished cells are kept: the same command
    continues an interrupted run, and re-runs only what a changed setting touches.

    \b
    segbench run --models deeplab-original,deeplab-optimized --dataset camvid --data DIR --recipe quick-baseline
    segbench run --models 'deeplab-optimized[aspp_channels=96]' --losses ce,'focal[gamma=3]' --vary train.lr=1e-3,1e-4
    segbench run --models deeplab-original --weights deeplab-original=net.pth --epochs 0 --dataset camvid --data DIR
    segbench run --datasets camvid,voc2012 --data camvid=DIR --data voc2012=DIR --folds 5 --out OUT
    """
    config = read_config(config_file, {"sets": sets, **flags})
    if config.is_several:
        return print_plans(config, verbose=verbose) if dry_run else run_several(config, fresh=fresh)
    return print_plan(config, verbose=verbose) if dry_run else run_and_print(config, fresh=fresh)


def read_config(config_file: Path | None, arguments: Mapping[str, Any]) -> RunConfig:
    """The configuration that a file and the command's flags give."""
    shorts = [f"{key}={arguments[flag]}" for flag, key in _FLAGS.items() if arguments.get(flag) is not None]
    flags = {key: value for key, value in arguments.items() if value not in (None, ()) and key not in (*_FLAGS, "sets")}
    return load_config(config_file, sets=[*arguments.get("sets", ()), *shorts], flags=flags)


def print_plan(config: RunConfig, *, verbose: bool = False) -> int:
    """Print the cells that would be run, what of them is there already, and (``verbose``) which code decides that."""
    from segbench.execution.plan.fingerprints import code_limits, covered_code
    from segbench.execution.plan.plan import make_plan
    from segbench.execution.runner import preview
    from segbench.plugin.registry import load_catalog

    catalog = load_catalog()
    cells, noticed = preview(config, catalog=catalog)
    _say_recipe(make_plan(config, catalog))
    for text in noticed:
        click.echo(text, err=True)
    click.echo(f"{counted(len(cells), 'cell')} on {cells[0][0].dataset}:")
    for cell, stages in cells:
        notes = [f"after {', '.join(cell.origin.needs)}"] if cell.origin.needs else []
        if stages is not None:
            notes.append(stages.reason or ("measured again" if stages.stages else "done, kept"))
        click.echo(f"  {cell.id}" + (f"  ({'; '.join(notes)})" if notes else ""))
    planned = [cell for cell, _ in cells]
    lines = covered_code(planned) if verbose else code_limits(planned)
    if lines:
        click.echo("Cells run again where this code changes:" if verbose else "Whole packages decide whether these run again:")
        click.echo("\n".join(f"  {line}" for line in lines))
    return 0


def print_plans(config: RunConfig, *, verbose: bool = False) -> int:
    """Print the plan of each run of several."""
    from segbench.execution.several import part_runs, plan_all
    from segbench.plugin.registry import load_catalog

    catalog = load_catalog()
    directory, parts = part_runs(config, catalog)
    plan_all(parts, catalog)
    click.echo(f"{counted(len(parts), 'run')} below {directory}:")
    for part in parts:
        click.echo(f"\n{part.name}")
        print_plan(part.config, verbose=verbose)
    return 0


def run_several(config: RunConfig, *, fresh: bool) -> int:
    """Run each dataset and fold in a directory of its own, and write the overview; one that fails does not stop the others."""
    from segbench.cli.output import relative
    from segbench.execution.several import finished_runs, part_runs, plan_all, write_summary
    from segbench.plugin.registry import load_catalog

    catalog = load_catalog()
    directory, parts = part_runs(config, catalog)
    plan_all(parts, catalog)
    failed = []
    try:
        for number, part in enumerate(parts, 1):
            click.echo(f"{part.name} ({number} of {counted(len(parts), 'run')})", err=True)
            try:
                code = run_and_print(part.config, fresh=fresh)
            except SegbenchError as error:
                click.echo(f"{part.name}: {error}", err=True)
                code = 1
            failed += [part.name] if code else []
    finally:
        path = write_summary(directory, config, finished_runs(directory, parts), catalog)
    if failed:
        click.echo(f"Not all went well in {', '.join(failed)}. The same command tries again.", err=True)
    if path is not None:
        click.echo(f"\nOverview: {relative(path)}")
    return 1 if failed else 0


def _say_recipe(plan: Plan) -> None:
    if plan.recipe_note:
        click.echo(plan.recipe_note, err=True)


def run_and_print(config: RunConfig, *, fresh: bool, ablation: Ablation | None = None) -> int:
    """Run, show progress and result, and give the exit code."""
    from segbench.util.compat import require_torch

    require_torch()
    from segbench.cli.output import own_command, print_result
    from segbench.cli.progress import progress_display
    from segbench.execution.plan.plan import make_plan, output_directory
    from segbench.execution.runner import failures, run
    from segbench.plugin.registry import load_catalog

    catalog = load_catalog()
    plan = make_plan(config, catalog)
    _say_recipe(plan)
    command_line = own_command()
    with progress_display() as display:
        result = run(config, catalog=catalog, listener=display, fresh=fresh, command=command_line, ablation=ablation)
    directory = output_directory(config, plan.dataset)
    print_result(result, catalog, run_directory=directory, report=directory / "report.md", data=directory / "run.json")
    return 1 if failures(result, among={cell.id for cell in plan.cells}) else 0
