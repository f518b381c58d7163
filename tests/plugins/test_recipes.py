"""The recipes hold what the guides' table says, and every one of them states all of it."""

from __future__ import annotations

from typing import Any

import pytest

from segbench.config.run_config import RunConfig, load_config
from segbench.config.settings import TrainSettings
from segbench_plugins.losses import segbench_losses
from segbench_plugins.recipes import segbench_recipes

RECIPES = {recipe.name: recipe for recipe in segbench_recipes()}

# epochs, batch, size, loss, augmentation, lr, split, patience
TABLE = {
    "quick-test": (50, 8, 512, "focal", "standard", 1e-4, "train", None),
    "enhanced": (100, 8, 512, "focal", "enhanced", 1e-4, "train", None),
    "maximum": (150, 8, 512, "combined", "enhanced", 1e-4, "trainval", None),
    "fine-tune": (100, 8, 512, "focal", "enhanced", 5e-5, "trainval", None),
    "quick-baseline": (30, 8, 384, "focal", "standard", 1e-4, "train", None),
    "efficient": (80, 8, 512, "focal", "enhanced", 1e-4, "train", None),
    "budget-gpu": (100, 4, 384, "focal", "enhanced", 1e-4, "train", None),
    "flood": (50, 4, 512, "combined", "standard", 1e-3, "train", 10),
    "flood-fast": (50, 8, 512, "combined", "standard", 1e-3, "train", 10),
}


def test_the_table_is_complete_and_smoke_comes_first() -> None:
    assert list(RECIPES) == ["smoke", *TABLE]


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_gives_what_its_row_says(name: str) -> None:
    train = RunConfig().settings(RECIPES[name]).train
    row = (train.epochs, train.batch_size, train.image_size, RECIPES[name].loss, train.augmentation, train.lr, train.split, train.patience)
    assert row == TABLE[name]


@pytest.mark.parametrize("name", RECIPES)
def test_what_holds_unless_a_row_says_otherwise(name: str) -> None:
    settings = RunConfig().settings(RECIPES[name])
    train = settings.train
    assert (train.weight_decay, train.schedule, train.clip, train.precision, settings.eval.every) == (1e-4, "onecycle", 1.0, "auto", 1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_not_lean_on_defaults_that_may_change(name: str) -> None:
    stated = {key.removeprefix("train.") for key in RECIPES[name].settings if key.startswith("train.")}
    neutral = {"workers", "init_from", "channels_last", "compile", "deterministic", "oom"}
    assert set(TrainSettings.model_fields) - neutral <= stated


def test_what_only_one_recipe_has() -> None:
    settings = {name: RunConfig().settings(recipe) for name, recipe in RECIPES.items()}
    assert {name for name, s in settings.items() if s.train.workers == 2} == {"budget-gpu"}
    assert {name: s.model for name, s in settings.items() if s.model} == {"flood-fast": {"encoder": "resnet18"}}
    assert {name for name, s in settings.items() if s.train.init_from == "required"} == {"fine-tune"}
    assert {name for name, recipe in RECIPES.items() if recipe.dataset} == {"smoke"}


@pytest.mark.parametrize("name", ["maximum", "fine-tune"])
def test_training_on_val_lets_val_choose_no_checkpoint(name: str) -> None:
    assert RunConfig().settings(RECIPES[name]).train.select_on is None


def test_smoke_is_small() -> None:
    recipe = RECIPES["smoke"]
    train: Any = RunConfig().settings(recipe).train
    assert (recipe.loss, recipe.dataset, train.batch_size, train.augmentation) == ("ce", "shapes[size=64,train=192]", 8, "standard")
    assert train.epochs <= 20
    assert train.image_size <= 128


@pytest.mark.parametrize("name", RECIPES)
def test_flags_win_over_a_recipe(name: str) -> None:
    config = load_config(flags={"train.epochs": 3, "train.patience": "none"})
    train = config.settings(RECIPES[name]).train
    assert (train.epochs, train.patience) == (3, None)


def test_their_losses_exist_and_their_sources_are_named() -> None:
    losses = {spec.name for spec in segbench_losses()}
    for recipe in RECIPES.values():
        assert recipe.loss in losses
        assert recipe.source
