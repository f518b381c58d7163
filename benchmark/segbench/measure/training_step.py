"""Costs of a training step by phase: seconds and memory of forward, backward and optimiser."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import torch

from segbench.measure.memory import PeakMemory
from segbench.results.records import TrainingCost

Phase = Literal["forward", "backward", "optimiser", "bookkeeping"]

LEAST_STEPS, MOST_STEPS = 2, 20
SECONDS = 3.0


class PhaseClock:
    """A stand-in for Lightning Fabric that notes the begin and end of each phase of a training step.

    The training loop calls ``backward`` and ``clip_gradients`` through it: what comes before a
    backward pass is forward (with the loss), what comes between it and the clipping is bookkeeping, what follows is the optimiser.
    """

    def __init__(self, fabric: Any, begin: Callable[[], None], end: Callable[[Phase], None]) -> None:
        self._fabric, self._begin, self._end = fabric, begin, end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)

    def backward(self, *args: Any, **options: Any) -> None:
        """Fabric's ``backward``; what ran before it was the forward pass."""
        self._end("forward")
        self._begin()
        self._fabric.backward(*args, **options)
        self._end("backward")
        self._begin()

    def clip_gradients(self, *args: Any, **options: Any) -> Any:
        """Fabric's ``clip_gradients``; the optimiser's phase begins with it."""
        self._end("bookkeeping")
        self._begin()
        return self._fabric.clip_gradients(*args, **options)


class PhaseSeconds:
    """Time of each phase of one step after another, on CUDA up to when the device is done."""

    def __init__(self, device: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._clock, self._since = device, clock, 0.0
        self.steps: list[dict[Phase, float]] = []

    def begin(self) -> None:
        """Begin a phase."""
        self._wait()
        self._since = self._clock()

    def end(self, phase: Phase) -> None:
        """End the phase that runs."""
        self._wait()
        step = self.steps[-1]
        step[phase] = step.get(phase, 0.0) + self._clock() - self._since

    def median_ms(self, phase: Phase) -> float | None:
        """Median of a phase over all steps; None where it did not occur."""
        seconds = [step[phase] for step in self.steps if phase in step]
        return 1000 * statistics.median(seconds) if seconds else None

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)


class PhasePeaks:
    """Peak memory of each phase of one step, in MB above what was in use before the step."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._before: float | None = None
        self._memory: PeakMemory | None = None
        self.peaks: dict[Phase, float | None] = {}
        self.method = ""

    def begin(self) -> None:
        """Begin a phase."""
        self._memory = PeakMemory(self._device)
        self._memory.__enter__()
        self.method = self._memory.method
        self._before = self._memory.before_mb if self._before is None else self._before

    def end(self, phase: Phase) -> None:
        """End the phase that runs."""
        assert self._memory is not None
        self._memory.__exit__(None, None, None)
        peak = None if self._memory.peak_mb is None or self._before is None else max(0.0, self._memory.peak_mb - self._before)
        previous = self.peaks.get(phase)
        self.peaks[phase] = peak if previous is None else max(previous, peak or 0.0)


def measure_steps(
    step: Callable[[Callable[[], None], Callable[[Phase], None]], None],
    *,
    device: str,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> TrainingCost:
    """Measure a training step phase by phase. ``step(begin, end)`` runs one and calls both where its phases begin and end.

    The first step is discarded; then steps are timed for about ``seconds`` (at least two), and one more gives the memory.
    """
    step(lambda: None, lambda phase: None)
    times = PhaseSeconds(device, clock)
    begun = clock()
    while len(times.steps) < LEAST_STEPS or (len(times.steps) < MOST_STEPS and clock() - begun < seconds):
        times.steps.append({})
        step(times.begin, times.end)
    peaks = PhasePeaks(device)
    step(peaks.begin, peaks.end)
    return TrainingCost(
        device=device,
        steps=len(times.steps),
        step_ms=1000 * statistics.median(sum(phases.values()) for phases in times.steps),
        forward_ms=times.median_ms("forward"),
        backward_ms=times.median_ms("backward"),
        optimiser_ms=times.median_ms("optimiser"),
        bookkeeping_ms=times.median_ms("bookkeeping"),
        forward_mb=peaks.peaks.get("forward"),
        backward_mb=peaks.peaks.get("backward"),
        optimiser_mb=peaks.peaks.get("optimiser"),
        memory_method=peaks.method,
    )
