"""Catalogue of the built-in recipes: settings that belong together, each complete in itself.

Every flag on the command line wins over a recipe. The recipes of the image guide name no dataset: they apply to any of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segbench import Recipe, hookimpl

IMAGE_GUIDE = "the DeepLab guide"
FLOOD_GUIDE = "the flood guide"

ADAMW_ONECYCLE: Mapping[str, Any] = {
    "train.lr": 1e-4,
    "train.weight_decay": 1e-4,
    "train.optimizer": "adamw",
    "train.momentum": "none",
    "train.encoder_lr": 1.0,
    "train.decay_norms": True,
    "train.freeze": (),
    "train.ema": "none",
    "train.sampler": "shuffled",
    "train.schedule": "onecycle",
    "train.clip": 1.0,
    "train.patience": "none",
    "train.precision": "auto",
    "train.accumulate": 1,
    "train.split": "train",
    "train.select_on": "val",
    "eval.every": 1,
}
"""Settings of every recipe unless it sets another value; the optimiser is AdamW throughout."""

TRAINVAL: Mapping[str, Any] = {
    "train.split": "trainval",
    # val is among the training images now, so that it cannot choose a checkpoint: the last one is kept
    "train.select_on": "none",
}


@hookimpl
def segbench_recipes() -> Iterable[Recipe]:
    """The ten built-in recipes, the default first."""
    return [
        _recipe(
            "smoke",
            "proves that everything works, in about two minutes on two CPU cores",
            {"train.epochs": 6, "train.batch_size": 8, "train.image_size": 64, "train.augmentation": "standard", "train.lr": 5e-3},
            loss="ce",
            dataset="shapes[size=64,train=192]",
            source="segbench",
        ),
        _image("quick-test", "50 epochs, plain augmentation: a first look", epochs=50),
        _image("enhanced", "100 epochs with strong augmentation: the standard recipe", epochs=100, augmentation="enhanced"),
        _image(
            "maximum",
            "150 epochs on train and val together: for the best weights, not for a score",
            {**TRAINVAL, "train.lr": 1e-4, "train.weight_decay": 1e-4},
            epochs=150,
            augmentation="enhanced",
            loss="combined",
        ),
        _image(
            "fine-tune",
            "100 more epochs from a checkpoint (train.init_from) at half the learning rate, on train and val together",
            {**TRAINVAL, "train.lr": 5e-5, "train.init_from": "required"},
            epochs=100,
            augmentation="enhanced",
        ),
        _image("quick-baseline", "30 epochs at 384: a baseline to beat", epochs=30, size=384),
        _image("efficient", "80 epochs with strong augmentation", epochs=80, augmentation="enhanced"),
        _image(
            "budget-gpu",
            "100 epochs at 384 in batches of 4 with 2 workers: for little memory",
            {"train.workers": 2},
            epochs=100,
            batch=4,
            size=384,
            augmentation="enhanced",
        ),
        _flood("flood", "50 epochs in batches of 4 with early stopping", batch=4),
        _flood("flood-fast", "the same in batches of 8 with a ResNet-18 encoder", {"model.encoder": "resnet18"}, batch=8),
    ]


def _image(
    name: str,
    summary: str,
    extra: Mapping[str, Any] | None = None,
    *,
    epochs: int,
    batch: int = 8,
    size: int = 512,
    augmentation: str = "standard",
    loss: str = "focal",
) -> Recipe:
    settings = {
        "train.epochs": epochs,
        "train.batch_size": batch,
        "train.image_size": size,
        "train.augmentation": augmentation,
        **(extra or {}),
    }
    return _recipe(name, summary, settings, loss=loss, source=IMAGE_GUIDE)


def _flood(name: str, summary: str, extra: Mapping[str, Any] | None = None, *, batch: int) -> Recipe:
    settings = {
        "train.epochs": 50,
        "train.batch_size": batch,
        "train.image_size": 512,
        "train.augmentation": "standard",
        "train.lr": 1e-3,
        "train.patience": 10,
        **(extra or {}),
    }
    return _recipe(name, summary, settings, loss="combined", source=FLOOD_GUIDE)


def _recipe(name: str, summary: str, settings: Mapping[str, Any], *, loss: str, source: str, dataset: str | None = None) -> Recipe:
    return Recipe(name=name, summary=summary, settings={**ADAMW_ONECYCLE, **settings}, loss=loss, dataset=dataset, source=source)
