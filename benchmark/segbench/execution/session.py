"""RunSession: what the steps of a run share, opened on what its directory holds and written as run.json."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segbench.config.run_config import RunConfig, config_to_toml
from segbench.config.settings import Settings
from segbench.errors import StoreError
from segbench.execution.events import Fanout, Listener, Observers
from segbench.execution.plan.ablation import models_of
from segbench.execution.plan.fingerprints import changes
from segbench.execution.plan.plan import Plan
from segbench.execution.records import config_record, task_record
from segbench.execution.workers import Workers
from segbench.measure.environment import describe_environment
from segbench.measure.verification import instrument_identity, read_stamp
from segbench.plugin.registry import Catalog
from segbench.results.publishing import machine_record, public
from segbench.results.records import Ablation, CellResult, RunResult
from segbench.results.store import RunStore


@dataclass
class RunSession:
    """A run in progress: everything that its steps share."""

    plan: Plan
    catalog: Catalog
    store: RunStore
    device: str
    listener: Listener
    observers: Observers
    result: RunResult
    rows: dict[str, CellResult]
    workers: Workers = field(default_factory=Workers)
    checkpoints: dict[str, Path] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, CellResult] = field(default_factory=dict)
    """Rows as they are shown until their cell's turn comes: an old score must not stand beside new settings."""

    def put(self, row: CellResult) -> None:
        """Keep a row, in memory and on disk."""
        self.rows[row.id] = row
        self.store.write_cell(row)

    def publish(self, *, complete: bool) -> RunResult:
        """Write ``run.json``."""
        # this command's cells in its order, then those of earlier matrices
        order = {cell.id: place for place, cell in enumerate(self.plan.cells)}
        rows = [self.waiting.get(row.id, row) for row in sorted(self.rows.values(), key=lambda row: order.get(row.id, len(order)))]
        self.result = self.result.model_copy(update={"cells": rows, "complete": complete})
        self.result = public(self.result)
        self.store.write_run(self.result)
        return self.result


def open_session(
    plan: Plan,
    catalog: Catalog,
    store: RunStore,
    device: str,
    listener: Listener,
    command: str | None,
    ablation: Ablation | None = None,
) -> RunSession:
    """The session of a run, with the rows that its directory holds. Raises :class:`StoreError` where that is of another dataset."""
    old, notes = store.read_cells()
    foreign = {row.dataset for row in old.values()} - {str(plan.dataset)}
    if foreign:
        raise StoreError(
            f"'{store.directory}' holds results on {', '.join(sorted(map(str, foreign)))}, this run is on {plan.dataset}. "
            "Choose another --out DIR, or --fresh to start over there."
        )
    observers = Observers(catalog)
    config = plan.config
    settings = plan.cells[0].settings if len(config.recipes) == 1 and not config.vary else None
    store.write_text("config.toml", config_to_toml(_anywhere(plan), settings and _anywhere_settings(plan, settings)))
    environment = describe_environment(catalog_plugins=catalog.plugins)
    machine = machine_record(environment, device)
    environment.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    skipped = [f"plugin '{p.name}' was skipped: {p.error}" for p in catalog.plugins if p.error]
    result = RunResult(
        command=_all_commands(store, command, grown=bool(old)),
        config=config_record(plan, device),
        environment=environment,
        task=task_record(plan),
        instruments=read_stamp(instrument_identity(machine, environment.segbench)),
        ablation=ablation or _earlier_ablation(store, {*(row.model for row in old.values()), *plan.config.models}),
        warnings=[*notes, *([plan.recipe_note] if plan.recipe_note else []), *skipped],
    )
    rows = {cell_id: _outdated(row, plan) for cell_id, row in old.items()}
    return RunSession(plan, catalog, store, device, Fanout(listener, observers), observers, result, rows, machine=machine)


def _anywhere(plan: Plan) -> RunConfig:
    """The configuration as it can be run again from another folder, with the dataset that was chosen."""
    overrides = dict(plan.config.overrides)
    if plan.root is not None:
        overrides["data"] = {**overrides.get("data", {}), "path": str(plan.root)}
    weights = {str(cell.model): str(cell.weights.file) for cell in plan.cells if cell.weights}
    return plan.config.model_copy(update={"dataset": str(plan.dataset), "overrides": overrides, "weights": weights})


def _anywhere_settings(plan: Plan, settings: Settings) -> Settings:
    root = str(plan.root) if plan.root else None
    return settings.model_copy(update={"data": settings.data.model_copy(update={"path": root})})


def _earlier_ablation(store: RunStore, models: Collection[str]) -> Ablation | None:
    """The walk that an earlier command made in this directory, as long as all of its models are there."""
    record = (store.read_json("run.json") or {}).get("ablation")
    if not record:
        return None
    ablation = Ablation.model_validate(record)
    return ablation if all(model in models for model in models_of(ablation)) else None


def _all_commands(store: RunStore, command: str | None, *, grown: bool) -> str | None:
    """The commands that made this directory's run, one a line."""
    before = (store.read_json("run.json") or {}).get("command") if grown else None
    lines = [line for line in str(before or "").splitlines() if line != command]
    return "\n".join([*lines, *([command] if command else [])]) or None


def _outdated(row: CellResult, plan: Plan) -> CellResult:
    """A row of an earlier matrix in the same directory: what it does not share with this run's settings becomes visible."""
    if any(cell.id == row.id for cell in plan.cells) or not plan.cells:
        return row
    first = plan.cells[0]
    then, now = row.ingredients.get("train", {}).get("train", {}), first.ingredients["train"]["train"]
    assert isinstance(now, Mapping)
    differs = changes({k: v for k, v in now.items() if k in then}, {k: v for k, v in then.items() if k in now})
    if not differs or row.recipe != first.recipe:
        return row
    extra = {f"train.{k}": v for k, v in then.items() if k in now and now[k] != v and f"train.{k}" not in row.settings}
    return row.model_copy(update={"settings": {**row.settings, **extra}})
