"""Where a model's cost sits: taken apart in a process of its own, once per model, and whatever fails costs only itself."""

from __future__ import annotations

from typing import Any

from segbench.results.records import RunResult

TIMED = ("measure.latency=true", "measure.memory=false", "measure.rounds=1", "measure.threads=1")


def profiled(bench: Any, models: str, *sets: str) -> RunResult:
    from segbench.execution.runner import run_stages

    config = bench.config(models=models, sets=[*TIMED, *sets], seeds="0,1")
    result: RunResult = run_stages(config, ("profile",), catalog=bench.catalog, listener=bench.heard, directory=bench.directory / "profile")
    return result


def test_each_model_is_taken_apart_once_and_all_its_rows_show_it(bench: Any) -> None:
    first, second = profiled(bench, "dot").cells
    assert first.modules is not None
    assert first.modules == second.modules
    assert first.modules.total_ms is not None
    assert first.modules.total_ms > 0
    assert {row.name: (row.params, row.macs) for row in first.modules.modules if row.params} == {
        "body": (4 * 3 * 9 + 4, 16 * 16 * 4 * 3 * 9),
        "head": (2 * 4 + 2, 16 * 16 * 2 * 4),
    }
    assert sum(row.macs or 0 for row in first.modules.modules) == first.macs
    cost = first.training_cost
    assert cost is not None
    assert (cost.batch_size, cost.image_size, cost.precision) == (4, (16, 16), "fp32")
    assert cost.step_ms is not None
    assert cost.forward_ms is not None
    assert cost.backward_ms is not None
    assert cost.optimiser_ms is not None
    assert 0 < cost.forward_ms + cost.backward_ms + cost.optimiser_ms <= 2 * cost.step_ms
    energy = [entry.energy_j_per_image for entry in first.deployments[0].latency if entry.batch_size == 1]
    assert all(joules is None or joules > 0 for joules in energy), "never 0"
    assert (None in energy) == any(note.startswith("energy not measured: ") for note in first.cost_notes)
    states = [event.state for event in bench.heard.of("race")]
    assert states.count("modules") == 1


def test_what_fails_leaves_its_reason_and_the_rest(bench: Any) -> None:
    first, _ = profiled(bench, "fragile[above=3]").cells
    assert first.modules is not None
    assert first.training_cost is None
    assert "training step not measured: CUDA out of memory. Tried to allocate 2.00 GiB" in first.cost_notes


def test_it_can_be_switched_off_and_needs_no_second_look(bench: Any) -> None:
    first, _ = profiled(bench, "dot", "measure.modules=false").cells
    assert (first.modules, first.training_cost, first.cost_notes) == (None, None, [])
    off = ("measure.latency=false", "measure.memory=false")
    bench.run(sets=off)
    assert "modules" not in [event.state for event in bench.heard.of("race")]
    on = ("measure.latency=true", "measure.memory=false", "measure.rounds=1", "measure.threads=1")
    (measured,) = bench.run(sets=on).cells
    (kept,) = bench.run(sets=on).cells
    assert measured.modules is not None
    assert kept.modules == measured.modules
    assert not bench.heard.of("race"), "what was measured is not measured again"
    both = bench.run(sets=on, seeds="0,1").cells
    assert [cell.modules for cell in both] == [measured.modules] * 2, "another seed is the same network"
    assert "modules" not in [event.state for event in bench.heard.of("race")]
