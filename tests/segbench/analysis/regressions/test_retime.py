"""When a race of two is run on, and when it ends: on contenders that only pretend to take time."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from segbench.analysis.statistics.timing import ratio_of
from segbench.execution.costs.retime import race_until_narrow
from segbench.measure.contender import Conditions, Contender


class Pretender:
    """Says that a call took so many milliseconds, more or less; each start is off by its own factor."""

    def __init__(
        self, name: str, milliseconds: float, noise: float, draw: random.Random, *, start: float = 0.0, fails: bool = False
    ) -> None:
        self.name, self.noise, self.draw, self.fails = name, noise, draw, fails
        self.milliseconds = milliseconds * draw.lognormvariate(0, start)
        self.conditions = Conditions(1, (8, 8), "cpu", 1)

    def block(self, calls: int) -> list[float]:
        if self.fails:
            raise RuntimeError("its process ended (SIGKILL)")
        mood = self.draw.lognormvariate(0, self.noise)
        return [self.milliseconds * mood] * calls


class Stage:
    """Starts both anew as often as it is asked, and counts."""

    def __init__(self, slower: float, *, noise: float, start: float = 0.0, seed: int = 0, fails: bool = False) -> None:
        self.slower, self.noise, self.start, self.fails = slower, noise, start, fails
        self.draw, self.firsts = random.Random(seed), list[str]()

    @contextlib.contextmanager
    def enter(self, new_first: bool) -> Iterator[tuple[Contender, Contender]]:
        self.firsts.append("new" if new_first else "baseline")
        yield (
            Pretender("baseline", 10.0, self.noise, self.draw, start=self.start),
            Pretender("new", 10.0 * self.slower, self.noise, self.draw, start=self.start, fails=self.fails),
        )


def test_a_clear_race_ends_after_five_legs_each_with_fresh_processes() -> None:
    stage = Stage(1.15, noise=0.01)
    old, new = race_until_narrow(stage.enter, rounds=30)
    assert stage.firsts == ["baseline", "new", "baseline", "new", "baseline"]
    assert len(old.rounds_ms) == len(new.rounds_ms) == 30
    found = ratio_of(new.rounds_ms, old.rounds_ms, starts=new.start_rounds)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1.15 < found.high
    assert old.p50_ms == pytest.approx(10, rel=0.01)


def test_a_noisy_race_goes_on_up_to_four_times_as_many_rounds() -> None:
    stage = Stage(1.0, noise=0.5)
    _, new = race_until_narrow(stage.enter, rounds=10)
    assert len(stage.firsts) == 20
    assert len(new.rounds_ms) == 40


def test_starts_that_differ_widen_the_interval() -> None:
    """What one start would take for a difference of the networks."""
    wrong = missed = 0
    for seed in range(15):
        old, new = race_until_narrow(Stage(1.0, noise=0.005, start=0.02, seed=seed).enter, rounds=30, margin=0.05)
        found = ratio_of(new.rounds_ms, old.rounds_ms, starts=new.start_rounds)
        assert found.low is not None
        assert found.high is not None
        wrong += found.low > 1.05
        missed += not found.low <= 1 <= found.high
    assert wrong == 0
    assert missed <= 3


def test_one_that_fails_ends_the_race_with_its_reason() -> None:
    with pytest.raises(RuntimeError, match="new: RuntimeError: its process ended"):
        race_until_narrow(Stage(1.0, noise=0.01, fails=True).enter)
