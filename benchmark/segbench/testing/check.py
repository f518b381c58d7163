"""A check is a plain function on a subject: it returns where the rule is kept and raises a sentence that says what to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from segbench.plugin.options import Options, describe

SubjectT = TypeVar("SubjectT")


class ConformanceError(AssertionError):
    """A plugin breaks a rule; the message says which, and what to change."""


@dataclass(frozen=True)
class Check(Generic[SubjectT]):
    """One rule: its name, a sentence on what it asks for, and the function that looks."""

    name: str
    summary: str
    run: Callable[[SubjectT], None]

    @classmethod
    def of(cls, function: Callable[[SubjectT], None]) -> Check[SubjectT]:
        """A check named after its function, described by the first line of its docstring."""
        summary = (function.__doc__ or "").strip().splitlines()
        return cls(function.__name__, summary[0] if summary else "", function)


@dataclass(frozen=True)
class CheckResult:
    """How one check went. ``message`` is empty where it passed."""

    name: str
    passed: bool
    message: str
    seconds: float


def run_all(checks: Sequence[Check[Any]], subject: Any) -> list[CheckResult]:
    """Run every check; whatever a plugin raises becomes that check's message, and the others still run."""
    return [_run_one(check, subject) for check in checks]


def fail(message: str) -> NoReturn:
    """Raise :class:`ConformanceError`."""
    raise ConformanceError(message)


@contextmanager
def during(what: str) -> Iterator[None]:
    """Turn whatever foreign code raises into a failure that says what was being done.

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


def _run_one(check: Check[Any], subject: Any) -> CheckResult:
    start = time.perf_counter()
    try:
        check.run(subject)
    except ConformanceError as error:
        message = str(error)
    except Exception as error:  # foreign code: whatever it raises is this check's verdict
        message = f"it raised {type(error).__name__}: {error}"
    else:
        message = ""
    return CheckResult(check.name, not message, message, time.perf_counter() - start)
