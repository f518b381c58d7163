"""Mean and deviation of inputs for which a dataset declares none: computed once per data, and stored beside the run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from segbench.execution.jobs import cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import Plan, make_plan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Normalisation
from segbench.results.store import RunStore

Values = dict[str, Any]
"""By input: mean, std and scale, as they are stored."""


def with_normalisation(plan: Plan, catalog: Catalog, store: RunStore, device: str) -> Plan:
    """The plan with mean and deviation of inputs for which the dataset declares none."""
    cell = next((cell for cell in plan.cells if cell.inputs.missing_normalisation()), None)
    if cell is None:
        return plan
    values = _stored(plan, cell, store)
    if values is None:
        values = {name: asdict(norm) for name, norm in _statistics(plan, cell, catalog, store, device).items()}
        store.write_text("normalisation.json", json.dumps({"key": _key(plan, cell), "values": values}))
    return _filled(plan, catalog, values)


def with_stored_normalisation(plan: Plan, catalog: Catalog, store: RunStore) -> Plan:
    """The plan with the values that are stored beside the run; as it is where there are none for this data."""
    cell = next((cell for cell in plan.cells if cell.inputs.missing_normalisation()), None)
    values = _stored(plan, cell, store) if cell else None
    return plan if values is None else _filled(plan, catalog, values)


def _key(plan: Plan, cell: Cell) -> list[str]:
    limit = cell.settings.data.limit
    return [str(plan.dataset), plan.digest, cell.settings.train.split, *([f"at most {limit}"] if limit else [])]


def _stored(plan: Plan, cell: Cell, store: RunStore) -> Values | None:
    document = store.read_json("normalisation.json") or {}
    return document["values"] if document.get("key") == _key(plan, cell) else None


def _filled(plan: Plan, catalog: Catalog, values: Values) -> Plan:
    config = plan.config
    data = {**config.overrides.get("data", {}), "normalisation": values}
    config = config.model_copy(update={"overrides": {**config.overrides, "data": data}})
    filled = make_plan(config, catalog, digest_of=lambda root: plan.digest, by_model=plan.by_model)
    return replace(filled, recipe_chosen=plan.recipe_chosen)


def _statistics(plan: Plan, cell: Cell, catalog: Catalog, store: RunStore, device: str) -> dict[str, Normalisation]:
    from segbench.execution.cells.job import statistics

    job = cell_job(cell, root=plan.root, digest=plan.digest, settings=cell.settings, device=device, directory=store.directory, stages=())
    return statistics(job, lambda *_: None, catalog)
