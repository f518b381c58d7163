"""Run what one cell lacks in a worker process, and write its row; halve the batch when memory runs out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from segbench.config.settings import Settings
from segbench.execution.cells.stages import PROFILE_FIELDS, StagePlan, carried_over, plan_stages
from segbench.execution.events import CellEnded, CellKept, CellStarted, Emit, Event, Note, StageResult, emitting
from segbench.execution.jobs import CellJob, cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.session import RunSession
from segbench.execution.workers import Outcome, describe_error
from segbench.plugin.registry import Catalog
from segbench.results.publishing import differences
from segbench.results.records import Artifacts, CellResult, ErrorInfo, Quality, Training
from segbench.results.store import RunStore
from segbench.training.failures import halved
from segbench.util.sequences import counted


def await_cell(session: RunSession, cell: Cell) -> None:
    """Prepare the row that a cell shows until it runs again, and note what was trained on another machine."""
    old = session.rows.get(cell.id)
    if old is None:
        return
    todo = plan_stages(cell, old, session.store.directory)
    if todo.stages:
        session.waiting[cell.id] = carried_over(cell, old, todo, cell.blank(session.device))
    changed = differences(old.machine, session.machine) if old.machine and "train" not in todo.stages else []
    if changed:
        warning = f"{cell.id} was trained elsewhere ({', '.join(changed)}): its training speed does not compare with this machine's"
        session.result.warnings.append(warning)
        session.listener.on(Note(cell.describe(), warning))


def run_cell(session: RunSession, cell: Cell, profiles: dict[str, Mapping[str, Any]]) -> None:
    """Run what a cell's row lacks and put the new row on disk. ``profiles`` is filled: counts by the fingerprint of their measurement."""
    old = session.rows.get(cell.id)
    todo = plan_stages(cell, old, session.store.directory)
    blank = cell.blank(session.device).model_copy(update={"ingredients": dict(cell.ingredients)})
    if "train" in todo.stages and (missing := _unusable(session, cell)):
        _skip(session, cell, blank, missing)
        return
    row = carried_over(cell, old, todo, blank)
    if not todo.stages:
        session.rows[cell.id] = row
        profiles.setdefault(cell.fingerprints["measure"], _profile_of(row))
        session.listener.on(CellKept(cell.describe(), row.status))
        return
    known = profiles.get(cell.fingerprints["measure"])
    if known is not None and "profile" in todo.stages:
        row = row.model_copy(update=dict(known))
        todo = StagePlan(tuple(s for s in todo.stages if s != "profile"), todo.reason, todo.restart)
    if todo.restart:
        shutil.rmtree(session.store.directory / "checkpoints" / cell.id, ignore_errors=True)
    # before anything runs: with the old row an interrupted training would be discarded as one under other settings
    if old is not None:
        session.put(row)
    session.listener.on(CellStarted(cell.describe(), todo.stages, todo.reason))
    row = execute_cell(session, cell, row, todo)
    if row.input_shape is not None:
        profiles.setdefault(cell.fingerprints["measure"], _profile_of(row))
    session.put(row)
    session.listener.on(CellEnded(cell.describe(), row))


def _unusable(session: RunSession, cell: Cell) -> str:
    """The reason why a cell cannot be made from its sources; empty where it can."""
    for source in cell.origin.sources:
        row = session.rows.get(source.cell) if source.cell is not None else None
        if source.cell is not None and (row is None or row.training is None):
            return f"{source.cell}, which it is made from, is {row.status if row is not None else 'missing'}"
        if not source.path(session.store.directory).exists():
            return f"the checkpoint of {source.name}, which it is made from, is gone"
    return ""


def _skip(session: RunSession, cell: Cell, blank: CellResult, reason: str) -> None:
    advice = "Mend that cell and run the same command again."
    row = blank.model_copy(update={"status": "skipped", "error": ErrorInfo(stage="train", kind="skipped", message=reason, advice=advice)})
    session.put(row)
    session.listener.on(CellEnded(cell.describe(), row))


def execute_cell(session: RunSession, cell: Cell, row: CellResult, todo: StagePlan) -> CellResult:
    """Run a cell's stages; on out of memory, halve the batch where that was asked for."""
    settings = settings_of(cell, session.store, train="train" in todo.stages)
    while True:
        row, error = _attempt(session, cell, row, todo, settings)
        if error is None or error.kind != "out-of-memory" or row.training is not None:
            break
        smaller = smaller_batch(settings, cell, session.store)
        if smaller is None:
            break
        settings = smaller
        session.listener.on(Note(cell.describe(), f"protocol changed: {departure(settings, cell)}"))
    status = "ok" if error is None else "failed"
    machine = session.machine if "train" in todo.stages else row.machine
    return row.model_copy(update={"status": status, "error": error, "machine": machine})


