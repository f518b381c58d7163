"""Classes that plugin authors subclass in their own tests: pytest runs one test per rule.

class TestMyUnet(ModelConformance):
    spec = my_spec
    options = {"channels": 8}
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.specs import AugmentationSpec, BackendSpec, DatasetSpec, LossSpec, MetricSpec, ModelSpec
from segbench.testing.check import Check, not_tried
from segbench.testing.plugins import augmentations, backends, datasets, losses, metrics, models
from segbench.testing.plugins.datasets import DatasetSubject
from segbench.testing.plugins.losses import LossSubject
from segbench.testing.plugins.model_subject import ModelSubject


class ModelConformance:
    """Every rule for models; set ``spec``, and ``options`` where the defaults are too large or need a network."""

    spec: ClassVar[ModelSpec]
    options: ClassVar[Mapping[str, Any]] = {}
    class_counts: ClassVar[tuple[int, ...]] = (2, 7, 21)
    channel_counts: ClassVar[tuple[int, ...]] = (1, 3, 4)
    thorough: ClassVar[bool] = False

    def subject(self) -> ModelSubject:
        """The model as the checks see it."""
        options = self.spec.options.resolve(self.options, owner=self.spec.name)
        return ModelSubject(self.spec, options, self.class_counts, self.channel_counts, self.thorough)


class LossConformance:
    """Every rule for losses; set ``spec``, and ``options`` where the defaults do not suffice."""

    spec: ClassVar[LossSpec]
    options: ClassVar[Mapping[str, Any]] = {}
    class_counts: ClassVar[tuple[int, ...]] = (3, 2)

    def subject(self) -> LossSubject:
        """The loss as the checks see it."""
        return LossSubject(self.spec, self.spec.options.resolve(self.options, owner=self.spec.name), self.class_counts)


class DatasetConformance:
    """Every rule for datasets; set ``spec``, and ``root`` (in a fixture, say) where it is not embedded."""

    spec: ClassVar[DatasetSpec]
    options: ClassVar[Mapping[str, Any]] = {}
    root: Path | None = None
    most: ClassVar[int | None] = 500

    def subject(self) -> DatasetSubject:
        """The dataset as the checks see it."""
        options = self.spec.options.resolve(self.options, owner=self.spec.name)
        return DatasetSubject(self.spec, options, self.root, self.most)


class BackendConformance:
    """Every rule for backends; set ``spec``, ``options`` for another precision, and ``tolerance`` where its own bound does not suit."""

    spec: ClassVar[BackendSpec]
    options: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float | None] = None

    def subject(self) -> backends.BackendSubject:
        """The backend as the checks see it."""
        return backends.BackendSubject(self.spec, self.spec.options.resolve(self.options, owner=self.spec.name), self.tolerance)


class MetricConformance:
    """Every rule for metrics; set ``spec``."""

    spec: ClassVar[MetricSpec]

    def subject(self) -> metrics.MetricSubject:
        """The metric as the checks see it."""
        return metrics.MetricSubject(self.spec)


class AugmentationConformance:
    """Every rule for augmentations; set ``spec``, and ``options`` where the defaults do not suffice."""

    spec: ClassVar[AugmentationSpec]
    options: ClassVar[Mapping[str, Any]] = {}

    def subject(self) -> augmentations.AugmentationSubject:
        """The augmentation as the checks see it."""
        options = self.spec.options.resolve(self.options, owner=self.spec.name)
        choice = Choice(self.spec.name, tuple(self.options.items()))
        return augmentations.AugmentationSubject(Chosen(choice, self.spec, options, Plugin("under test")))


_BROKEN: dict[type, set[str]] = {}
"""Rules that a class's tests have shown to be broken; tests of rules that need them are skipped."""


def _test(check: Check[Any]) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        broken = _BROKEN.setdefault(type(self), set())
        missing = [name for name in check.needs if name in broken]
        if missing:
            broken.add(check.name)
            raise unittest.SkipTest(not_tried(check, missing).message)
        try:
            check.run(self.subject())
        except Exception:
            broken.add(check.name)
            raise

    test.__name__ = f"test_{check.name}"
    test.__doc__ = check.summary
    return test


_RULES: tuple[tuple[type, tuple[Check[Any], ...]], ...] = (
    (ModelConformance, models.CHECKS),
    (LossConformance, losses.CHECKS),
    (DatasetConformance, datasets.CHECKS),
    (BackendConformance, backends.CHECKS),
    (MetricConformance, metrics.CHECKS),
    (AugmentationConformance, augmentations.CHECKS),
)
for _class, _checks in _RULES:
    for _check in _checks:
        setattr(_class, f"test_{_check.name}", _test(_check))
