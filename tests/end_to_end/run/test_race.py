"""Races of whole runs: who takes part, what a mishap costs, and what is said about the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.results.records import CellResult, Deployment, RaceRecord, RunResult

QUICK = ("measure.latency=true", "measure.rounds=1")


def _forms(cell: CellResult) -> dict[str, Deployment]:
    return {deployment.backend: deployment for deployment in cell.deployments}


def _race(run: RunResult) -> RaceRecord:
    assert run.race is not None
    return run.race


def test_a_contender_that_is_killed_in_the_race_costs_only_itself(bench: Any) -> None:
    run = bench.run(models="fragile[killed_after=900],dot", sets=[*QUICK, "measure.rounds=3", "measure.batch_size=1"])
    killed, well = (cell.deployments[0] for cell in run.cells)
    assert killed.error == "batch 1: its process ended (SIGKILL)"
    assert killed.latency == []
    assert well.error is None
    assert [len(entry.rounds_ms) for entry in well.latency] == [3]
    turns = _race(run).orders["1"]
    assert len(turns[0]) == 2
    assert len(turns[-1]) == 1, "it is not asked again"


def test_processes_are_started_anew_and_share_the_rounds(bench: Any) -> None:
    sets = ["measure.latency=true", "measure.batch_size=1", "measure.rounds=3", "measure.restart_every=2", "measure.anchor=true"]
    run = bench.run(models="dot,fragile[killed_after=100]", sets=sets)
    well, killed = (cell.deployments[0] for cell in run.cells)
    (entry,) = well.latency
    assert entry.start_rounds == [2, 1]
    assert len(entry.rounds_ms) == len(entry.lead_in_ms) == 3
    assert entry.samples_ms == [sample for block in entry.rounds_ms for sample in block]
    assert killed.latency == []
    assert killed.error == "batch 1: its process ended (SIGKILL)"
    race = _race(run)
    assert (race.starts, race.layout) == (2, "drawn")
    assert len(race.orders["1"]) == 3
    assert race.anchor is not None
    assert [entry.start_rounds for entry in race.anchor.latency] == [[2, 1]]
    timed = [event for event in bench.heard.of("race") if event.state == "latency"]
    assert [(event.start, event.starts) for event in timed] == [(1, 2), (2, 2)]


def test_a_form_that_fails_after_one_start_only_has_no_times_to_pair(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segbench.execution.costs.pool import ContenderPool

    def lame(pool: ContenderPool) -> dict[str, str]:
        before = pool.entered
        errors = honest(pool)
        key = before[1]
        pool.running[key].end()
        return {**errors, key: "it would not wake up"}

    honest = ContenderPool.start_anew
    monkeypatch.setattr(ContenderPool, "start_anew", lame)
    sets = ["measure.latency=true", "measure.batch_size=1", "measure.rounds=2", "measure.restart_every=1"]
    first, second = (cell.deployments[0] for cell in bench.run(models="dot,dot[width=8]", sets=sets).cells)
    assert second.error == "when it was started anew: it would not wake up"
    assert second.latency == []
    assert first.error is None
    assert [entry.start_rounds for entry in first.latency] == [[1, 1]]


def test_processes_start_in_another_order_each_time(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise who always comes first would always find the memory emptier."""
    from segbench.execution.costs.pool import ContenderPool

    def watched(pool: ContenderPool) -> dict[str, str]:
        errors = honest(pool)
        entered.append(pool.entered)
        return errors

    entered: list[list[str]] = []
    honest = ContenderPool.start_anew
    monkeypatch.setattr(ContenderPool, "start_anew", watched)
    sets = ["measure.latency=true", "measure.batch_size=1", "measure.rounds=4", "measure.restart_every=1"]
    run = bench.run(models="dot,dot[width=8],dot[width=16]", sets=sets)
    assert len(entered) == 3
    assert len({tuple(order) for order in entered}) > 1
    assert len({tuple(sorted(order)) for order in entered}) == 1
    assert [cell.deployments[0].latency[0].start_rounds for cell in run.cells] == [[1, 1, 1, 1]] * 3


@pytest.mark.parametrize(
    ("rounds", "every", "expected"), [(10, "3", [3, 3, 2, 2]), (6, "3", [3, 3]), (2, "3", [2]), (4, "none", [4]), (3, "1", [1, 1, 1])]
)
def test_rounds_are_shared_out_evenly_among_starts(rounds: int, every: str, expected: list[int], bench: Any) -> None:
    from segbench.execution.costs.race import rounds_of_starts
    from segbench.execution.plan.plan import make_plan

    plan = make_plan(bench.config(sets=[f"measure.rounds={rounds}", f"measure.restart_every={every}"]), bench.catalog)
    assert rounds_of_starts(plan.cells[0].settings.measure) == expected


