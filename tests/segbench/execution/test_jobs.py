"""Jobs: each is one JSON document, and one that is not is refused with the key that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segbench.errors import SegbenchError
from segbench.execution.jobs import (
    CellJob,
    CheckJob,
    ContenderJob,
    CostJob,
    DeployJob,
    Job,
    RaceExportJob,
    ReferenceJob,
    cell_job,
)
from segbench.execution.plan.plan import make_plan
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation


@pytest.fixture
def cell(bench: Any) -> CellJob:
    planned = make_plan(bench.config(models="dot[width=8]", sets=["train.lr=0.02", "measure.batch_size=2"]), bench.catalog).cells[0]
    return cell_job(
        planned,
        root=Path("data"),
        digest="abc",
        settings=planned.settings,
        device="cpu",
        directory=Path("/run"),
        stages=("train", "evaluate"),
        checkpoint=Path("best.pt"),
    )


@pytest.fixture
def jobs(cell: CellJob) -> dict[str, Job]:
    deploy = DeployJob(
        cell=cell, threads=2, backend="frozen[shift=1.0]", references=Path("logits"), folder=Path("file"), canvas=(16, 24), score=True
    )
    plan = InputPlan((("image",),), (3,), {"image": Normalisation((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))}, early_fusion=True)
    return {
        "cell": cell,
        "cost": CostJob(cell=cell, threads=2),
        "contender": ContenderJob(cell=cell, threads=2, backend="frozen", files={"16-b1": Path("a.bin")}, randomised_layout=True),
        "export": RaceExportJob(cell=cell, threads=2, backend="frozen", size=(16, 24), batch_size=4, folder=Path("file")),
        "reference": ReferenceJob(device="cuda:1", threads=3),
        "deploy": deploy,
        "check": CheckJob(export=deploy, path=Path("a.bin"), canvas=(16, 24), plan=plan, trained_on="dots"),
    }


NAMES = ("cell", "cost", "contender", "export", "reference", "deploy", "check")


@pytest.mark.parametrize("name", NAMES)
def test_a_job_is_one_json_document(jobs: dict[str, Job], name: str) -> None:
    job = jobs[name]
    assert type(job).from_json(job.to_json()) == job
    assert isinstance(json.loads(job.to_json()), dict)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_or_missing_key_is_one_clear_error(jobs: dict[str, Job], name: str) -> None:
    job = jobs[name]
    kind, document = type(job), json.loads(job.to_json())
    with pytest.raises(SegbenchError) as unknown:
        kind.from_json(json.dumps({**document, "colour": "red"}))
    assert str(unknown.value) == f"this is not a {kind.__name__}: 'colour' is unknown."
    required = next(key for key, field in kind.model_fields.items() if field.is_required())
    del document[required]
    with pytest.raises(SegbenchError) as missing:
        kind.from_json(json.dumps(document))
    assert str(missing.value) == f"this is not a {kind.__name__}: '{required}' is missing."


def test_a_key_below_another_is_named_with_its_path(jobs: dict[str, Job]) -> None:
    document = json.loads(jobs["cost"].to_json())
    del document["cell"]["settings"]["train"]["lr"]
    document["cell"]["seed"] = "one"
    with pytest.raises(SegbenchError, match=r"this is not a CostJob: 'cell.seed' is wrong: .*valid integer"):
        CostJob.from_json(json.dumps(document))
    with pytest.raises(SegbenchError, match="this is not a CellJob: Invalid JSON"):
        CellJob.from_json("{")


def test_a_job_cannot_be_changed(cell: CellJob) -> None:
    with pytest.raises(ValueError, match="frozen"):
        cell.seed = 2  # type: ignore[misc]


def test_a_network_from_a_job_that_was_text_is_the_same(cell: CellJob, bench: Any) -> None:
    from segbench.execution.cells.job import set_up

    here, there = (set_up(job, lambda *_: None, bench.catalog) for job in (cell, CellJob.from_json(cell.to_json())))
    assert (here.model.options, here.inputs, here.settings, here.task) == (there.model.options, there.inputs, there.settings, there.task)
