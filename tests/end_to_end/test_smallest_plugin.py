"""``plugins/examples/my_models.py``, which the README shows: a model in 15 lines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog
from segbench.testing import run_checks

FILE = Path(__file__).parents[2] / "plugins" / "examples" / "my_models.py"


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    spec = importlib.util.spec_from_file_location("my_models", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "my_models", module)
    spec.loader.exec_module(module)
    catalog = Catalog()
    assert catalog.add(module, Plugin("mine")).error is None
    return catalog


def test_it_keeps_every_rule_and_takes_options(catalog: Catalog) -> None:
    results = run_checks(catalog.model("tiny[channels=4]"))
    assert len(results) > 8
    assert [(r.name, r.message) for r in results if not r.passed] == []


def test_it_has_no_more_lines_than_the_readme_says() -> None:
    assert sum(bool(line.strip()) for line in FILE.read_text().splitlines()) <= 15
