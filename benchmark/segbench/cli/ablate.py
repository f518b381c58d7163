"""``segbench ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segbench.cli.run import command as run_command
from segbench.cli.run import print_plan, read_config, run_and_print
from segbench.config.run_config import EMBEDDED_RECIPE
from segbench.errors import ConfigError
from segbench.execution.plan.ablation import models_of, walk

_SHARED = [parameter for parameter in run_command.params if parameter.name != "models"]


@click.command(name="ablate", short_help="Walk from one model to another, one option at a time.", params=_SHARED)
@click.argument("start")
@click.argument("end")
@click.option("--order", metavar="OPT,OPT,..", help="Order of the options that differ.  [default: as the model declares them]")
def command(
    start: str, end: str, order: str | None, config_file: Path | None, fresh: bool, dry_run: bool, verbose: bool, **flags: Any
) -> int:
    """Change START into END one option at a time, train every model on the way, and tell which of the changes pays and which costs.

    Both must be one network under different options. All flags are those of 'segbench run'; the walk is an ordinary run of its models:
    it can be stopped at any time, and the same command continues it. With three or more seeds mIoU gets an interval over seeds.

    \b
    segbench ablate deeplab-original deeplab-optimized --dataset camvid --data DIR --recipe quick-baseline --seeds 0,1,2
    segbench ablate flood-original 'flood-original[aspp=false,cbam=false]' --order cbam,aspp --dry-run
    """
    from segbench.plugin.registry import load_catalog

    config = read_config(config_file, flags)
    if config.is_several:
        raise ConfigError("A walk is one run on one dataset. Give --dataset in place of --datasets, and no --folds.")
    catalog = load_catalog()
    settings = config.settings(catalog.recipe((config.recipes or (EMBEDDED_RECIPE,))[0]))
    chosen = None if order is None else [name.strip() for name in order.split(",")]
    ablation = walk(start, end, catalog, order=chosen, model_settings=settings.model)
    config = config.model_copy(update={"models": models_of(ablation)})
    return print_plan(config, verbose=verbose) if dry_run else run_and_print(config, fresh=fresh, ablation=ablation)
