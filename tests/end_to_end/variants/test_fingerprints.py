"""Cells that are made from nothing keep the fingerprints of their training that they had before there were any others."""

from __future__ import annotations

from segbench.config.settings import Settings
from segbench.execution.plan.fingerprints import fingerprint, train_ingredients
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.options import NoOptions
from segbench.plugin.specs import DatasetSpec, LossSpec, ModelSpec

PLUGIN = Plugin("p", "pkg", "1.0")


def test_plain_cells_are_not_trained_again() -> None:
    none = NoOptions.resolve()
    model = Chosen(Choice("m"), ModelSpec(name="m", summary="", build="x:y"), none, PLUGIN)
    loss = Chosen(Choice("l"), LossSpec(name="l", summary="", build="x:y"), none, PLUGIN)
    dataset = Chosen(Choice("d"), DatasetSpec(name="d", summary="", task="x:y", splits=("train", "val"), load="x:y"), none, PLUGIN)
    train = train_ingredients(model, loss, dataset, Settings(), 0, "dig")
    # as computed by the commit before derived cells
    assert fingerprint(train) == "64a82e09f8e874ef"
    made = train_ingredients(model, loss, dataset, Settings(), 0, "dig", made_from={"teacher 1": "x"})
    assert fingerprint(made) != fingerprint(train)
