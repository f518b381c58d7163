"""Results and verdicts of one check, run as the command runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segbench.testing.check import CheckResult, run_all
from segbench.testing.instruments.checks import choose

Verdicts = Callable[[str], dict[str, str]]


@pytest.fixture
def findings_of() -> Callable[[str], list[CheckResult]]:
    """All findings of the check of that name, run as the command runs it."""

    def run(name: str) -> list[CheckResult]:
        return run_all(choose([name]))

    return run


@pytest.fixture
def verdicts_of(findings_of: Callable[[str], list[CheckResult]]) -> Verdicts:
    """Verdict by subject."""

    def run(name: str) -> dict[str, str]:
        return {finding.subject: finding.verdict for finding in findings_of(name)}

    return run


@pytest.fixture
def break_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let every new interpreter run some code before anything else: the only way into the processes that a check starts."""

    def arrange(code: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return arrange
