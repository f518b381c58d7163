"""``segbench profile``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click


@click.command(name="profile", short_help="Measure params, macs, latency and memory without training.")
@click.option("--models", required=True, metavar="A,B[..]", help="Models, with options in brackets.")
@click.option("--backends", metavar="A,B[..]", help="Forms to deploy them in, beside eager: onnxruntime, openvino[precision=int8], ..")
@click.option("--input-size", default="512", show_default=True, metavar="N|HxW,..", help="Height and width of the input; several: a sweep.")
@click.option("--batch-size", metavar="N,..", help="Batch of the throughput figure; several: a sweep.  [default: 8]")
@click.option("--inputs", metavar="NAME=CHANNELS,..", help="Inputs, as in image=3 or sar=2,optical=13.")
@click.option("--num-classes", type=click.IntRange(min=2), metavar="N", help="Number of classes.  [default: 21; 2 for two inputs]")
@click.option("--dataset", metavar="NAME", help="Take inputs and classes from a dataset instead.")
@click.option("--rounds", type=int, metavar="N", help="Rounds of the latency race.  [default: 32]")
@click.option(
    "--restart-every", type=click.IntRange(min=0), metavar="N", help="Start every process anew after N rounds; 0: never.  [default: 2]"
)
@click.option("--race-modules", metavar="NAME,..", help="Time these modules by themselves too: dotted names or classes.")
@click.option("--threads", type=int, metavar="N", help="CPU threads.  [default: all cores]")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep run.json and report.md there.")
@click.option("--no-latency", is_flag=True, help="Counts only: no latency, no memory.")
@click.option("--json", "as_json", is_flag=True, help='Print {"cells": [..]} with the keys of run.json, and nothing else.')
def command(
    models: str,
    backends: str | None,
    input_size: str,
    batch_size: str | None,
    inputs: str | None,
    num_classes: int | None,
    dataset: str | None,
    rounds: int | None,
    restart_every: int | None,
    race_modules: str | None,
    threads: int | None,
    device: str,
    out: Path | None,
    no_latency: bool,
    as_json: bool,
) -> int:
    """Measure models in their deployed form: params, multiply-adds, latency at batch 1, throughput, memory."""
    from segbench.errors import ConfigError
    from segbench.execution.reports import require_empty_folder, write_result
    from segbench.util.compat import require_torch

    if dataset and (inputs or num_classes):
        raise ConfigError("--dataset says what the inputs and classes are: leave out --inputs and --num-classes, or --dataset.")
    if out is not None:
        require_empty_folder(out)
    require_torch()
    from segbench.cli.output import own_command, print_result
    from segbench.cli.progress import progress_display
    from segbench.execution.profile import profile_models
    from segbench.execution.runner import failures
    from segbench.plugin.registry import load_catalog

    options = {"rounds": rounds, "restart_every": "none" if restart_every == 0 else restart_every, "threads": threads}
    options |= {"race_modules": race_modules}
    settings = [f"measure.{key}={value}" for key, value in options.items() if value is not None]
    settings += [*_sweep("input_size", input_size, key=None), *(_sweep("batch_size", batch_size, key=int) if batch_size else ())]
    if no_latency:
        settings += ["measure.latency=false", "measure.memory=false"]
    catalog = load_catalog()
    with progress_display() as display:
        result = profile_models(
            models,
            catalog=catalog,
            listener=display,
            dataset=dataset,
            inputs=inputs,
            num_classes=num_classes,
            settings=settings,
            device=device,
            backends=backends,
        )
    if out is not None:
        write_result(result, out, catalog, command=own_command())
    if as_json:
        click.echo(json.dumps({"cells": [cell.model_dump(mode="json") for cell in result.cells]}, indent=1))
    else:
        print_result(result, catalog, report=out and out / "report.md", data=out and out / "run.json")
    return 1 if failures(result) else 0


def _sweep(name: str, text: str, *, key: Callable[[str], Any] | None) -> Iterator[str]:
    """Settings for one value, or for several: the first size, and the largest batch, is what the tables show."""
    values = list(dict.fromkeys(part.strip() for part in text.split(",")))
    numbers = all(value.isdecimal() for value in values)
    yield f"measure.{name}={max(values, key=key) if key and numbers else values[0]}"
    if len(values) > 1:
        yield f"measure.{name}s={','.join(values)}"
