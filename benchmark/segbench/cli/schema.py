"""``segbench schema``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from segbench.util.sequences import counted


@click.command(name="schema", short_help="Print the JSON Schema of run.json, or hold files against it.")
@click.option(
    "--validate",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="Hold this run (a run's directory, or its run.json) against the schema instead; may be given several times.",
)
def command(files: tuple[Path, ...]) -> int:
    """Print the JSON Schema (2020-12) of run.json: every key with its meaning and unit.

    It describes what 'segbench run' writes and 'segbench report --format json' prints. Keys that stand in it keep their meaning as long as
    schema_version stays the same; new ones may be added. With --validate: exit 1 where a file does not keep to it.
    """
    from segbench.results.json_schema import run_schema

    if not files:
        click.echo(json.dumps(run_schema(), indent=2))
        return 0
    results = [_validate(path) for path in files]  # every file is validated, also after one that fails
    return 0 if all(results) else 1


def _validate(path: Path) -> bool:
    from segbench.cli.output import relative
    from segbench.results.json_schema import problems, read_document, unknown_keys

    file, document = read_document(path)
    violations = problems(document)
    if violations:
        click.echo(f"{relative(file)}: does not keep to the schema")
        for violation in violations:
            click.echo(f"  {violation}")
        return False
    cells = len(document["cells"])
    click.echo(f"{relative(file)}: valid, schema version {document['schema_version']}, {counted(cells, 'cell')}")
    unknown = unknown_keys(document)
    if unknown:
        click.echo(f"{relative(file)}: keys that this segbench does not know: {', '.join(unknown[:8])}", err=True)
    return True
