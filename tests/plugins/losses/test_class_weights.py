"""Rules in place of class weights: numbers before the loss is built, in every loss that has weights."""

from __future__ import annotations

from typing import Any

import pytest

from segbench import OptionError, Task, parse_choice
from segbench.plugin.chosen import Plugin
from segbench.plugin.class_weights import has_rules, with_class_weights
from segbench.plugin.registry import Catalog
from segbench_plugins import losses

PIXELS = [8, 2]
EFFECTIVE = (pytest.approx(0.792174, abs=1e-6), pytest.approx(1.831304, abs=1e-6))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    catalog = Catalog()
    catalog.add(losses, Plugin(name="losses", package="segbench", version="1", editable=False))
    return catalog


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("ce[weights=inverse]", "weights", (0.625, 2.5)),
        ("ce[weights=auto]", "weights", EFFECTIVE),
        ("focal[alpha=effective]", "alpha", EFFECTIVE),
        ("combined[alpha=inverse]", "alpha", (0.625, 2.5)),
        ("bce-dice[pos_weight=inverse]", "pos_weight", 4.0),
        ('schedule[first="ce[weights=inverse]"]', "first", "ce[weights=(0.625,2.5)]"),
        ("ce", "weights", None),
        ("schedule", "first", "ce"),
    ],
)
def test_rules_become_numbers(catalog: Catalog, text: str, name: str, value: Any) -> None:
    numeric, used = with_class_weights(catalog.loss(text), PIXELS)
    assert getattr(numeric.options, name) == value
    assert has_rules(catalog.loss(text), 2) == bool(used) == ("=" in text)
    assert str(numeric) == text.replace("'", '"')


def test_an_unknown_rule_is_refused_with_what_there_is() -> None:
    with pytest.raises(OptionError, match="expected a list of numbers in parentheses or 'auto' or 'inverse' or 'effective' or 'none'"):
        losses.CrossEntropyOptions.resolve({"weights": "balanced"}, owner="ce")


def test_a_class_without_foreground_weighs_as_the_background(catalog: Catalog) -> None:
    numeric, _ = with_class_weights(catalog.loss("bce-dice[pos_weight=auto]"), [9, 0])
    assert numeric.options.values()["pos_weight"] == 1.0


@pytest.mark.parametrize("text", ["ce[weights=auto]", "bce-dice[pos_weight=auto]"])
def test_planning_accepts_rules(catalog: Catalog, text: str) -> None:
    spec = catalog.loss(text).spec
    check = getattr(__import__("segbench_plugins.losses.checks", fromlist=["-"]), str(spec.check).partition(":")[2])
    assert check(Task(class_names=("a", "b")), spec.options.resolve(dict(parse_choice(text).options))) == []
