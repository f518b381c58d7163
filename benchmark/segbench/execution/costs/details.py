"""Modules, energy and training step of a run's models: measured once for each distinct deployed model, and shared by all its rows."""

from __future__ import annotations

from collections.abc import Mapping

from segbench.execution.events import ModulesStarted
from segbench.execution.jobs import CostDetails, CostJob, cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.session import RunSession
from segbench.plugin.choice import slug
from segbench.results.deployments import EAGER
from segbench.results.records import CellResult, Deployment
from segbench.util.devices import usable_cores


def measure_details(session: RunSession) -> None:
    """Measure modules, energy and training step of every model that lacks them, where the settings ask for them."""
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
        session.listener.on(ModulesStarted(cell.describe()))
        measured = _measure(session, cell)
        for row in alike:
            session.put(with_details(row, measured, session.machine))


def with_details(row: CellResult, details: CostDetails, machine: Mapping[str, str]) -> CellResult:
    """The row with the details of its model; energy stands beside the eager latency of single images."""
    modules = details.modules
    return row.model_copy(
        update={
            "modules": modules.model_copy(update={"machine": dict(machine)}) if modules is not None else None,
            "training_cost": details.training_cost,
            "cost_notes": list(details.notes),
            "deployments": [_with_energy(deployment, details) for deployment in row.deployments],
        }
    )


def _is_wanted(cell: Cell, row: CellResult, machine: Mapping[str, str]) -> bool:
    measure = cell.settings.measure
    enabled = measure.modules and measure.latency and cell.settings.execute.where == "process"
    return enabled and row.status == "ok" and not _is_known(row, machine)


def _is_known(row: CellResult, machine: Mapping[str, str]) -> bool:
    """True where its modules were measured on this machine, or could not be."""
    return row.modules.machine == dict(machine) if row.modules is not None else bool(row.cost_notes)


def _measure(session: RunSession, cell: Cell) -> CostDetails:
    job = cell_job(cell, root=None, digest="", settings=cell.settings, device=session.device, directory=session.store.directory, stages=())
    outcome = session.workers.run(
        "segbench.execution.costs.details_job:cost_details",
        CostJob(cell=job, threads=cell.settings.measure.threads or usable_cores()),
        emit=lambda *_: None,
        log=session.store.directory / "logs" / f"{slug(cell.model.short_name)}--costs.log",
        timeout=cell.settings.execute.timeout,
    )
    if outcome.error is not None:
        return CostDetails(notes=(f"modules and training step not measured: {outcome.error.message}",))
    details: CostDetails = outcome.value
    return details


def _with_energy(deployment: Deployment, details: CostDetails) -> Deployment:
    if deployment.backend != EAGER or details.energy_j is None:
        return deployment
    energy = {"energy_j_per_image": details.energy_j, "energy_method": details.energy_method}
    timings = [timing.model_copy(update=energy) if timing.batch_size == 1 else timing for timing in deployment.latency]
    return deployment.model_copy(update={"latency": timings})
