"""``segbench check``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from segbench.util.image_size import Size, parse_size
from segbench.util.sequences import counted


@click.command(name="check", short_help="Run the conformance checks of a model, loss, dataset, ..")
@click.argument("name")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the dataset, where NAME is one that needs it.")
@click.option("--size", metavar="HxW", help="The only image size at which a model is tried; by default sizes that its spec allows.")
@click.option("--thorough", is_flag=True, help="Every size and class count.")
def command(name: str, data: Path | None, size: str | None, thorough: bool) -> int:
    """Check that NAME (with options in brackets) keeps the rules of its kind: model, loss, dataset, backend, metric, augmentation."""
    from segbench.plugin.registry import load_catalog
    from segbench.util.compat import require_torch

    require_torch()
    catalog = load_catalog()
    chosen = _find_plugin(catalog, name)
    from segbench.testing import run_checks

    results = run_checks(chosen, root=data, thorough=thorough, size=_tried_size(chosen, size))
    width = max(len(result.name) for result in results)
    for result in results:
        click.echo(f"{result.verdict:<9} {result.name:<{width}}  {result.seconds:5.1f} s")
        if result.message:
            click.echo(f"          {result.message}")
    verdicts = Counter(result.verdict for result in results)
    others = "".join(f", {count} {verdict}" for verdict, count in verdicts.items() if verdict in ("not tried", "warning"))
    passed = sum(result.passed for result in results)
    click.echo(f"{chosen}: {passed} of {counted(len(results), 'check')} passed{others}")
    return 0 if passed == len(results) else 1


def _tried_size(chosen: Any, text: str | None) -> Size | None:
    """The size of ``--size``. Raises :class:`ConfigError` where NAME is no model, or a model that does not take it."""
    if text is None:
        return None
    from segbench.errors import ConfigError
    from segbench.plugin.input_sizes import network_size
    from segbench.plugin.specs import ModelSpec

    if not isinstance(chosen.spec, ModelSpec):
        raise ConfigError(f"--size is for models; '{chosen}' is none. Leave --size out.")
    size = parse_size(text)
    network_size(chosen.spec, size)
    return size


def _find_plugin(catalog: Any, text: str) -> Any:
    """The one spec of that name among the kinds that can be checked."""
    from segbench.errors import ConfigError, UnknownNameError, did_you_mean
    from segbench.plugin.choice import parse_choice

    kinds = ("models", "losses", "datasets", "backends", "metrics", "augmentations")
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
    known = ", ".join(names)
    raise UnknownNameError(
        f"No model, loss, dataset, backend, metric or augmentation is named '{choice.name}'.{did_you_mean(choice.name, names)} "
        f"Known: {known}."
    )