def test_inline_there_is_nothing_to_start_anew(bench: Any) -> None:
    sets = ["measure.latency=true", "measure.batch_size=1", "measure.rounds=2", "measure.restart_every=1", "execute.where=inline"]
    run = bench.run(sets=sets)
    assert (_race(run).starts, _race(run).layout) == (1, "as it came")
    assert [entry.start_rounds for entry in run.cells[0].deployments[0].latency] == [[2]]


def test_every_model_is_raced_through_every_backend_and_files_are_loaded_without_the_network(bench: Any) -> None:
    run = bench.run(
        models="dot,dot[width=8]", backends="canned", sets=[*QUICK, "measure.memory=true", "measure.batch_size=2", "deploy.quality=false"]
    )
    assert sorted(entry.model + " " + entry.backend for entry in _race(run).contenders.values()) == [
        "dot canned",
        "dot eager",
        "dot[width=8] canned",
        "dot[width=8] eager",
    ]
    for cell in run.cells:
        eager, canned = _forms(cell)["eager"], _forms(cell)["canned"]
        assert eager.raced == canned.raced, "one race"
        assert [entry.batch_size for entry in canned.latency] == [1, 2]
        assert all(entry.p50_ms and entry.p50_ms >= 1 for entry in canned.latency), "it sleeps for a millisecond"
        assert canned.memory_mb is not None
        assert canned.memory_mb.weights is None, "no network is in that process"
        assert canned.memory_mb.training_peak is None
        assert canned.file_mb
    assert not list(bench.directory.glob("exports-for-race")), "files made for the race only are removed"


def test_what_a_backend_cannot_take_is_a_row_with_its_reason(segbench: Any) -> None:
    answer = segbench(
        *("profile", "--models", "dot", "--backends", "canned[refuses=1],canned[refuses=2]", "--input-size", "16", "--json"),
        *("--device", "cpu", "--rounds", "1", "--batch-size", "2", "--threads", "1"),
    )
    assert answer.code in (0, 1), answer.err
    forms = _forms(CellResult.model_validate(json.loads(answer.out)["cells"][0]))
    assert [entry.batch_size for entry in forms["eager"].latency] == [1, 2]
    assert forms["canned[refuses=1]"].latency == []
    assert forms["canned[refuses=1]"].error == "export at batch 1: the operator aten::canned has no translation"
    assert [entry.batch_size for entry in forms["canned[refuses=2]"].latency] == [1]
    assert forms["canned[refuses=2]"].error == "export at batch 2: the operator aten::canned has no translation"


def test_sizes_and_batches_are_swept_each_with_its_own_entry(segbench: Any) -> None:
    answer = segbench(
        *("profile", "--models", "dot", "--input-size", "16,8x24,32", "--batch-size", "1,2", "--json", "--device", "cpu"),
        *("--rounds", "1", "--threads", "1", "--num-classes", "5"),
    )
    assert answer.code == 0, answer.err
    cell = CellResult.model_validate(json.loads(answer.out)["cells"][0])
    found = [(entry.input_size, entry.batch_size) for entry in cell.deployments[0].latency]
    assert found == [(size, batch) for size in ((16, 16), (8, 24), (32, 32)) for batch in (1, 2)]
    per_pixel = 3 * 4 * 9 + 4 * 5
    assert cell.macs == 16 * 16 * per_pixel
    assert cell.macs_at_sizes == {"16": 256 * per_pixel, "8x24": 192 * per_pixel, "32": 1024 * per_pixel}


def test_a_size_that_is_none_is_one_message(segbench: Any) -> None:
    answer = segbench("profile", "--models", "dot", "--input-size", "16,large", "--device", "cpu")
    assert answer.code == 2
    assert "'large' is not a size" in answer.err
    batch = segbench("profile", "--models", "dot", "--batch-size", "2,many", "--device", "cpu")
    assert batch.code == 2
    assert "measure.batch_size" in batch.err


def test_a_sweep_that_nobody_asks_for_changes_no_fingerprint(bench: Any) -> None:
    from segbench.execution.plan.plan import make_plan

    ingredients: Any = make_plan(bench.config(), bench.catalog).cells[0].ingredients["measure"]["measure"]
    assert not {"input_sizes", "batch_sizes"} & set(ingredients)
    swept: Any = make_plan(bench.config(sets=["measure.input_sizes=8,16"]), bench.catalog).cells[0].ingredients["measure"]["measure"]
    assert swept["input_sizes"] == ("8", "16")


