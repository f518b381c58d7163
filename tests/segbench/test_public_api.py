from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import segbench


@pytest.mark.parametrize("name", segbench.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(segbench, name) is not None
    assert name in dir(segbench)


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(segbench.__file__ or "").read_text())
    (checked,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*seen, "__version__"} == set(segbench.__all__)
    for name, module in seen.items():
        assert getattr(segbench, name) is getattr(importlib.import_module(str(module)), name)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'segbench' has no attribute 'Modelspec'"):
        segbench.Modelspec  # noqa: B018


def loaded_after(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after ``code``."""
    program = f"{code}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"torch", "torchvision", "timm", "fvcore", "pydantic", "lightning_fabric", "altair", "numpy", "PIL", "rich"}


def test_importing_segbench_loads_nothing_heavy() -> None:
    assert not loaded_after("import segbench") & (HEAVY | {"click", "pluggy"})


def test_specs_hooks_and_options_load_nothing_heavy_but_pydantic_under_options() -> None:
    code = "from segbench import ModelSpec, LossSpec, DatasetSpec, Task, Options, option, hookimpl, Claim, Recipe, Reporter"
    assert loaded_after(code) & HEAVY == {"pydantic"}


def test_the_catalog_of_built_ins_loads_nothing_heavy_but_pydantic_under_options() -> None:
    code = "from segbench.plugin.registry import load_catalog; c = load_catalog(); assert c.names('models') and c.names('claims')"
    assert loaded_after(code) & HEAVY == {"pydantic"}
