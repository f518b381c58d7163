"""Checks of plugins (``segbench check``) and of the machine's instruments (``segbench verify``): one frame for both.

The check of a rule is a plain function on a subject: it returns nothing where the rule is kept, and raises a sentence that says what to
change. The check of an instrument yields a result for each quantity that it compared with a known one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NoReturn, TypeVar

from segbench.plugin.options import Options, describe

SubjectT = TypeVar("SubjectT")
Verdict = Literal["ok", "warning", "FAILED", "not tried", "cannot tell", "skipped"]


class ConformanceError(AssertionError):
    """A plugin breaks a rule; the message says which, and what to change."""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check, or of one of the quantities that it compared.

    ``message`` is empty where all is well; ``seconds`` is the time of the whole check. Of a rule nothing more is said; of a quantity
    ``subject`` names it, ``expected`` and ``measured`` are its figures, and ``source`` says where the expected one comes from.
    """

    name: str = ""
    verdict: Verdict = "ok"
    message: str = ""
    seconds: float = 0.0
    subject: str = ""
    expected: str = ""
    measured: str = ""
    source: str = ""

    @property
    def passed(self) -> bool:
        """True where nothing has to be changed: for the verdicts ``ok`` and ``warning``."""
        return self.verdict in ("ok", "warning")


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """A check: its name, a sentence on its rule, and its function.

    ``run(subject)`` of a rule returns None or warnings, or raises; ``run()`` of an instrument returns results. ``needs`` names rules
    without which this one says nothing: where one of them is broken, it is not tried.
    """

    name: str
    summary: str
    run: Callable[..., Iterable[CheckResult] | None]
    needs: tuple[str, ...] = ()

    @classmethod
    def of(cls, function: Callable[[SubjectT], Iterable[CheckResult] | None], *needs: str) -> Check[SubjectT]:
        """A check named after its function, described by the first line of its docstring."""
        summary = (function.__doc__ or "").strip().splitlines()
        return cls(function.__name__, summary[0] if summary else "", function, needs)


def run_all(checks: Iterable[Check[Any]], *subject: Any, before: Callable[[Check[Any]], None] = lambda check: None) -> list[CheckResult]:
    """Run every check on ``subject`` (none for instruments), ``before`` each of them a call with it.

    Whatever a check raises becomes its message, and the others still run, except for those that need it.
    """
    results: list[CheckResult] = []
    broken: set[str] = set()
    for check in checks:
        before(check)
        missing = [name for name in check.needs if name in broken]
        results += [not_tried(check, missing)] if missing else _run_one(check, subject)
        if not results[-1].passed:
            broken.add(check.name)
    return results


def not_tried(check: Check[Any], broken: Iterable[str]) -> CheckResult:
    """The result of a check that needs rules which are broken."""
    return CheckResult(check.name, "not tried", f"depends on {' and '.join(broken)}")


def warning(message: str) -> CheckResult:
    """A remark on something that need not be changed."""
    return CheckResult(verdict="warning", message=message)


def judged(passed: bool, *, subject: str, expected: str, measured: str, message: str = "", source: str = "") -> CheckResult:
    """``ok`` or ``FAILED``; ``message`` is kept where it failed.

    >>> judged(True, subject="2 + 2", expected="4", measured="4", message="arithmetic broke").verdict
    'ok'
    """
    verdict: Verdict = "ok" if passed else "FAILED"
    message = "" if passed else message
    return CheckResult(verdict=verdict, message=message, subject=subject, expected=expected, measured=measured, source=source)


def skipped(subject: str, reason: str) -> CheckResult:
    """Nothing was measured, and why."""
    return CheckResult(verdict="skipped", message=reason, subject=subject, expected="-", measured="-")


def fail(message: str) -> NoReturn:
    """Raise :class:`ConformanceError`."""
    raise ConformanceError(message)


@contextmanager
def during(what: str) -> Iterator[None]:
    """Turn any exception of a plugin into a failure that names the step in which it was raised.

    >>> with during("building"):
    ...     raise ValueError("no such encoder")
    Traceback (most recent call last):
    segbench.testing.check.ConformanceError: building raised ValueError: no such encoder
    """
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{what} raised {type(error).__name__}: {error}") from error


def refuse_unfit_defaults(options: type[Options]) -> None:
    """Fail where an option's default breaks its own type or range."""
    for info in describe(options).values():
        with during(f"the default of option '{info.name}'"):
            options.resolve({info.name: info.default})


def _run_one(check: Check[Any], subject: tuple[Any, ...]) -> list[CheckResult]:
    start = time.perf_counter()
    results: list[CheckResult] = []
    try:
        rows = check.run(*subject)
        results += [CheckResult()] if rows is None else list(rows) or [CheckResult()]
    except ConformanceError as error:
        results.append(CheckResult(verdict="FAILED", message=str(error)))
    except Exception as error:  # a plugin may raise anything: the check has failed then
        results.append(CheckResult(verdict="FAILED", message=f"it raised {type(error).__name__}: {error}"))
    seconds = time.perf_counter() - start
    return [replace(result, name=check.name, seconds=seconds) for result in results]