def _attempt(session: RunSession, cell: Cell, row: CellResult, todo: StagePlan, settings: Settings) -> tuple[CellResult, ErrorInfo | None]:
    updates: dict[str, Any] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, StageResult):
            updates.update(_stage_fields(event))
            if event.notes is not None:
                updates["code_notes"] = {**updates.get("code_notes", row.code_notes), event.stage: list(event.notes)}
            if event.training is not None:
                updates["training"].protocol_changed = departure(settings, cell) or None
            session.store.write_cell(row.model_copy(update={**updates, "status": "pending"}))
        session.listener.on(event)

    job = cell_job(
        cell,
        root=session.plan.root,
        digest=session.plan.digest,
        settings=settings,
        device=session.device,
        directory=session.store.directory,
        stages=todo.stages,
        checkpoint=session.checkpoints.get(cell.id),
    )
    outcome = _run_job(session, job, emitting(on_event, cell.describe()))
    if outcome.value is not None:
        updates["overhead_seconds"] = outcome.value
    return row.model_copy(update=updates), outcome.error


def _run_job(session: RunSession, job: CellJob, emit: Emit) -> Outcome:
    if session.plan.cells[0].settings.execute.where == "inline":
        return _run_inline(job, emit, session.catalog)
    execute, log = job.settings.execute, session.store.directory / "logs" / f"{job.cell}.log"
    return session.workers.run(
        "segbench.execution.cells.job:run", job, emit=emit, log=log, timeout=execute.timeout, silence=execute.silence
    )


def _run_inline(job: CellJob, emit: Emit, catalog: Catalog) -> Outcome:
    from segbench.execution.cells.job import run  # it needs torch, which a preview does not

    try:
        return Outcome(value=run(job, emit, catalog))
    except (Exception, SystemExit) as error:  # a cell's failure is recorded in its row and does not end the run
        return Outcome(error=describe_error(error))


def _stage_fields(result: StageResult) -> dict[str, Any]:
    fields: dict[str, Any] = dict(result.profile or {})
    if result.training is not None:
        fields["training"] = Training.model_validate(result.training)
    if result.quality is not None:
        fields["quality"] = Quality.model_validate(result.quality)
        fields["artifacts"] = Artifacts.model_validate(result.artifacts)
    return fields


def _profile_of(row: CellResult) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PROFILE_FIELDS}


def settings_of(cell: Cell, store: RunStore, *, train: bool) -> Settings:
    """The cell's settings, with the halved batch where it was halved before and may be.

    Where it may not be any more and is to ``train`` on, what was trained at another batch is thrown away.
    """
    halved_before = store.read_json(_file(cell))
    try:
        batch = {key: int(halved_before[key]) for key in ("batch_size", "accumulate")}
    except (KeyError, TypeError, ValueError):
        return cell.settings
    if cell.settings.train.oom == "halve":
        return cell.settings.model_copy(update={"train": cell.settings.train.model_copy(update=batch)})
    if train:
        _start_over(cell, store)
    return cell.settings


def smaller_batch(settings: Settings, cell: Cell, store: RunStore) -> Settings | None:
    """Half the batch and start over with it; None where that was not asked for or is not possible."""
    smaller = halved(settings) if settings.train.oom == "halve" else None
    if smaller is not None:
        _start_over(cell, store)
        store.write_text(_file(cell), json.dumps({"batch_size": smaller.train.batch_size, "accumulate": smaller.train.accumulate}))
    return smaller


def departure(settings: Settings, cell: Cell) -> str:
    """The difference of these settings from the cell's in words; empty where there is none."""
    if settings.train.batch_size == cell.settings.train.batch_size:
        return ""
    return f"out of memory, batch {settings.train.batch_size} x {counted(settings.train.accumulate, 'accumulated step')}"


def _file(cell: Cell) -> str:
    return f"checkpoints/{cell.id}/batch.json"


def _start_over(cell: Cell, store: RunStore) -> None:
    shutil.rmtree(store.directory / "checkpoints" / cell.id, ignore_errors=True)
