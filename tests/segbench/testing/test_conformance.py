"""Everything in the catalog keeps the rules that third parties' plugins are held to."""

from __future__ import annotations

from functools import cache

import pytest

from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import DatasetSpec, LossSpec, ModelSpec
from segbench.testing import DatasetSubject, LossSubject, ModelSubject, checks_for, run_checks
from segbench.testing.check import run_all


@cache
def catalog() -> Catalog:
    return load_catalog()


def names(kind: str) -> list[str]:
    """All that stand alone: what is made of trained networks, or comes with its weights, has tests of its own."""
    other = ("derives", "distils", "given")
    return [spec.name for spec, _ in catalog().specs(kind) if not any(getattr(spec, name, None) for name in other)]


# options that keep a built-in's structure at a size that is quick to check; parameter counts are tested at full size elsewhere
SMALL = {
    "flood-original": "flood-original[encoder=resnet18]",
    "flood-efficient": "flood-efficient[encoder=resnet18]",
    "shapes": "shapes[train=24,val=8,test=8]",
    "flood-shapes": "flood-shapes[train=12,val=6,test=6,size=64]",
}


def refused(chosen: Chosen[ModelSpec], check: str) -> str:
    """The message of one failed check of a model, or nothing."""
    subject = ModelSubject(chosen.spec, chosen.options)
    (result,) = run_all([c for c in checks_for("models") if c.name == check], subject)
    return result.message


@pytest.mark.parametrize("check", [check.name for check in checks_for("models")])
@pytest.mark.parametrize("name", names("models"))
def test_every_model(name: str, check: str) -> None:
    assert refused(catalog().model(SMALL.get(name, name)), check) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", names("models"))
def test_every_model_at_full_size_with_every_combination(name: str) -> None:
    results = run_checks(catalog().model(name), thorough=True)
    assert [(r.name, r.message) for r in results if not r.passed] == []


@pytest.mark.parametrize("name", names("losses"))
def test_every_loss(name: str) -> None:
    chosen: Chosen[LossSpec] = catalog().loss(name)
    results = run_all(checks_for("losses"), LossSubject(chosen.spec, chosen.options))
    assert [(r.name, r.message) for r in results if not r.passed] == []


@pytest.mark.parametrize("choice", ["ce[label_smoothing=0.1]", "focal[gamma=0]", "dice[smooth=0]", "schedule[at=0.5]"])
def test_losses_with_other_options(choice: str) -> None:
    results = run_checks(catalog().loss(choice))
    assert [(r.name, r.message) for r in results if not r.passed] == []


@pytest.mark.parametrize("name", [name for name in names("datasets") if catalog().spec("datasets", name)[0].embedded])
def test_every_embedded_dataset(name: str) -> None:
    results = run_checks(catalog().dataset(SMALL.get(name, name)))
    assert [(r.name, r.message) for r in results if not r.passed] == []


@pytest.mark.parametrize("name", [name for name in names("datasets") if not catalog().spec("datasets", name)[0].embedded])
def test_every_dataset_on_disk_is_declared_soundly(name: str) -> None:
    chosen: Chosen[DatasetSpec] = catalog().dataset(name)
    wanted = ("task_reads_no_data", "splits_are_declared")
    results = run_all([c for c in checks_for("datasets") if c.name in wanted], DatasetSubject(chosen.spec, chosen.options))
    assert [(r.name, r.message) for r in results if not r.passed] == []


ON_CPU = [name for name in names("backends") if "cpu" in catalog().spec("backends", name)[0].devices]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "compile" else []) for n in ON_CPU])
def test_every_backend(name: str) -> None:
    """Compiling takes minutes where a C++ compiler shares its cores."""
    results = run_checks(catalog().backend(name))
    assert [(r.name, r.message) for r in results if not r.passed] == []
