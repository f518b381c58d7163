"""Learning rates as functions of the optimiser step, so that resuming needs no more than the step's number.

``onecycle`` is Smith & Topin, "Super-Convergence" (2018), in the form and with the defaults of torch's ``OneCycleLR`` (Adam's first
beta moves against the rate); ``poly`` is DeepLab's (Chen et al. 2017, section 4.1), power 0.9; ``cosine`` is Loshchilov & Hutter,
"SGDR" (2017), without restarts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

Schedule = Literal["onecycle", "poly", "cosine", "plateau", "constant"]

_WARM_SHARE = 0.3
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4
_BETAS = (0.95, 0.85)
_POLY_POWER = 0.9
_BETA = 0.9


@dataclass(frozen=True)
class Rate:
    """Learning rate, and Adam's first beta, of one optimiser step."""

    lr: float
    beta: float = _BETA


def rate_at(schedule: Schedule, *, lr: float, step: int, steps: int) -> Rate:
    """The rate of optimiser step ``step`` (from 0) of ``steps``. ``plateau`` and ``constant`` give ``lr``; see :class:`Plateau`.

    >>> [round(rate_at("poly", lr=1.0, step=s, steps=4).lr, 3) for s in range(4)]
    [1.0, 0.772, 0.536, 0.287]
    """
    share = step / max(steps, 1)
    if schedule == "poly":
        return Rate(lr * (1 - share) ** _POLY_POWER)
    if schedule == "cosine":
        return Rate(lr * (1 + math.cos(math.pi * share)) / 2)
    if schedule == "onecycle" and steps * _WARM_SHARE > 1:
        return _one_cycle(lr, step, steps)
    return Rate(lr)


def _one_cycle(lr: float, step: int, steps: int) -> Rate:
    top, end = _WARM_SHARE * steps - 1, steps - 1
    start, high, low = lr / _START_DIVISOR, _BETAS[0], _BETAS[1]
    if step <= top:
        return Rate(_ease(start, lr, step / top), _ease(high, low, step / top))
    share = (step - top) / (end - top)
    return Rate(_ease(lr, start / _END_DIVISOR, share), _ease(low, high, share))


def _ease(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Plateau:
    """The ``plateau`` schedule: the rate is halved after three validations without a better score, at most ten times."""

    factor: float = 1.0
    best: float | None = None
    waited: int = 0

    def seen(self, score: float | None) -> Plateau:
        """The state after one more score (higher is better).

        >>> state = Plateau()
        >>> for score in (0.5, 0.4, 0.4, 0.4):
        ...     state = state.seen(score)
        >>> state.factor
        0.5
        """
        if score is None or not math.isfinite(score):
            return self
        if self.best is None or score > self.best:
            return replace(self, best=score, waited=0)
        if self.waited + 1 < 3:
            return replace(self, waited=self.waited + 1)
        return replace(self, factor=max(self.factor / 2, 2.0**-10), waited=0)

    def to_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "best": self.best, "waited": self.waited}