@pytest.mark.clock
@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads Linux's /proc")
def test_threads_that_spin_while_others_are_timed_are_found(command: Callable[..., Any], mishaps_folder: Path, tmp_path: Path) -> None:
    """Also: whatever the user's environment says, PyTorch's own threads do not spin in a contender."""
    spinning = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "100000000000", "OMP_NUM_THREADS": "2"}
    out = tmp_path / "spin"
    process = command(
        *("run", "--models", "dot", "--losses", "ce", "--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", out),
        *("--backends", "canned[spins=true]", "--set", "measure.latency=true", "--set", "measure.rounds=2"),
        *("--set", "measure.batch_size=1"),
        *("--set", "measure.threads=2", "--set", "measure.input_size=256", "--set", "deploy.quality=false"),
        *("--set", "measure.modules=false", "--set", "measure.memory=false"),
        **{**os.environ, **spinning},
    )
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    race = _race(RunResult.model_validate_json((out / "run.json").read_text()))
    spins = [sentence for sentence in race.disturbances or () if "idle threads of its runtime spin" in sentence]
    assert [sentence.partition(" kept ")[0] for sentence in spins] == ["dot (canned[spins=true])"]
    assert race.threads == 2
    assert race.overhead is not None
    assert race.machine_state[0]["other_load_cores"] >= 0


def test_modules_are_raced_by_themselves_on_what_one_image_gives_them(bench: Any) -> None:
    sets = [*QUICK, "measure.memory=false", "measure.modules=false", "measure.rounds=4", "measure.restart_every=2", "measure.batch_size=2"]
    run = bench.run(models="sleeper", sets=[*sets, "measure.race_modules=long.0+long.1"])
    (sleeper,) = run.cells[0].deployments
    (part,) = sleeper.module_latency
    (timed,) = part.latency
    assert 8 <= (timed.p50_ms or 0) < 40
    assert (timed.batch_size, timed.start_rounds, len(timed.rounds_ms), timed.samples_ms) == (1, [2, 2], 4, [])
    assert [timing.batch_size for timing in sleeper.latency] == [1, 2], "their times are not among those of the model"
    race = _race(run)
    assert [one.modules for one in race.contenders.values()] == [None, "long.0+long.1"]
    assert {batch: {len(turn) for turn in turns} for batch, turns in race.orders.items()} == {"1": {2}, "2": {1}}


def test_modules_that_cannot_be_raced_cost_only_their_own_time(bench: Any) -> None:
    sets = [*QUICK, "measure.memory=false", "execute.where=inline", "measure.race_modules=short,long.0,idle,fed,absent"]
    run = bench.run(models="sleeper,dot", backends="eager,twin", sets=sets)
    sleeper, dot = (_forms(cell)["eager"] for cell in run.cells)
    assert {part.name: part.error for part in sleeper.module_latency} == {
        "short": None,
        "long.0": None,
        "idle": "batch 1: a forward pass does not call idle",
        "fed": "batch 1: the arguments of fed cannot be copied: cannot pickle 'generator' object",
        "absent": "the network has no module absent",
    }
    short, long = (sleeper.module_latency[number].latency[0].p50_ms or 0 for number in (0, 1))
    assert 1 <= short < 4 <= long
    assert dot.module_latency[0].error == "the network has no module short"
    assert [bool(form.latency) for cell in run.cells for form in cell.deployments] == [True] * 4
    assert [form.error for cell in run.cells for form in cell.deployments] == [None] * 4
    assert [_forms(cell)["twin"].module_latency for cell in run.cells] == [[], []]
    notes = [event.message for event in bench.heard.of("note")]
    assert "measure.race_modules: absent is not raced: the network has no module absent" in notes
    assert sum("race_modules" in note for note in notes) == 1


def test_modules_count_for_the_race_only_where_some_are_named(bench: Any) -> None:
    from segbench.execution.plan.plan import make_plan

    def measured(*sets: str) -> Any:
        return make_plan(bench.config(sets=list(sets)), bench.catalog).cells[0]

    plain, named = measured(), measured("measure.race_modules=head")
    assert "race_modules" not in plain.ingredients["measure"]["measure"]
    assert plain.fingerprints["measure"] == measured("measure.race_modules=none").fingerprints["measure"]
    assert named.fingerprints["measure"] != plain.fingerprints["measure"]
    assert measured("measure.race_modules=a.b , C + d,a.b").settings.measure.race_modules == ("a.b", "C+d")
