"""``segbench check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segbench.util.sequences import counted


@click.command(name="check", short_help="Run the conformance checks of a model, loss or dataset.")
@click.argument("name")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the dataset, where NAME is one that needs it.")
@click.option("--thorough", is_flag=True, help="Every size and class count.")
def command(name: str, data: Path | None, thorough: bool) -> int:
    """Check that NAME (with options in brackets) keeps the rules of its kind: a model, loss, dataset or backend."""
    from segbench.plugin.registry import load_catalog
    from segbench.util.compat import require_torch

    require_torch()
    catalog = load_catalog()
    chosen = _find_plugin(catalog, name)
    from segbench.testing import run_checks

    results = run_checks(chosen, root=data, thorough=thorough)
    width = max(len(result.name) for result in results)
    for result in results:
        mark = "ok    " if result.passed else "FAILED"
        click.echo(f"{mark} {result.name:<{width}}  {result.seconds:5.1f} s")
        if not result.passed:
            click.echo(f"       {result.message}")
    failed = sum(not result.passed for result in results)
    click.echo(f"{chosen}: {len(results) - failed} of {counted(len(results), 'check')} passed")
    return 1 if failed else 0


def _find_plugin(catalog: Any, text: str) -> Any:
    """The one spec of that name among the kinds that can be checked."""
    from segbench.errors import ConfigError, UnknownNameError, did_you_mean
    from segbench.plugin.choice import parse_choice

    kinds = ("models", "losses", "datasets", "backends")
    choice = parse_choice(text)
    for kind in kinds:
        if choice.name not in catalog.names(kind):
            continue
        if kind == "losses" and catalog.spec(kind, choice.name)[0].distils:
            raise ConfigError(f"'{choice.name}' is nothing without a trained teacher. Check the loss inside it: segbench check ce")
        if kind == "models" and catalog.spec(kind, choice.name)[0].given is not None:
            raise ConfigError(f"'{choice.name}' comes with its weights: nothing of it is trained. Score it: segbench run --models '{text}'")
        # a model that is made of others is checked as they make it, with fresh weights
        return catalog.model(choice) if kind == "models" else catalog.choose(kind, choice)
    names = [name for kind in kinds for name in catalog.names(kind)]
    raise UnknownNameError(
        f"No model, loss, dataset or backend is named '{choice.name}'.{did_you_mean(choice.name, names)} Known: {', '.join(names)}."
    )
