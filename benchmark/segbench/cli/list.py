"""``segbench list``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from segbench.plugin.options import describe, describe_type
from segbench.plugin.registry import KINDS, Catalog, load_catalog
from segbench.util.sequences import counted

_DETAILS = [
    "settings",
    "loss",
    "dataset",
    "statement",
    "unit",
    "better",
    "meaning",
    "reading_of",
    "conditions",
    "modules",
    "baseline_modules",
    "source",
    "reconstruction",
    "plugin",
]


@click.command(name="list", short_help="List models, losses, datasets, recipes, .. and plugins.")
@click.argument("kind", type=click.Choice([*KINDS, "plugins"]))
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str, name: str | None, as_json: bool) -> int:
    """List what plugins provide. With NAME: its options, too."""
    catalog = load_catalog()
    if name is not None and kind != "plugins":
        catalog.spec(kind, name)
    rows = plugin_rows(catalog) if kind == "plugins" else spec_rows(catalog, kind)
    rows = [row for row in rows if name is None or row["name"] == name]
    if as_json:
        click.echo(json.dumps(rows, indent=1, default=str))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        read_as = f", read as {row['read_as']}" if row.get("read_as") else ""
        click.echo(f"{row['name']:<{width}}  {row['summary']}{read_as}")
        if name is not None:
            _print_details(row)
    return 0


def spec_rows(catalog: Catalog, kind: str) -> list[dict[str, Any]]:
    """Name, summary, provenance and options of every spec of one kind."""
    rows = []
    for spec, plugin in catalog.specs(kind):
        options = (
            {
                info.name: {
                    "default": info.default,
                    "type": describe_type(info.annotation),
                    "help": info.help,
                }
                for info in describe(spec.options).values()
            }
            if hasattr(spec, "options")
            else {}
        )
        row = {"name": spec.name, "summary": spec.summary, "plugin": plugin.name, "version": plugin.version, "options": options}
        if kind in ("recipes", "claims"):
            fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
            row |= {key: value for key, value in fields.items() if key not in ("name", "summary")}
        if kind == "metrics":
            row |= {"unit": spec.unit or "a plain number", "better": spec.better, "meaning": spec.meaning}
        row |= {key: getattr(spec, key) for key in ("source", "reconstruction") if getattr(spec, key, "")}
        rows.append(row)
    return rows


def plugin_rows(catalog: Catalog) -> list[dict[str, Any]]:
    """Every plugin with what it provides, or with the reason for which it was skipped."""
    rows = []
    for plugin in catalog.plugins:
        gives = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.provides.items() if kind != "claims")
        claims = sum(not catalog.spec("claims", name)[0].reading_of for name in plugin.provides.get("claims", ()))
        gives = "; ".join(part for part in (gives, counted(claims, "claim") if claims else "") if part)
        summary = f"skipped: {plugin.error}" if plugin.error else f"{plugin.version}  {gives}"
        rows.append(
            {
                "name": plugin.name,
                "summary": summary,
                "package": plugin.package,
                "version": plugin.version,
                "provides": {kind: list(names) for kind, names in plugin.provides.items()},
                "error": plugin.error,
            }
        )
    return rows


def _print_details(row: dict[str, Any]) -> None:
    from segbench.plugin.choice import format_value

    options = {f"{option}={format_value(info['default'])}": info for option, info in row.get("options", {}).items()}
    width = max(map(len, options), default=0)
    for text, info in options.items():
        click.echo(f"    {text:<{width}}  {info['help']}  ({info['type']})")
    for key in _DETAILS:
        if row.get(key):
            value = [f"{k}={v}" for k, v in row[key].items()] if isinstance(row[key], dict) else row[key]
            click.echo(f"    {key}: {', '.join(value) if isinstance(value, (list, tuple)) else value}")
