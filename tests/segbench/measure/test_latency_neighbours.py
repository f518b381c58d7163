"""Independence of a contender's figures from what runs before it: a simulated machine that is deterministic, and real processes."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segbench.measure.contender import Conditions, Contender
from segbench.measure.latency import TimingBudget, race

CONDITIONS = Conditions(batch_size=1, input_size=(8, 8), device="cpu", threads=1)


class Machine:
    """Time, and what the contender before left behind: calls right after another's are slower, and recover within some milliseconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.last = ""
        self.since = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: float, penalty: float) -> float:
        if name != self.last:
            self.last, self.since = name, self.now
        taken = seconds * (1 + penalty * math.exp(-(self.now - self.since) / 0.008))
        self.now += taken
        return taken * 1e3


class Simulated:
    """A contender on that machine."""

    conditions = CONDITIONS

    def __init__(self, machine: Machine, name: str, milliseconds: float, *, suffers: float = 0.0) -> None:
        self.name, self._machine, self._seconds, self._suffers = name, machine, milliseconds / 1e3, suffers

    def block(self, calls: int) -> list[float]:
        return [self._machine.run(self.name, self._seconds, self._suffers) for _ in range(calls)]


def _times(budget: TimingBudget, *others: float) -> tuple[float, float]:
    """Median and mean of a contender of 10 ms that suffers from whoever ran before it."""
    machine = Machine()
    field: list[Contender] = [Simulated(machine, "subject", 10.0, suffers=1.5)]
    field += [Simulated(machine, f"other {i}", ms) for i, ms in enumerate(others)]
    latency = race(field, seed=0, budget=budget, clock=machine).latencies["subject"]
    assert latency.p50_ms is not None
    assert latency.mean_ms is not None
    return latency.p50_ms, latency.mean_ms


@pytest.mark.parametrize("others", [(0.5,), (10.0,), (300.0,), (0.5, 40.0, 300.0)])
def test_each_contender_is_within_five_per_cent_of_its_solo_time_whatever_its_neighbour(others: tuple[float, ...]) -> None:
    solo = _times(TimingBudget())
    raced = _times(TimingBudget(), *others)
    assert raced == pytest.approx(solo, rel=0.05)
    assert raced == pytest.approx((10.0, 10.0), rel=0.05)


def test_without_a_lead_in_the_neighbour_would_show() -> None:
    bare = TimingBudget(lead_in_calls=0, lead_in_seconds=0.0)
    assert _times(bare, 300.0)[1] > 1.05 * _times(bare)[1]


def test_lead_in_calls_are_kept_apart_and_no_figure_is_made_of_them() -> None:
    machine = Machine()
    field: list[Contender] = [Simulated(machine, "a", 10.0, suffers=1.5), Simulated(machine, "b", 200.0)]
    found = race(field, seed=0, budget=TimingBudget(rounds=8), clock=machine)
    fast, slow = found.latencies["a"], found.latencies["b"]
    assert [len(block) for block in fast.lead_in_ms] == [4] * 8  # 40 ms
    assert [len(block) for block in slow.lead_in_ms] == [1] * 8
    assert {len(block) for block in slow.rounds_ms} == {5}
    assert all(sum(block) >= 200 for block in fast.rounds_ms)
    assert max(block[0] for block in fast.lead_in_ms[1:]) > 1.2 * max(fast.samples_ms), "what the neighbour did stays in the lead-in"
    assert [sample for block in fast.rounds_ms for sample in block] == fast.samples_ms


def test_the_share_of_time_in_which_nobody_computed_is_told() -> None:
    machine = Machine()

    class Distant(Simulated):
        """The way to it takes 20 ms per block."""

        def block(self, calls: int) -> list[float]:
            machine.now += 0.02
            return super().block(calls)

    found = race([Distant(machine, "a", 20.0)], seed=0, budget=TimingBudget(rounds=4, lead_in_seconds=0.0), clock=machine)
    assert found.overhead == pytest.approx(20 / (20 + 12 * 20))  # one call of lead-in and eleven that count


_CHILD = """
import sys, time
import numpy as np
kind = sys.argv[1]
rng = np.random.default_rng(0)
if kind == "light":  # 120 kB: lives in a core's own cache
    a = rng.random((90, 90))
    call = lambda: [a @ a for _ in range(40)]
else:  # sweeps the shared cache, and keeps the core hot
    big = rng.random(12_000_000)
    call = lambda: (np.multiply(big, 1.0000001, out=big), big[:1_000_000].sum())
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    print(*times, flush=True)
"""


class Process:
    """A contender in a process of its own, without torch."""

    conditions = CONDITIONS

    def __init__(self, kind: str, folder: Path) -> None:
        self.name = kind
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )

    def block(self, calls: int) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(calls, file=self._process.stdin, flush=True)
        return [float(x) for x in self._process.stdout.readline().split()]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Process]]:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    started: list[Process] = []

    def start_one(kind: str) -> Process:
        started.append(Process(kind, tmp_path))
        return started[-1]

    yield start_one
    for process in started:
        process.end()


@pytest.mark.slow
def test_a_real_contender_is_within_five_per_cent_of_its_solo_time_beside_a_heavy_neighbour(start: Callable[[str], Process]) -> None:
    """Solo and raced blocks take turns, so that the machine's own moods hit both; the median over the pairs is compared."""
    light, heavy = start("light"), start("heavy")
    budget = TimingBudget(rounds=1, max_warmup_calls=10)
    ratios = []
    order = random.Random(0)

    def median(*field: Contender, seed: int) -> float:
        found = race(field, seed=seed, budget=budget).latencies["light"].p50_ms
        assert found is not None
        return found

    for pair in range(24):
        found = {beside: median(light, *([heavy] if beside else []), seed=pair) for beside in order.sample([False, True], 2)}
        ratios.append(found[True] / found[False])
    print(f"raced over solo: median {statistics.median(ratios):.4f} of {len(ratios)}, {min(ratios):.3f} to {max(ratios):.3f}")
    assert statistics.median(ratios) == pytest.approx(1.0, abs=0.05)
