"""The published JSON Schema: what it says, who keeps to it, and that nothing heavy is needed to print it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench.results import records as results
from segbench.results.json_schema import problems, run_schema
from segbench.results.records import SCHEMA_VERSION, CellResult, Deployment, Latency, Quality, RaceRecord, Record, RunResult

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "reports" / "samples").glob("**/run.json"))


def _record_types() -> list[type[Record]]:
    found = [thing for _, thing in inspect.getmembers(results, inspect.isclass) if issubclass(thing, Record)]
    return [thing for thing in found if thing is not Record]


def _filled() -> RunResult:
    """A run with a value in many corners."""
    latency = Latency(batch_size=1, input_size=(48, 64), device="cpu", p50_ms=2.0, ci95_ms=(1.9, 2.1), rounds_ms=[[2.0], [2.1]])
    form = Deployment(backend="eager", latency=[latency], fixed_size=(48, 64))
    cell = CellResult(
        id="a", model="unet", status="ok", quality=Quality(split="test", miou=0.5, iou_per_class=[0.5, None]), deployments=[form]
    )
    return RunResult(cells=[cell], race=RaceRecord(rounds=10))


def test_every_key_says_what_it_means() -> None:
    silent = [f"{kind.__name__}.{key}" for kind in _record_types() for key, field in kind.model_fields.items() if not field.description]
    assert silent == []


def test_keys_with_a_unit_in_their_name_say_the_same_unit() -> None:
    units = {"_ms": "milliseconds", "_mb": "MB of 2**20 bytes"}
    for kind in _record_types():
        for key, field in kind.model_fields.items():
            wanted = next((unit for ending, unit in units.items() if key.endswith(ending)), "")
            assert wanted in str(field.description), f"{kind.__name__}.{key}"


def test_the_schema_is_one_itself_and_holds_for_what_is_written() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the report extra")
    jsonschema.Draft202012Validator.check_schema(run_schema())
    for run in (_filled(), RunResult(), RunResult(cells=[CellResult(id="a", model="b", status="failed")])):
        jsonschema.validate(json.loads(run.model_dump_json()), run_schema())


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.parent.name)
def test_the_committed_samples_keep_to_it(file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the report extra")
    document = json.loads(file.read_bytes())
    jsonschema.validate(document, run_schema())
    assert problems(document) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "schema_version: it must be 1"),
        ({"cells": [{"id": "a"}]}, "cells[0].model: Field required"),
        ({"cells": [{"id": "a", "model": "b", "params": "many"}]}, "cells[0].params: "),
        ({"cells": [{"id": "a", "model": "b", "params": "12"}]}, "cells[0].params: "),
        ({"cells": [{"id": "a", "model": "b", "status": "fine"}]}, "cells[0].status: "),
        ({"cells": None}, "cells: "),
    ],
)
def test_what_breaks_it_is_found_by_both_and_named(change: dict[str, Any], where: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the report extra")
    document = json.loads(RunResult().model_dump_json()) | change
    assert [problem for problem in problems(document) if problem.startswith(where)]
    assert list(jsonschema.Draft202012Validator(run_schema()).iter_errors(document))


@pytest.mark.parametrize(("starts", "said"), [([1, 2], "start_rounds add up to 3, but rounds_ms holds 2 rounds"), ([2, 0], "greater than")])
def test_starts_must_be_those_of_the_rounds(starts: list[int], said: str) -> None:
    document = json.loads(_filled().model_dump_json())
    document["cells"][0]["deployments"][0]["latency"][0]["start_rounds"] = starts
    (problem,) = problems(document)
    assert problem.startswith("cells[0].deployments[0].latency[0]")
    assert said in problem


def test_a_document_without_its_version_or_cells_is_no_run() -> None:
    assert problems({"command": "x"}) == ["schema_version: missing", "cells: missing"]
    assert problems([]) == ["the file holds no object"]


def test_the_committed_copy_is_the_current_one(segbench: Any) -> None:
    printed = segbench("schema")
    committed = (ROOT / "docs" / "run.schema.json").read_text(encoding="utf-8")
    assert printed.out == committed, "write it again: segbench schema > docs/run.schema.json"
    assert (printed.code, printed.err) == (0, "")


def test_files_are_held_against_it(segbench: Any, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "run.json").write_text(_filled().model_dump_json())
    broken = json.loads(_filled().model_dump_json())
    broken["cells"][0]["macs"] = "lots"
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    answer = segbench("schema", "--validate", "good", "--validate", "broken.json")
    assert answer.code == 1
    assert answer.out.splitlines()[:3] == [
        "good/run.json: valid, schema version 1, 1 cell",
        "broken.json: does not keep to the schema",
        "  cells[0].macs: Input should be a valid integer",
    ]


def test_unknown_keys_are_allowed_and_told(segbench: Any, tmp_path: Path) -> None:
    document = json.loads(_filled().model_dump_json())
    document["cells"][0]["quality"]["miuo"] = 1
    (tmp_path / "run.json").write_text(json.dumps(document))
    answer = segbench("schema", "--validate", tmp_path)
    assert (answer.code, "cells[].quality.miuo" in answer.err) == (0, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "holds no run"),
        ("{", "is no JSON"),
        ('{"schema_version": 99, "cells": []}', "has schema version 99; this segbench reads up to 1. Upgrade segbench."),
    ],
)
def test_what_cannot_be_read_is_wrong_input(text: str | None, said: str, segbench: Any, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    answer = segbench("schema", "--validate", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_no_torch_is_loaded_for_it() -> None:
    call = "from segbench.cli import main\ntry: main(['schema'])\nexcept SystemExit: pass"
    code = f"import sys\n{call}\nprint('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _objects(value)


def test_sizes_are_pairs_and_further_keys_are_allowed() -> None:
    schema = run_schema()
    size = schema["$defs"]["Latency"]["properties"]["input_size"]
    assert (size["minItems"], size["maxItems"]) == (2, 2)
    assert not [part for part in _objects(schema) if part.get("additionalProperties") is False]


def test_a_run_as_it_is_written_keeps_to_the_schema(segbench: Any, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the report extra")
    run = ("run", "--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", "out", "--set", "execute.where=inline")
    assert segbench(*run, "--models", "dot,dot[width=8]", "--losses", "ce").code == 0
    document = json.loads((tmp_path / "out" / "run.json").read_bytes())
    jsonschema.validate(document, run_schema())
    answer = segbench("schema", "--validate", "out")
    assert (answer.code, answer.out, answer.err) == (0, "out/run.json: valid, schema version 1, 2 cells\n", "")
