"""Progress of a training as events, with an estimate of the remaining time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from segbench.results.records import Epoch
from segbench.training.distributed import Emit
from segbench.training.meter import Meter

_SECONDS_BETWEEN = 0.2


@dataclass
class ProgressEvents:
    """Emits ``"batch"`` at most five times a second and ``"epoch"`` after each epoch. ``epochs_before`` were run before this start."""

    emit: Emit
    epochs: int
    epochs_before: int
    epoch_ended: bool = False
    _started: float = field(default_factory=time.perf_counter)
    _epoch_started: float = field(default_factory=time.perf_counter)
    _last: float = 0.0

    def batch(self, epoch: int, step: int, steps: int, meter: Meter, lr: float, *, images: int) -> None:
        """Emit ``"batch"`` after an optimiser step; ``images`` is the number of images of this epoch so far."""
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
                "eta_seconds": self._seconds_left(epoch - 1 + step / steps, now),
            },
        )

    def epoch(self, row: Epoch) -> None:
        """Emit ``"epoch"`` after an epoch, its validation and its checkpoints."""
        now = time.perf_counter()
        self._epoch_started, self.epoch_ended = now, True
        self.emit("epoch", {**row.model_dump(mode="json"), "epochs": self.epochs, "eta_seconds": self._seconds_left(row.epoch, now)})

    def _seconds_left(self, epochs: float, now: float) -> float:
        epochs_run = max(epochs - self.epochs_before, 1e-9)
        return (now - self._started) / epochs_run * (self.epochs - epochs)
