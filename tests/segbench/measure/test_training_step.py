"""A training step taken apart: each phase gets the time that was spent in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from segbench.measure.training_step import LEAST_STEPS, Phase, PhaseClock, measure_steps


class World:
    """A clock that only moves where something is said to take time."""

    now = 0.0

    @classmethod
    def pass_(cls, seconds: float) -> None:
        cls.now += seconds


class Fabric:
    """Takes 20 ms and some memory for a backward pass, 4 ms for clipping."""

    name = "fabric"

    def __init__(self) -> None:
        self.gradients = bytearray()

    def backward(self, loss: float) -> None:
        self.gradients = bytearray(32 * 2**20)
        World.pass_(0.020)

    def clip_gradients(self, module: str, *, max_norm: float) -> float:
        World.pass_(0.004)
        return max_norm


def one_step(begin: Callable[[], None], end: Callable[[Phase], None]) -> None:
    fabric: Any = PhaseClock(Fabric(), begin, end)
    assert fabric.name == "fabric"
    begin()
    for _ in range(2):  # two batches to one step
        World.pass_(0.005)
        fabric.backward(1.0)
    World.pass_(0.002)
    assert fabric.clip_gradients("net", max_norm=1.0) == 1.0
    World.pass_(0.003)
    end("optimiser")


@pytest.mark.clock
def test_phases_get_their_time_and_add_up() -> None:
    cost = measure_steps(one_step, device="cpu", seconds=0.0, clock=lambda: World.now)
    assert cost.steps == LEAST_STEPS
    known = {"forward_ms": 10, "backward_ms": 40, "bookkeeping_ms": 2, "optimiser_ms": 7}
    for name, milliseconds in known.items():
        assert getattr(cost, name) == pytest.approx(milliseconds), name
    assert cost.step_ms == pytest.approx(sum(getattr(cost, name) for name in known))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_is_of_the_phase_that_took_it() -> None:
    cost = measure_steps(one_step, device="cpu", seconds=0.0, clock=lambda: World.now)
    assert cost.backward_mb == pytest.approx(32, abs=33), "the gradients of both batches live for a moment"
    assert cost.backward_mb is not None
    assert cost.forward_mb is not None
    assert cost.backward_mb > 30
    assert cost.forward_mb <= cost.backward_mb
    assert cost.memory_method
