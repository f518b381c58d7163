"""docs/architecture.md names only what is there, and its diagram is the contract that ``make lint`` enforces."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted({text for text in re.findall(r"`([^`\n]+)`", PAGE) if re.fullmatch(r"[\w./]+/[\w./]*(:\w+)?", text)})


def _file(place: str) -> Path:
    inside = place.startswith(("plugins/", "reports/", "tests/", "benchmark/", "docs/"))
    return (ROOT if inside else ROOT / "benchmark" / "segbench") / place


def _top_level_names(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def test_the_page_names_enough_to_be_checked() -> None:
    assert len(PLACES) > 40


@pytest.mark.parametrize("place", PLACES)
def test_every_file_and_name_on_the_page_is_there(place: str) -> None:
    path, _, name = place.partition(":")
    file = _file(path)
    assert file.exists(), f"{path} is not there"
    if name:
        assert name in _top_level_names(file), f"{path} defines no {name}"


def test_the_diagram_shows_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [line.split(" | ") for line in next(c["layers"] for c in contracts if c.get("containers") == ["segbench"])]
    depth = {name: position for position, line in enumerate(layers) for name in line}
    diagram = PAGE.partition("```mermaid")[2].partition("```")[0]
    assert set(re.findall(r'^\s+(\w+)\["', diagram, flags=re.MULTILINE)) == set(depth)
    arrows = [chain.split(" --> ") for chain in re.findall(r"^\s+(\w+(?: --> \w+)+)$", diagram, flags=re.MULTILINE)]
    pairs = [pair for chain in arrows for pair in itertools.pairwise(chain)]
    assert {name for pair in pairs for name in pair} == set(depth)
    assert all(depth[above] < depth[below] for above, below in pairs)


def test_the_top_of_the_package_holds_rooms_and_little_else() -> None:
    files = {path.name for path in (ROOT / "benchmark" / "segbench").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "errors.py", "py.typed"}
