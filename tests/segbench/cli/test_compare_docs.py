"""What ``docs/compare.md`` tells a reader to type is what the commands take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from segbench.analysis.regressions.gate import parse_gate
from segbench.cli.baseline import command as baseline
from segbench.cli.compare import command as compare
from segbench.results.run_comparison import Change, RunComparison

PAGE = (Path(__file__).parents[3] / "docs" / "compare.md").read_text(encoding="utf-8")
TYPED = [
    shlex.split(line.strip(), comments=True)[1:]
    for line in PAGE.replace("\\\n", " ").splitlines()
    if re.match(r"\s*(run: )?segbench (compare|baseline)\b", line) and "BASELINE" not in line
]


@pytest.mark.parametrize("arguments", [words if words[0] != "segbench" else words[1:] for words in TYPED], ids=" ".join)
def test_commands_of_the_page_are_understood(arguments: list[str]) -> None:
    name, *rest = arguments
    command: click.Command = compare
    if name == "baseline":
        found = baseline.get_command(click.Context(baseline), rest.pop(0))
        assert found is not None
        command = found
    command.make_context(name, list(rest))
    if "--fail-on" in rest:
        assert parse_gate(rest[rest.index("--fail-on") + 1])


def test_the_page_has_commands_of_every_kind() -> None:
    told = {" ".join(words[:2]) if words[0] == "baseline" else words[0] for words in TYPED if words[0] != "segbench"}
    assert {"compare", "baseline save", "baseline list", "baseline remove"} <= told


@pytest.mark.parametrize("model", [RunComparison, Change])
def test_every_field_of_the_json_is_named(model: type[Change]) -> None:
    hidden = {"schema_version", "baseline_cells", "cells"}
    assert [name for name in model.model_fields if name not in hidden and f"`{name}" not in PAGE] == []
