"""Progress of a training as events, with the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from segbench.results.records import Epoch
from segbench.training.distributed import Emit
from segbench.training.meter import Meter

_SECONDS_BETWEEN = 0.2


@dataclass
class Ticker:
    """Emits ``"batch"`` at most five times a second and ``"epoch"`` after each epoch. ``done`` epochs were run before this start."""

    emit: Emit
    epochs: int
    done: int
    ticked: bool = False
    _started: float = field(default_factory=time.perf_counter)
    _epoch_started: float = field(default_factory=time.perf_counter)
    _last: float = 0.0

    def batch(self, epoch: int, step: int, steps: int, meter: Meter, lr: float, *, images: int) -> None:
        """One optimiser step has been made; ``images`` were seen in this epoch."""
        now = time.perf_counter()
        if now - self._last < _SECONDS_BETWEEN:
            return
        self._last = now
        self.emit(
            "batch",
            {
                "epoch": epoch,
                "epochs": self.epochs,
                "step": step,
                "steps": steps,
                "loss": meter.loss,
                "learning_rate": lr,
                "images_per_second": images / (now - self._epoch_started),
                "eta_seconds": self._left(epoch - 1 + step / steps, now),
            },
        )

    def epoch(self, row: Epoch) -> None:
        """An epoch, its validation and its checkpoints are done."""
        now = time.perf_counter()
        self._epoch_started, self.ticked = now, True
        self.emit("epoch", {**row.model_dump(mode="json"), "epochs": self.epochs, "eta_seconds": self._left(row.epoch, now)})

    def _left(self, epochs: float, now: float) -> float:
        made = max(epochs - self.done, 1e-9)
        return (now - self._started) / made * (self.epochs - epochs)
