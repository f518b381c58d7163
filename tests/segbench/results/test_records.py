"""Records of run, task, race and verification: which keys they are written with, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segbench.results.publishing import public
from segbench.results.records import ConfigRecord, RaceRecord, ReferenceLatency, RunResult, TaskRecord
from segbench.results.store import load_run

SAMPLES = sorted((Path(__file__).parents[3] / "reports" / "samples").glob("**/run.json"))
SPARSE = ("config", "task", "race", "instruments")


def _typed(value: Any) -> Any:
    """A value in which 1 and 1.0 differ."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: "-".join(file.parent.parts[-2:]))
def test_committed_runs_are_written_again_with_the_same_keys_and_values(file: Path) -> None:
    document = json.loads(file.read_bytes())
    again = json.loads(public(load_run(file)).model_dump_json())
    for key in SPARSE:
        assert _typed(again[key]) == _typed(document[key])


def test_null_and_missing_stay_apart() -> None:
    document = {"task": {"headline": None}, "race": {"anchor": None, "machine_state": [{"quota_events": 0, "stolen_share": 0.0}]}}
    written = json.loads(RunResult.model_validate(document).model_dump_json())
    assert (written["task"], _typed(written["race"])) == ({"headline": None}, _typed(document["race"]))
    assert (written["config"], written["instruments"]) == ({}, None)


def test_further_keys_are_kept() -> None:
    task = TaskRecord.model_validate({"num_classes": 2, "taxonomy": ["land", "water"]})
    assert task.model_dump() == {"num_classes": 2, "taxonomy": ["land", "water"]}
    assert task["taxonomy"] == ["land", "water"]


def test_keys_are_read_as_those_of_a_mapping() -> None:
    task = TaskRecord(num_classes=2, inputs={"image": 3})
    assert (task["num_classes"], task["inputs"]["image"]) == (2, 3)
    assert (task.get("palette"), task.get("palette", "none"), task.get("num_classes")) == (None, "none", 2)
    assert ("num_classes" in task, "palette" in task) == (True, False)
    assert dict(task) == dict(task.items()) == {"num_classes": 2, "inputs": {"image": 3}}
    with pytest.raises(KeyError, match="palette"):
        task["palette"]


def test_what_is_set_later_is_written_and_what_is_taken_out_is_not() -> None:
    race = RaceRecord(rounds=3)
    race.disturbances = []
    assert race.model_copy(update={"threads": 2}).model_dump() == {"rounds": 3, "disturbances": [], "threads": 2}
    assert ConfigRecord(dataset="camvid", device="cpu").without("dataset", "losses").model_dump() == {"device": "cpu"}


def test_times_of_the_reference_network_are_written_without_samples() -> None:
    timed = ReferenceLatency(raced="now", batch_size=1, input_size=(8, 8), device="cpu", rounds_ms=[[1.0]])
    assert "samples_ms" not in json.loads(timed.model_dump_json())
    with pytest.raises(ValueError, match="start_rounds add up to 2"):
        ReferenceLatency(batch_size=1, input_size=(8, 8), device="cpu", rounds_ms=[[1.0]], start_rounds=[2])
