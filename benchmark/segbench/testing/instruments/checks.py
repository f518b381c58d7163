"""The list of checks. Adding one is one entry here and one module beside it; torch is imported when a check runs, not before."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence

from segbench.errors import UnknownNameError, did_you_mean
from segbench.plugin.specs import resolve
from segbench.testing.check import Check, CheckResult
from segbench.util.sequences import first_line


def instrument(name: str, summary: str, function: str) -> Check[None]:
    """The check of an instrument by ``function``, an import string, which yields a result for each quantity.

    One that raises has failed, and results before that are kept: an instrument that crashes measures nothing.
    """

    def run() -> Iterator[CheckResult]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the libraries that are measured against
                yield from resolve(function)()
        except Exception as error:
            message = f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__
            yield CheckResult(verdict="FAILED", message=message, subject=summary, expected="a figure", measured="an error")

    return Check(name, summary, run)


_HERE = "segbench.testing.instruments"

CHECKS: tuple[Check[None], ...] = (
    instrument("counts", "params and macs against published figures", f"{_HERE}.counts:check"),
    instrument("fvcore", "fvcore's total against the figures that timm publishes", f"{_HERE}.counts:check_fvcore"),
    instrument("iou-peers", "IoU of random masks against torchmetrics and scikit-learn", f"{_HERE}.peers:check"),
    instrument("timer-sleep", "the timer against a sleep of known length", f"{_HERE}.timer_sleep:check"),
    instrument("timer-torch", "the timer against torch.utils.benchmark", f"{_HERE}.timer_torch:check"),
    instrument("timer-cuda", "CUDA events against the host's clock", f"{_HERE}.timer_cuda:check"),
    instrument("memory", "the memory meter against a tensor of known size", f"{_HERE}.memory:check"),
)


def choose(names: Sequence[str], *, among: Iterable[Check[None]] = CHECKS) -> tuple[Check[None], ...]:
    """The checks of these names, in the list's order; all where no name is given.

    Raises :class:`~segbench.errors.UnknownNameError`.

    >>> [check.name for check in choose(["timer-cuda", "counts"])]
    ['counts', 'timer-cuda']
    """
    known = {check.name: check for check in among}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"Unknown check '{name}'.{did_you_mean(name, known)} Checks: {', '.join(known)}.")
    return tuple(check for check in known.values() if not names or check.name in names)
