"""Mean and deviation of inputs that a dataset leaves open: computed once per data, and kept beside the run."""

from __future__ import annotations

import json
from typing import Any

from segbench.execute.jobs import cell_job
from segbench.planning.cells import Cell
from segbench.planning.plan import Plan, make_plan
from segbench.registry import Catalog
from segbench.store import RunStore


def with_normalisation(plan: Plan, catalog: Catalog, store: RunStore, device: str) -> Plan:
    """The plan with mean and deviation of inputs that the dataset leaves open, computed once per data and kept beside the run."""
    cell = next((cell for cell in plan.cells if cell.inputs.missing_normalisation()), None)
    if cell is None:
        return plan
    key = [str(plan.dataset), plan.digest, cell.settings.train.split]
    kept = store.read_json("normalisation.json") or {}
    if kept.get("key") != key:
        kept = {"key": key, "values": _statistics(plan, cell, catalog, store, device)}
        store.write_text("normalisation.json", json.dumps(kept))
    config = plan.config
    data = {**config.overrides.get("data", {}), "normalisation": kept["values"]}
    config = config.model_copy(update={"overrides": {**config.overrides, "data": data}})
    return make_plan(config, catalog, digest_of=lambda root: plan.digest)


def _statistics(plan: Plan, cell: Cell, catalog: Catalog, store: RunStore, device: str) -> dict[str, Any]:
    from segbench.execute.cell import statistics

    job = cell_job(cell, root=plan.root, digest=plan.digest, settings=cell.settings, device=device, directory=store.directory, stages=())
    return statistics(job, lambda *_: None, catalog)
