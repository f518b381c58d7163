"""How often ``segbench compare`` is wrong about latency, under a load that comes and goes: ``pytest
tests/benchmarks/test_compare_under_load.py --benchmark-only -s`` (about fifteen minutes).

A small network (twenty equal convolutions of 24 channels at 48 x 48, one thread, each in a process of its own) is compared fifty times
with itself and fifty times with one of twenty-three, which takes 15 % longer by construction, while another process burns a core in
stretches of random length (exponential with a mean of 2 s). Every comparison starts its processes anew, as the command does: two starts
of one program differ by a per cent or two by themselves, which rounds cannot average out. At most 5 of the 50 may say ``regressed``
where nothing has changed, and at least 45 must where it is 15 % slower.

Seen on two cores of a virtual machine, of which now and then other work took some more: none of 50 wrong (ratios 0.992 to 1.010), all 50
slow-downs found (1.138 to 1.161).

The same is counted for two races that only an anchor relates, run one after the other, without the load: under one no verdict is drawn from
an anchor. What else runs on the machine meanwhile spoils it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.analysis.regressions.latency import reference_ratio
from segbench.analysis.regressions.verdicts import DEFAULT_MARGIN, judged
from segbench.analysis.statistics.timing import Ratio, ratio_of
from segbench.config.run_config import load_config
from segbench.execution.costs.pool import ContenderPool, RaceEntry
from segbench.execution.costs.reference_network import REFERENCE
from segbench.execution.costs.retime import race_until_narrow
from segbench.execution.plan.plan import make_plan
from segbench.execution.workers import Workers
from segbench.measure.contender import Contender
from segbench.measure.latency import TimingBudget, race
from segbench.plugin.registry import Catalog
from segbench.results.run_comparison import Change
from segbench.results.store import RunStore

COMPARISONS = 50
SIZE = (48, 48)
DEPTHS = (20, 23)


@dataclass
class Track:
    """Starts networks of given depths and races them, each race with fresh processes."""

    catalog: Catalog
    folder: Path
    workers: Workers = field(default_factory=Workers)

    @contextlib.contextmanager
    def contenders(self, *depths: int, anchor: bool = False) -> Iterator[list[Contender]]:
        """Each in a fresh process, and the anchor behind them."""
        with contextlib.ExitStack() as stack:
            found = []
            for place, depth in enumerate(depths):
                found.append(self._enter(self._stable(stack), depth, str(place)))
            if anchor:
                stable = self._stable(stack)
                stable.enter_reference(1)
                reference = stable.reference((SIZE, 1))
                assert reference is not None
                found.append(reference)
            yield found

    @contextlib.contextmanager
    def pair(self, depth: int, *, new_first: bool) -> Iterator[tuple[Contender, Contender]]:
        """The baseline and one of so many layers; the second one may be started first."""
        with contextlib.ExitStack() as stack:
            order = {"baseline": DEPTHS[0], "new": depth}
            entered = {name: self._enter(self._stable(stack), layers, name) for name, layers in sorted(order.items(), reverse=new_first)}
            yield entered["baseline"], entered["new"]

    def _stable(self, stack: contextlib.ExitStack) -> ContenderPool:
        stable = ContenderPool(self.workers, RunStore(self.folder), "cpu", self.catalog, inline=False)
        stack.callback(stable.close)
        return stable

    def _enter(self, stable: ContenderPool, depth: int, name: str) -> Contender:
        sets = ["measure.threads=1", f"measure.input_size={SIZE[0]}"]
        flags = {"models": f"stack[depth={depth}]", "dataset": "dots", "recipes": "tiny", "device": "cpu", "out": str(self.folder)}
        (cell,) = make_plan(load_config(sets=sets, flags=flags), self.catalog).cells
        entrant = RaceEntry(cell, self.catalog.backend("eager"))
        stable.enter(entrant, {})
        contender = stable.contender(entrant.key, (SIZE, 1))
        contender.name = name  # type: ignore[misc]
        return contender


@pytest.fixture
def track(mishaps: Catalog, tmp_path: Path) -> Track:
    return Track(mishaps, tmp_path)


def _again(track: Track, depth: int, seed: int) -> Ratio:
    """Both side by side, as ``segbench compare --retime`` does."""
    old, new = race_until_narrow(lambda new_first: track.pair(depth, new_first=new_first))
    return ratio_of(new.rounds_ms, old.rounds_ms, starts=new.start_rounds, seed=seed)


def _anchored(track: Track, depth: int, seed: int) -> Ratio:
    """One race each with the anchor, one after the other, as two runs have them."""
    timed = []
    for each in (DEPTHS[0], depth):
        with track.contenders(each, anchor=True) as pair:
            raced = race(pair, seed=seed, budget=TimingBudget())
        assert not raced.errors
        timed.append((raced.latencies["0"], raced.latencies[REFERENCE]))
    return reference_ratio(*timed)


def _taking_turns(compare: Callable[[int, int], Ratio]) -> dict[int, list[Change]]:
    """So many verdicts about the same network and about the slower one."""
    rows: dict[int, list[Change]] = {depth: [] for depth in DEPTHS}
    for seed in range(COMPARISONS):
        for depth, found in rows.items():
            found.append(_verdict(compare(depth, seed)))
    return rows


def _verdict(ratio: Ratio) -> Change:
    row = Change(model="stack", baseline_model="stack", quantity="latency", margin=DEFAULT_MARGIN)
    found = judged(row, {"change": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.rounds})
    print(f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) {found.verdict}", flush=True)
    return found


def _summary(name: str, rows: list[Change]) -> Counter[str]:
    found: Counter[str] = Counter(row.verdict for row in rows)
    changes = sorted(row.change for row in rows if row.change is not None)
    middle = changes[len(changes) // 2]
    zero = sum(row.low is not None and row.high is not None and not row.low <= middle <= row.high for row in rows)
    spread = f"ratios {changes[0]:.3f} to {changes[-1]:.3f}, median {middle:.3f}; {zero} of {len(rows)} intervals miss it"
    print(f"\n{name}: {dict(found)}; {spread}")
    return found


def test_raced_again(benchmark: BenchmarkFixture, track: Track, load: None) -> None:
    rows = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: _taking_turns(lambda depth, seed: _again(track, depth, seed)), rounds=1, iterations=1
    )
    same, found = _summary("the same network, raced again", rows[DEPTHS[0]]), _summary("15 % slower, raced again", rows[DEPTHS[1]])
    assert same["regressed"] <= 5
    assert found["regressed"] >= 45


def test_against_the_anchor(benchmark: BenchmarkFixture, track: Track) -> None:
    rows = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: _taking_turns(lambda depth, seed: _anchored(track, depth, seed)),
        rounds=1,
        iterations=1,
    )
    same, _ = _summary("the same network, by the anchor", rows[DEPTHS[0]]), _summary("15 % slower, by the anchor", rows[DEPTHS[1]])
    assert same["regressed"] <= 5, "how many slow-downs it finds is printed, not promised: two races differ by more than their rounds do"
