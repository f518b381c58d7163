"""Learning rates as functions of the optimiser step, so that resuming needs no more than the step's number.

``onecycle`` is Smith & Topin, "Super-Convergence" (2018), in the form and with the defaults of torch's ``OneCycleLR`` (the first
beta, or the momentum, moves against the rate); ``poly`` is DeepLab's (Chen et al. 2017, section 4.1), power 0.9; ``cosine`` is
Loshchilov & Hutter, "SGDR" (2017), without restarts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

Schedule = Literal["onecycle", "poly", "cosine", "plateau", "constant"]

_WARM_SHARE = 0.3
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4
BETAS = (0.95, 0.85)
"""First beta, or momentum, at the start and at the top of ``onecycle``."""

_POLY_POWER = 0.9


@dataclass(frozen=True)
class Rate:
    """Learning rate, and first beta or momentum, of one optimiser step; None leaves the optimiser's own."""

    lr: float
    beta: float | None = None


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
    return _one_cycle(lr, step, steps) if schedule == "onecycle" else Rate(lr)


def _one_cycle(lr: float, step: int, steps: int) -> Rate:
    """Up to ``lr`` and down again; with three steps or fewer, too few to rise in, down from ``lr``.

    >>> [round(_one_cycle(1.0, step, 3).lr, 3) for step in range(3)], _one_cycle(1.0, 0, 1).lr
    ([1.0, 0.5, 0.0], 1.0)
    """
    top, end = max(_WARM_SHARE * steps - 1, 0.0), steps - 1
    start, high, low = lr / _START_DIVISOR, BETAS[0], BETAS[1]
    if step <= top:
        risen = step / top if top else 1.0
        return Rate(_ease(start, lr, risen), _ease(high, low, risen))
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


def set_rate(optimizer: torch.optim.Optimizer, rate: Rate, *, factor: float = 1.0, momentum: float | None = None) -> float:
    """Give every group this rate times ``factor`` and its own ``lr_factor``; returns the learning rate of a group without one.

    The rate's beta goes where torch's ``OneCycleLR`` puts it: to the first of a group's betas, else to its momentum, unless
    ``momentum`` is fixed.
    """
    lr = rate.lr * factor
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)
        if rate.beta is None:
            continue
        if group.get("betas"):
            group["betas"] = (rate.beta, *group["betas"][1:])
        elif group.get("momentum") and momentum is None:
            group["momentum"] = rate.beta
    return lr


@dataclass(frozen=True)
class Stopping:
    """``patience`` counts validations, not epochs; None waits for ever."""

    patience: int | None
    best_epoch: int | None = None
    best_score: float | None = None
    waited: int = 0

    def seen(self, score: float | None, *, epoch: int) -> Stopping:
        """The state after one more validation (higher is better); a score that is no number is never the best.

        >>> state = Stopping(patience=2).seen(0.5, epoch=1).seen(0.4, epoch=2).seen(0.5, epoch=3)
        >>> state.best_epoch, state.exhausted
        (1, True)
        """
        if score is not None and math.isfinite(score) and (self.best_score is None or score > self.best_score):
            return replace(self, best_epoch=epoch, best_score=score, waited=0)
        return replace(self, waited=self.waited + 1)

    @property
    def exhausted(self) -> bool:
        return self.patience is not None and self.waited >= self.patience

    def to_dict(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_score": self.best_score, "waited": self.waited}
