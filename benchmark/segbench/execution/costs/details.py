"""Where the cost of a run's models sits: measured once for each distinct deployed model, and shared by all rows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segbench.execution.jobs import cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.session import RunSession
from segbench.plugin.choice import slug
from segbench.results.deployments import EAGER
from segbench.results.records import CellResult, Deployment, ModuleCosts, TrainingCost
from segbench.util.devices import usable_cores


def measure_details(session: RunSession) -> None:
    """Measure modules, energy and the training step of every model for which they are asked for and not there yet."""
    for cell in session.plan.cells:
        if not _is_wanted(cell, session.rows[cell.id], session.machine):
            continue
        fingerprint = cell.fingerprints["measure"]
        alike = [row for row in session.rows.values() if row.fingerprints.get("measure") == fingerprint and row.status == "ok"]
        known = next((row for row in alike if _is_known(row, session.machine)), None)
        if known is not None:
            details = {name: getattr(known, name) for name in ("modules", "training_cost", "cost_notes")}
            session.put(session.rows[cell.id].model_copy(update=details))
            continue
        session.listener.on("race", cell.describe(), {"state": "modules"})
        found = _measure(session, cell)
        for row in alike:
            session.put(with_details(row, found, session.machine))


def with_details(row: CellResult, found: Mapping[str, Any], machine: Mapping[str, str]) -> CellResult:
    """The row with what was found of its model; energy stands beside the eager latency of single images."""
    modules, training, energy = found.get("modules"), found.get("training_cost"), found.get("energy") or {}
    return row.model_copy(
        update={
            "modules": ModuleCosts.model_validate({**modules, "machine": dict(machine)}) if modules else None,
            "training_cost": TrainingCost.model_validate(training) if training else None,
            "cost_notes": list(found["notes"]),
            "deployments": [_with_energy(deployment, energy) for deployment in row.deployments],
        }
    )


def _is_wanted(cell: Cell, row: CellResult, machine: Mapping[str, str]) -> bool:
    measure = cell.settings.measure
    asked = measure.modules and measure.latency and cell.settings.execute.where == "process"
    return asked and row.status == "ok" and not _is_known(row, machine)


def _is_known(row: CellResult, machine: Mapping[str, str]) -> bool:
    """Taken apart on this machine, or found to be impossible to take apart."""
    return row.modules.machine == dict(machine) if row.modules is not None else bool(row.cost_notes)


def _measure(session: RunSession, cell: Cell) -> Mapping[str, Any]:
    job = cell_job(cell, root=None, digest="", settings=cell.settings, device=session.device, directory=session.store.directory, stages=())
    outcome = session.workers.run(
        "segbench.execution.costs.details_job:cost_details",
        {**job, "threads": cell.settings.measure.threads or usable_cores()},
        emit=lambda *_: None,
        log=session.store.directory / "logs" / f"{slug(str(cell.model))}--costs.log",
        timeout=cell.settings.execute.timeout,
    )
    if outcome.error is not None:
        return {"notes": [f"modules and training step not measured: {outcome.error.message}"]}
    value: Mapping[str, Any] = outcome.value or {"notes": []}
    return value


def _with_energy(deployment: Deployment, energy: Mapping[str, Any]) -> Deployment:
    if deployment.backend != EAGER or energy.get("joules") is None:
        return deployment
    entries = [
        entry.model_copy(update={"energy_j_per_image": energy["joules"], "energy_method": energy["method"]})
        if entry.batch_size == 1
        else entry
        for entry in deployment.latency
    ]
    return deployment.model_copy(update={"latency": entries})
