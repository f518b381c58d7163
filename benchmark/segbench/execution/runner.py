"""run(), run_stages() and preview(): the order of a run's steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.analysis.comparisons import with_comparisons
from segbench.config.run_config import RunConfig
from segbench.data.digest import data_digest
from segbench.execution.cells.runner import await_cell, execute_cell, run_cell
from segbench.execution.cells.stages import StagePlan, plan_stages
from segbench.execution.data_check import check_data
from segbench.execution.events import CellEnded, CellStarted, Fanout, Listener, Note, PlanMade, Silent
from segbench.execution.journal import Journal
from segbench.execution.normalisation import with_normalisation, with_stored_normalisation
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import make_plan, output_directory
from segbench.execution.records import judge_claims
from segbench.execution.reports import write_reports
from segbench.execution.session import RunSession, open_session
from segbench.plugin.registry import Catalog, load_catalog
from segbench.results.records import Ablation, CellResult, RunResult
from segbench.results.store import RunStore
from segbench.util.compat import require_torch
from segbench.util.devices import resolve_device


def run(
    config: RunConfig,
    *,
    catalog: Catalog | None = None,
    listener: Listener | None = None,
    fresh: bool = False,
    command: str | None = None,
    ablation: Ablation | None = None,
) -> RunResult:
    """Train, score and measure every cell of ``config``; finished ones are not run again.

    Results are written as they come, so that an interruption (or a crash of one cell) loses nothing that was finished.
    ``ablation`` is the walk that the models make, for the report.
    Raises :class:`SegbenchError` kin for what cannot be planned or written.
    """
    require_torch()
    catalog = catalog or load_catalog()
    device = resolve_device(config.device)
    plan = make_plan(config, catalog, digest_of=data_digest, complete=True)
    noticed = check_data(plan)
    store = RunStore(output_directory(config, plan.dataset))
    store.open()
    try:
        if fresh:
            store.clear()
        plan = with_normalisation(plan, catalog, store, device)
        with Journal(store.directory) as journal:
            session = open_session(plan, catalog, store, device, Fanout(listener or Silent(), journal), command, ablation)
            session.result.warnings += noticed
            for text in noticed:
                session.listener.on(Note(None, text))
            return _run(session)
    finally:
        store.close()


def run_stages(
    config: RunConfig,
    stages: tuple[str, ...],
    *,
    catalog: Catalog,
    listener: Listener,
    directory: Path,
    checkpoints: Mapping[str, Path] | None = None,
    by_model: bool = False,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> RunResult:
    """Run only some stages of every cell, in a directory of their own; nothing is reported.

    With ``checkpoints`` (by cell) only those cells are run, with these weights. Costs are measured where "profile" is asked for.
    Cells that were not trained by this configuration are named ``by_model``. ``notes`` (by cell) are kept in their rows.
    """
    plan = make_plan(config, catalog, digest_of=data_digest, by_model=by_model)
    if checkpoints is not None:
        plan = dataclasses.replace(plan, cells=tuple(cell for cell in plan.cells if cell.id in checkpoints))
    noticed = check_data(plan, training="train" in stages) if {"train", "evaluate"} & set(stages) else []
    store = RunStore(directory)
    store.open()
    try:
        session = open_session(plan, catalog, store, resolve_device(config.device), listener, None)
        session.result.warnings += noticed
        session.checkpoints.update(checkpoints or {})
        listener.on(PlanMade(tuple(cell.describe() for cell in plan.cells)))
        for cell in plan.cells:
            blank = cell.blank(session.device)
            blank = blank.model_copy(update={"notes": [*blank.notes, *(notes or {}).get(cell.id, ())]})
            session.listener.on(CellStarted(cell.describe(), stages))
            row = execute_cell(session, cell, blank, StagePlan(stages))
            session.put(row)
            session.listener.on(CellEnded(cell.describe(), row))
        if "profile" in stages:
            _measure_costs(session)
        session.result = with_comparisons(session.publish(complete=True), directory)
        return session.publish(complete=True)
    finally:
        store.close()


def _deploy_cells(session: RunSession) -> None:
    from segbench.execution.deploy.deploy import deploy_cells  # it needs torch, which a preview does not

    deploy_cells(session)


def _measure_costs(session: RunSession) -> None:
    from segbench.execution.costs.measure import measure_costs  # it needs torch, which a preview does not

    measure_costs(session)


def _run(session: RunSession) -> RunResult:
    started = time.monotonic()
    session.listener.on(PlanMade(tuple(cell.describe() for cell in session.plan.cells)))
    profiles: dict[str, Mapping[str, Any]] = {}
    last_written = 0.0
    for cell in session.plan.cells:
        await_cell(session, cell)
    try:
        for cell in session.plan.cells:
            session.waiting.pop(cell.id, None)
            run_cell(session, cell, profiles)
            if time.monotonic() - last_written > min(30.0, 0.02 * (time.monotonic() - started)):
                session.publish(complete=False)
                last_written = time.monotonic()
        _deploy_cells(session)
        _measure_costs(session)
    except KeyboardInterrupt:
        session.publish(complete=False)
        raise
    return _finish(session)


def _finish(session: RunSession) -> RunResult:
    if session.result.race is None:
        earlier = session.store.read_json("race.json")
        session.result = session.result.model_copy(update={"race": RunResult.model_validate(earlier or {}).race})
    notes = [f"plugin '{name}' was switched off: {why}" for name, why in session.observers.switched_off.items()]
    session.result = session.result.model_copy(update={"warnings": [*session.result.warnings, *notes]})
    result = with_comparisons(session.publish(complete=True), session.store.directory)
    session.result = result.model_copy(update={"claims": judge_claims(result, session.catalog, session.store.directory)})
    result = session.publish(complete=True)
    notes = write_reports(result, session.store.directory, session.catalog, formats=("markdown",))
    if notes:
        session.result = result.model_copy(update={"warnings": [*result.warnings, *notes]})
        result = session.publish(complete=True)
    return result


def failures(result: RunResult, *, among: Collection[str] | None = None) -> Sequence[CellResult]:
    """Cells that did not come out well; ``among``: the ids of this run's own, where its directory holds others too."""
    return [cell for cell in result.cells if cell.status in ("failed", "interrupted") and (among is None or cell.id in among)]


def preview(config: RunConfig, *, catalog: Catalog) -> tuple[Sequence[tuple[Cell, StagePlan | None]], Sequence[str]]:
    """Each cell that a run would go through and what it would do there (None where nothing has been run yet), and warnings of the data.

    Writes nothing.

    Raises :class:`DataError` for data that a run would refuse.
    """
    plan = make_plan(config, catalog, digest_of=data_digest, complete=True)
    noticed = check_data(plan)
    store = RunStore(output_directory(config, plan.dataset))
    if not (store.directory / "cells").is_dir():
        return [(cell, None) for cell in plan.cells], noticed
    plan = with_stored_normalisation(plan, catalog, store)
    rows, _ = store.read_cells()
    return [(cell, plan_stages(cell, rows[cell.id], store.directory) if cell.id in rows else None) for cell in plan.cells], noticed
