"""The list of checks. Adding one is one entry here and one module beside it; torch is imported when a check runs, not before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segbench.errors import UnknownNameError, did_you_mean
from segbench.plugin.specs import Ref


@dataclass(frozen=True, kw_only=True)
class Check:
    """A family of checks: ``run() -> Iterable[Finding]``, and what of it is calibrated, in one line."""

    name: str
    summary: str
    run: Ref


CHECKS: tuple[Check, ...] = (
    Check(name="counts", summary="params and macs against published figures", run="segbench.testing.instruments.counts:check"),
    Check(
        name="fvcore",
        summary="fvcore's total against the figures that timm publishes",
        run="segbench.testing.instruments.counts:check_fvcore",
    ),
    Check(
        name="iou-peers",
        summary="IoU of random masks against torchmetrics and scikit-learn",
        run="segbench.testing.instruments.peers:check",
    ),
    Check(name="timer-sleep", summary="the timer against a sleep of known length", run="segbench.testing.instruments.timer_sleep:check"),
    Check(name="timer-torch", summary="the timer against torch.utils.benchmark", run="segbench.testing.instruments.timer_torch:check"),
    Check(name="timer-cuda", summary="CUDA events against the host's clock", run="segbench.testing.instruments.timer_cuda:check"),
    Check(name="memory", summary="the memory meter against a tensor of known size", run="segbench.testing.instruments.memory:check"),
)


def choose(names: Sequence[str], *, among: Iterable[Check] = CHECKS) -> tuple[Check, ...]:
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
