"""Conformance: the rules that models, losses, datasets, .. keep, for plugin authors' tests and ``segbench check``.

Names are imported on first use (PEP 562), so that ``segbench verify --list`` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segbench.testing.check import Check, CheckResult, ConformanceError
    from segbench.testing.conformance import (
        AugmentationConformance,
        BackendConformance,
        DatasetConformance,
        LossConformance,
        MetricConformance,
        ModelConformance,
    )
    from segbench.testing.plugins.augmentations import AugmentationSubject
    from segbench.testing.plugins.backends import BackendSubject
    from segbench.testing.plugins.datasets import DatasetSubject
    from segbench.testing.plugins.losses import LossSubject
    from segbench.testing.plugins.metrics import MetricSubject
    from segbench.testing.plugins.model_subject import ModelSubject
    from segbench.testing.run import checks_for, run_checks

__all__ = [
    "AugmentationConformance",
    "AugmentationSubject",
    "BackendConformance",
    "BackendSubject",
    "Check",
    "CheckResult",
    "ConformanceError",
    "DatasetConformance",
    "DatasetSubject",
    "LossConformance",
    "LossSubject",
    "MetricConformance",
    "MetricSubject",
    "ModelConformance",
    "ModelSubject",
    "checks_for",
    "run_checks",
]

_MODULE_OF = {
    "AugmentationConformance": "conformance",
    "AugmentationSubject": "plugins.augmentations",
    "BackendConformance": "conformance",
    "BackendSubject": "plugins.backends",
    "Check": "check",
    "CheckResult": "check",
    "ConformanceError": "check",
    "DatasetConformance": "conformance",
    "DatasetSubject": "plugins.datasets",
    "LossConformance": "conformance",
    "LossSubject": "plugins.losses",
    "MetricConformance": "conformance",
    "MetricSubject": "plugins.metrics",
    "ModelConformance": "conformance",
    "ModelSubject": "plugins.model_subject",
    "checks_for": "run",
    "run_checks": "run",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'segbench.testing' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"segbench.testing.{module}"), name)
    globals()[name] = value
    return value
