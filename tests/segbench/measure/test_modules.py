"""Times of modules: known sleeps are found at the module that slept, and nothing is counted twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segbench.measure.macs import count_macs
from segbench.measure.modules import LEAST_REPEATS, UNEXPLAINED, measure_modules
from segbench.results.records import ModuleCost, ModuleCosts


class World:
    """A clock that only moves where something is said to take time."""

    now = 0.0


class Sleep(nn.Module):
    """Takes so long, whatever it is given."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        World.now += self.seconds
        return x


class Nested(nn.Module):
    """30 ms in two calls of one child, 20 ms in another, 10 ms between them."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.once, self.conv = Sleep(0.015), Sleep(0.020), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.once(self.twice(self.twice(self.conv(x))))
        World.now += 0.010
        return x


def by_name(costs: ModuleCosts) -> dict[str, ModuleCost]:
    return {row.name: row for row in costs.modules}


@pytest.fixture(scope="module")
def nested() -> ModuleCosts:
    return measure_modules(
        nn.Sequential(Nested()), (torch.zeros(1, 1, 4, 4),), seconds=0.1, parts={"first": ("0.twice",)}, clock=lambda: World.now
    )


@pytest.mark.clock
def test_time_is_found_where_it_was_spent(nested: ModuleCosts) -> None:
    rows = by_name(nested)
    for name, milliseconds in {"0.twice": 30, "0.once": 20, "0": 10}.items():
        assert rows[name].ms == pytest.approx(milliseconds), name
    assert [row.name for row in nested.modules][:3] == ["0.twice", "0.once", "0"], "the slowest first"
    assert nested.total_ms == pytest.approx(60)
    assert sum(row.ms or 0 for row in nested.modules) == pytest.approx(nested.total_ms), "own times add up to the whole"
    assert nested.repeats == LEAST_REPEATS
    assert (rows["0.twice"].part, rows["0.once"].part) == ("first", "other")


@pytest.mark.clock
def test_modules_whose_time_no_multiply_adds_explain_are_marked(nested: ModuleCosts) -> None:
    rows = by_name(nested)
    assert {name for name, row in rows.items() if row.mark == UNEXPLAINED} == {"0.twice", "0.once", "0"}
    assert rows["0.conv"].mark is None
    assert (rows["0.conv"].macs, rows["0.conv"].params) == (16, 2)
    assert "at least 3 times" in nested.rule


def test_counts_of_modules_add_up_to_those_of_the_network() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), shared, nn.ReLU(), shared, nn.Flatten(2), nn.Linear(64, 2))
    inputs = (torch.zeros(1, 3, 8, 8),)
    costs = measure_modules(network, inputs, seconds=0.01)
    assert sum(row.macs or 0 for row in costs.modules) == count_macs(network, inputs)
    assert by_name(costs)["2"].macs == 2 * 4 * 4 * 9 * 64, "a module that is called twice computes twice"
    assert sum(row.params for row in costs.modules) == sum(p.numel() for p in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules()), "nothing is left behind"


@pytest.mark.clock
def test_the_cost_of_measuring_is_small_and_said() -> None:
    slow = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(8)))
    costs = measure_modules(slow, (torch.zeros(1, 16, 64, 64),), seconds=0.1)
    assert costs.tick_overhead is not None
    assert 0 <= costs.tick_overhead < 0.1
    assert costs.total_ms is not None
    assert 0.5 * costs.total_ms < sum(row.ms or 0 for row in costs.modules) < 2 * costs.total_ms, "by the real clock"
