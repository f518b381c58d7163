from __future__ import annotations

import subprocess
import sys

import pytest

from segbench import Choice, Claim, NoOptions
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.registry import KINDS
from segbench.testing import (
    AugmentationConformance,
    BackendConformance,
    Check,
    ConformanceError,
    DatasetConformance,
    LossConformance,
    MetricConformance,
    ModelConformance,
    checks_for,
    run_checks,
)
from segbench.testing.check import run_all

CLASSES = {
    "models": ModelConformance,
    "losses": LossConformance,
    "datasets": DatasetConformance,
    "backends": BackendConformance,
    "metrics": MetricConformance,
    "augmentations": AugmentationConformance,
}


@pytest.mark.parametrize("kind", list(CLASSES))
def test_classes_have_one_documented_test_per_check(kind: str) -> None:
    checks = checks_for(kind)
    assert {name for name in dir(CLASSES[kind]) if name.startswith("test_")} == {f"test_{check.name}" for check in checks}
    for check in checks:
        assert check.summary.endswith(".")
        assert getattr(CLASSES[kind], f"test_{check.name}").__doc__ == check.summary


def test_kinds_that_are_plain_data_have_no_checks() -> None:
    assert {kind for kind in KINDS if checks_for(kind)} == set(CLASSES)


def test_results_say_what_failed_and_the_others_still_run() -> None:
    def fine(subject: int) -> None:
        """Passes."""

    def breaks_a_rule(subject: int) -> None:
        """Fails."""
        raise ConformanceError(f"{subject} is too small")

    def crashes(subject: int) -> None:
        """Crashes."""
        raise KeyError("x")

    results = run_all([Check.of(breaks_a_rule), Check.of(crashes), Check.of(fine)], 3)
    assert [(r.name, r.passed, r.message) for r in results] == [
        ("breaks_a_rule", False, "3 is too small"),
        ("crashes", False, "it raised KeyError: 'x'"),
        ("fine", True, ""),
    ]
    assert all(r.seconds >= 0 for r in results)


def test_claims_cannot_be_checked() -> None:
    claim = Claim(name="c", summary="", subject="x", quantity="params", comparator="about", value=1, source="here")
    assert run_checks(Chosen(Choice("c"), claim, NoOptions(), Plugin("p"))) == []


def test_checks_run_where_pytest_is_not_installed() -> None:
    code = "import sys; sys.modules['pytest'] = None; import segbench.testing; print(len(segbench.testing.checks_for('models')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) == len(checks_for("models"))
