"""A loss that is not finite, with advice, and the smaller batch to try after running out of memory."""

from __future__ import annotations

from segbench.config.settings import Settings
from segbench.errors import TrainingError


class NonFiniteLossError(TrainingError):
    """The loss is NaN or infinite. ``epoch`` and ``step`` count from 1, ``step`` in optimiser steps of that epoch."""

    kind = "non-finite-loss"

    def __init__(self, value: float, epoch: int, step: int, *, precision: str, lr: float) -> None:
        super().__init__(value, epoch, step)
        self.value, self.epoch, self.step = value, epoch, step
        self.precision, self.lr = precision, lr

    @property
    def message(self) -> str:
        """The message without advice."""
        name = "not a number" if self.value != self.value else "infinite"
        return f"the training loss became {name} in epoch {self.epoch}, step {self.step}."

    @property
    def advice(self) -> str:
        """Advice, the likeliest remedy first."""
        steps = [f"lower train.lr (it was {self.lr:g} at that step)"]
        if self.precision != "off":
            steps.append(f"set train.precision = off (it was {self.precision})")
        steps.append("set train.clip = 1 if it is none, and look for NaN in the inputs: segbench data check DATASET")
        return "Try in this order: " + "; ".join(steps) + "."

    def __str__(self) -> str:
        """The message alone: callers that show the error show ``advice`` beside it."""
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _non_finite_loss, (self.value, self.epoch, self.step, self.precision, self.lr)


def _non_finite_loss(value: float, epoch: int, step: int, precision: str, lr: float) -> NonFiniteLossError:
    return NonFiniteLossError(value, epoch, step, precision=precision, lr=lr)


def halved(settings: Settings) -> Settings | None:
    """Half the batch and twice the accumulation; None where that would leave one image, which BatchNorm cannot take.

    >>> smaller = halved(Settings())
    >>> smaller.train.batch_size, smaller.train.accumulate
    (4, 2)
    """
    batch_size = settings.train.batch_size // 2
    if batch_size < 2:
        return None
    train = settings.train.model_copy(update={"batch_size": batch_size, "accumulate": settings.train.accumulate * 2})
    return settings.model_copy(update={"train": train})
