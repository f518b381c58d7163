"""The best epoch so far, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any


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
