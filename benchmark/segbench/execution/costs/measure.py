"""Measure the costs of a run's deployed models once each, and share them between all rows of one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from segbench.execution.costs.details import measure_details
from segbench.execution.costs.race import is_measured, race_cells
from segbench.execution.session import RunSession
from segbench.results.deployments import DEPLOYED, with_costs, without
from segbench.results.records import CellResult, Deployment, RunResult


def measure_costs(session: RunSession) -> None:
    """Race every distinct deployed model of the run, and then measure its modules, energy and training step."""
    _race(session)
    measure_details(session)


def _race(session: RunSession) -> None:
    cells = [cell for cell in session.plan.cells if session.rows[cell.id].status == "ok"]
    _share_deployments(session, known=_measured_models(session.rows.values(), session.machine), only_missing=True)
    raced = race_cells(
        cells,
        session.rows,
        workers=session.workers,
        store=session.store,
        device=session.device,
        listener=session.listener,
        catalog=session.catalog,
        machine=session.machine,
    )
    if raced is None:
        return
    _share_deployments(session, known=raced.deployments, only_missing=False)
    session.result = session.result.model_copy(update={"race": raced.record})
    session.store.write_text("race.json", RunResult(race=raced.record).model_dump_json())


def _measured_models(rows: Iterable[CellResult], machine: Mapping[str, str]) -> dict[str, list[Deployment]]:
    """The deployments of each distinct model, by the fingerprint of its measurement; the newest race wins."""
    measured = [row for row in rows if is_measured(row, machine)]
    measured.sort(key=lambda row: max(deployment.raced or "" for deployment in row.deployments))
    return {row.fingerprints.get("measure", ""): [without(d, DEPLOYED) for d in row.deployments if d.raced] for row in measured}


def _share_deployments(session: RunSession, *, known: Mapping[str, list[Deployment]], only_missing: bool) -> None:
    """Give every row of a measured model, also of an earlier matrix in this directory, what was measured of it."""
    for row in list(session.rows.values()):
        raced = known.get(row.fingerprints.get("measure", ""))
        if not raced or row.status != "ok" or (only_missing and any(deployment.raced for deployment in row.deployments)):
            continue
        deployments = with_costs(row.deployments, raced)
        if row.deployments != deployments:
            session.put(row.model_copy(update={"deployments": deployments}))
