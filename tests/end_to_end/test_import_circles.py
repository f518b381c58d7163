"""No circle of imports, import strings counted too: the linter sees ``import`` only, and a string hides an edge from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grimp

import segbench

PACKAGE = Path(segbench.__file__ or "").parent
DELIBERATE = ("segbench.plugin.derived", "segbench.networks.derive")
"""A spec that is made of others names the function that makes its network, as a plugin's spec names its ``build``."""


def _module(file: Path) -> str:
    return ".".join(["segbench", *file.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


def _import_strings(modules: set[str]) -> Iterator[tuple[str, str]]:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"segbench(\.\w+)+(:\w+)?", node.value):
                target = node.value.partition(":")[0]
                if target in modules:
                    yield _module(file), target


def _graph() -> dict[str, set[str]]:
    graph = grimp.build_graph("segbench", exclude_type_checking_imports=True)
    edges = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    for importer, imported in _import_strings(set(graph.modules)):
        if importer != imported:
            edges[importer].add(imported)
    return edges


def _circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle, or nothing: modules that import nothing are taken away until none is left to take."""
    left = {module: set(imported) for module, imported in edges.items()}
    while True:
        leaves = {module for module, imported in left.items() if not imported & left.keys()}
        if not leaves:
            break
        left = {module: imported for module, imported in left.items() if module not in leaves}
    if not left:
        return []
    path = [min(left)]
    while True:
        following = min(left[path[-1]] & left.keys())
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def test_no_module_imports_itself_through_others() -> None:
    edges = _graph()
    importer, imported = DELIBERATE
    assert imported in edges[importer], "the one deliberate import string upwards"
    edges[importer].discard(imported)
    assert _circle(edges) == []


def test_a_circle_would_be_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_import_strings_point_downwards_within_the_order_of_the_packages() -> None:
    order = [
        "cli",
        "prediction",
        "execution",
        "testing",
        "training",
        "measure",
        "networks",
        "data",
        "analysis",
        "config",
        "plugin",
        "results",
    ]
    depth = {name: position for position, name in enumerate([*order, "util", "errors"])}
    strings = [pair for pair in _import_strings(set(_graph())) if pair != DELIBERATE]
    assert len(strings) > 10
    upwards = [(a, b) for a, b in strings if depth[a.split(".")[1]] > depth[b.split(".")[1]]]
    assert upwards == []
