"""``segbench evaluate``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from segbench.cli.trained import TRAINED


@click.command(name="evaluate", short_help="Score trained cells or a checkpoint again.", epilog=TRAINED)
@click.argument("run", required=False, metavar="[TRAINED]")
@click.option("--checkpoint", metavar="TRAINED", help="A network by its weights alone, on a dataset of its own, instead of a run's.")
@click.option("--dataset", metavar="NAME", help="Dataset: with --checkpoint, or another than the run's. Classes are matched by name.")
@click.option("--data", metavar="DIR", help="Folder of the dataset.")
@click.option("--split", metavar="NAME", help="Split to score.")
@click.option("--class-map", metavar="MAP|FILE", help="Which class of the network stands for which of the dataset: a:b,c:ignore.")
@click.option("--metrics", metavar="A,B", help="Plugins' metrics to compute beside (segbench list metrics).")
@click.option("--image-size", metavar="N|HxW", help="Short for --set eval.image_size=..")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting of [eval], as in eval.resize=warp. Repeatable.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep run.json, report.md and pictures there.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help='Print {"cells": [..]}, and nothing else.')
def command(
    run: str | None,
    checkpoint: str | None,
    dataset: str | None,
    data: str | None,
    split: str | None,
    class_map: str | None,
    metrics: str | None,
    image_size: str | None,
    sets: tuple[str, ...],
    out: Path | None,
    device: str,
    as_json: bool,
) -> int:
    """Score trained networks again, on any split or size: all of a RUN, one of its cells, or a FILE.

    Cells of a run are scored with that run's settings, and the scores are kept below its directory. With --checkpoint, or for a FILE
    outside of a run, the network is scored by what its file says of it.

    Where the dataset has the same class names in another order, they are matched by name. Other names need --class-map, or a FILE of it
    with a pair in each line: NETWORK:DATASET, NETWORK:ignore (what is predicted as that class is wrong), ignore:DATASET (labels that do
    not count). Names that both sides have need no pair.
    """
    from segbench.errors import ConfigError
    from segbench.execution.plan.sources import find_trained
    from segbench.execution.reports import require_empty_folder, write_result
    from segbench.util.compat import require_torch

    if (run is None) == (checkpoint is None):
        raise ConfigError("Give either the directory of a run, or --checkpoint FILE with --dataset NAME.")
    trained = find_trained(str(run or checkpoint))
    in_run = run is not None and trained.networks[0].run is not None
    if out is not None and in_run:
        raise ConfigError("--out goes with --checkpoint: the scores of a run are kept in its own directory, under evaluations/.")
    if out is not None:
        require_empty_folder(out)
    require_torch()
    from segbench.cli.output import own_command, print_result
    from segbench.cli.progress import progress_display
    from segbench.execution.evaluate import evaluate_checkpoint, evaluate_run
    from segbench.execution.runner import failures
    from segbench.plugin.registry import load_catalog

    texts = [*sets]
    texts += [f"eval.split={split}"] if split else []
    texts += [f"eval.image_size={image_size}"] if image_size else []
    texts += [f"eval.metrics={metrics}"] if metrics else []
    given = {"data": data, "device": device, "dataset": dataset, "eval.class_map": class_map}
    flags = {key: value for key, value in given.items() if value}
    catalog = load_catalog()
    with tempfile.TemporaryDirectory(prefix="segbench-evaluate-") as folder, progress_display() as display:
        directory = None
        if in_run:
            result, directory = evaluate_run(trained, catalog=catalog, listener=display, sets=texts, flags=flags)
        else:
            file = trained.only().file
            result = evaluate_checkpoint(file, catalog=catalog, listener=display, out=out or Path(folder), sets=texts, flags=flags)
            directory = out
    if out is not None:
        write_result(result, out, catalog, command=own_command())
    if as_json:
        click.echo(json.dumps({"cells": [cell.model_dump(mode="json") for cell in result.cells]}, indent=1))
        return 1 if failures(result) else 0
    print_result(result, catalog, data=directory and directory / "run.json")
    return 1 if failures(result) else 0
