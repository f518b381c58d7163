"""Conformance: the rules that models, losses, datasets and backends keep, for plugin authors' tests and ``segbench check``."""

from segbench.testing.check import Check, CheckResult, ConformanceError
from segbench.testing.conformance import BackendConformance, DatasetConformance, LossConformance, ModelConformance
from segbench.testing.plugins.backends import BackendSubject
from segbench.testing.plugins.datasets import DatasetSubject
from segbench.testing.plugins.losses import LossSubject
from segbench.testing.plugins.model_subject import ModelSubject
from segbench.testing.run import checks_for, run_checks

__all__ = [
    "BackendConformance",
    "BackendSubject",
    "Check",
    "CheckResult",
    "ConformanceError",
    "DatasetConformance",
    "DatasetSubject",
    "LossConformance",
    "LossSubject",
    "ModelConformance",
    "ModelSubject",
    "checks_for",
    "run_checks",
]
