"""A laboratory for training tests: tiny networks on 16 x 16 images."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segbench.config.settings import Settings
from segbench.data.class_pixels import count_class_pixels
from segbench.plugin.chosen import Plugin
from segbench.plugin.inputs import plan_inputs
from segbench.plugin.registry import Catalog
from segbench.results.records import Training
from segbench.training.fit import fit
from segbench.training.session import Job

Event = tuple[str, Mapping[str, Any]]


@dataclass
class Lab:
    """Builds jobs and trains them in ``directory``; settings are given as ``section={..}``."""

    tiny: Any
    catalog: Catalog
    directory: Path
    events: list[Event] = field(default_factory=list)

    def settings(self, **sections: Mapping[str, Any]) -> Settings:
        train = {"epochs": 3, "batch_size": 4, "image_size": 16, "lr": 0.02, "precision": "off", "workers": 0, **sections.pop("train", {})}
        return Settings.model_validate({"train": train, **sections})

    def job(
        self,
        *,
        model: str = "mixing",
        loss: str = "mean-ce",
        classes: int = 3,
        count: int = 18,
        seed: int = 0,
        identity: Mapping[str, Any] | None = None,
        validate: bool = True,
        pictures: Path | None = None,
        directory: Path | None = None,
        **sections: Mapping[str, Any],
    ) -> Job:
        chosen, task = self.catalog.model(model), self.tiny.task(classes)
        plan, model_task = plan_inputs(chosen.spec, task, chosen.options)
        samples, settings = self.tiny.Samples(count, classes=classes), self.settings(**sections)
        return Job(
            model=chosen,
            loss=self.catalog.loss(loss),
            task=task,
            model_task=model_task,
            plan=plan,
            train_samples=samples,
            val_samples=self.tiny.Samples(7, first=100, classes=classes) if validate else None,
            settings=settings,
            seed=seed,
            directory=directory or self.directory,
            identity=identity or {"recipe": "tiny"},
            pictures=pictures,
            class_pixels=count_class_pixels(samples, task) if settings.train.sampler == "balanced" else None,
        )

    def train(self, *, emit: Callable[[str, Mapping[str, Any]], None] | None = None, **job: Any) -> Training:
        made = self.job(**job)
        return fit(**made.__dict__, device="cpu", emit=emit or (lambda event, fields: self.events.append((event, dict(fields)))))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "plugins_under_test"))
    return importlib.import_module("segbench_tiny")


@pytest.fixture
def lab(tiny: ModuleType, tmp_path: Path) -> Lab:
    catalog = Catalog()
    catalog.add(tiny, Plugin(name="tiny:all", package="tiny", version="1", editable=False))
    return Lab(tiny, catalog, tmp_path / "checkpoints")
