"""Mean and deviation of inputs that a dataset leaves open: computed once per data, and kept beside the run."""

from __future__ import annotations

import json
from typing import Any

from segbench.execution.jobs import cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import Plan, make_plan
from segbench.plugin.registry import Catalog
from segbench.results.store import RunStore


def with_normalisation(plan: Plan, catalog: Catalog, store: RunStore, device: str) -> Plan:
    """The plan with mean and deviation of inputs that the dataset leaves open, computed once per data and kept beside the run."""
    cell = next((cell for cell in plan.cells if cell.inputs.missing_normalisation()), None)
    if cell is None:
        return plan
    values = _kept(plan, cell, store)
    if values is None:
        values = _statistics(plan, cell, catalog, store, device)
        store.write_text("normalisation.json", json.dumps({"key": _key(plan, cell), "values": values}))
    return _filled(plan, catalog, values)


def with_kept_normalisation(plan: Plan, catalog: Catalog, store: RunStore) -> Plan:
    """The same from what lies beside the run; the plan as it is where that is of other data, or nothing."""
    cell = next((cell for cell in plan.cells if cell.inputs.missing_normalisation()), None)
    values = _kept(plan, cell, store) if cell else None
    return plan if values is None else _filled(plan, catalog, values)


def _key(plan: Plan, cell: Cell) -> list[str]:
    return [str(plan.dataset), plan.digest, cell.settings.train.split]


def _kept(plan: Plan, cell: Cell, store: RunStore) -> dict[str, Any] | None:
    kept = store.read_json("normalisation.json") or {}
    return kept["values"] if kept.get("key") == _key(plan, cell) else None


def _filled(plan: Plan, catalog: Catalog, values: dict[str, Any]) -> Plan:
    config = plan.config
    data = {**config.overrides.get("data", {}), "normalisation": values}
    config = config.model_copy(update={"overrides": {**config.overrides, "data": data}})
    return make_plan(config, catalog, digest_of=lambda root: plan.digest)


def _statistics(plan: Plan, cell: Cell, catalog: Catalog, store: RunStore, device: str) -> dict[str, Any]:
    from segbench.execution.cells.job import statistics

    job = cell_job(cell, root=plan.root, digest=plan.digest, settings=cell.settings, device=device, directory=store.directory, stages=())
    return statistics(job, lambda *_: None, catalog)
