"""run(): plan -> cells -> measurements -> RunResult."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.cells import Cell
from segbench.compat import require_torch
from segbench.config import RunConfig, config_to_toml
from segbench.devices import resolve_device
from segbench.errors import SegbenchError, StoreError
from segbench.events import Fanout, Listener, Observers, Silent
from segbench.execute.jobs import cell_job
from segbench.execute.process import Outcome, Workers, describe_error
from segbench.fingerprints import changes
from segbench.measure.environment import describe_environment
from segbench.plan import Plan, make_plan
from segbench.publishing import config_record, differences, judge_claims, machine_record, public, task_record
from segbench.race import is_measured, race_cells
from segbench.registry import Catalog, load_catalog
from segbench.reporting import write_reports
from segbench.results import Artifacts, CellResult, Deployment, ErrorInfo, Quality, RunResult, Training
from segbench.settings import Settings
from segbench.stages import PROFILE_FIELDS, Todo, carried_over, decide
from segbench.store import RunStore
from segbench.training.failures import halved


def run(
    config: RunConfig,
    *,
    catalog: Catalog | None = None,
    listener: Listener | None = None,
    fresh: bool = False,
    command: str | None = None,
) -> RunResult:
    """Train, score and measure every cell of ``config``; finished ones are not run again.

    Results are written as they come, so that an interruption (or a crash of one cell) loses nothing that was finished.
    Raises :class:`SegbenchError` kin for what cannot be planned or written.
    """
    require_torch()
    catalog = catalog or load_catalog()
    device = resolve_device(config.device)
    plan = make_plan(config, catalog, digest_of=_data_digest)
    store = RunStore(output_directory(config, plan))
    store.open()
    try:
        if fresh:
            store.clear()
        plan = _normalised(plan, catalog, store, device)
        session = _open_session(plan, catalog, store, device, listener or Silent(), command)
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
) -> RunResult:
    """Run only some stages of every cell, in a directory of their own; nothing is reported.

    With ``checkpoints`` (by cell) only those cells are run, with these weights. Costs are measured where "profile" is asked for.
    """
    plan = make_plan(config, catalog, digest_of=_data_digest)
    if checkpoints is not None:
        plan = dataclasses.replace(plan, cells=tuple(cell for cell in plan.cells if cell.id in checkpoints))
    store = RunStore(directory)
    store.open()
    try:
        session = _open_session(plan, catalog, store, resolve_device(config.device), listener, None)
        session.checkpoints.update(checkpoints or {})
        listener.on("plan", None, {"cells": [cell.describe() for cell in plan.cells]})
        for cell in plan.cells:
            blank = cell.blank(session.device)
            session.listener.on("cell", cell.describe(), {"stages": stages, "reason": ""})
            row = _execute(session, cell, blank, Todo(stages))
            session.put(row)
            session.listener.on("cell_end", cell.describe(), row.model_dump())
        if "profile" in stages:
            _race(session)
        return session.publish(complete=True)
    finally:
        store.close()


def _normalised(plan: Plan, catalog: Catalog, store: RunStore, device: str) -> Plan:
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


def output_directory(config: RunConfig, plan: Plan) -> Path:
    """``--out``, else ``runs/<dataset>-<recipe>``."""
    return Path(config.out or f"runs/{plan.dataset.choice.name}-{'-'.join(config.recipes)}").expanduser().absolute()


def _data_digest(root: Path) -> str:
    from segbench.data.digest import data_digest

    return data_digest(root)


@dataclass
class _Session:
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


def _run(session: _Session) -> RunResult:
    started = time.monotonic()
    session.listener.on("plan", None, {"cells": [cell.describe() for cell in session.plan.cells]})
    profiles: dict[str, Mapping[str, Any]] = {}
    last_written = 0.0
    for cell in session.plan.cells:
        _await(session, cell)
    try:
        for cell in session.plan.cells:
            session.waiting.pop(cell.id, None)
            _run_cell(session, cell, profiles)
            if time.monotonic() - last_written > min(30.0, 0.02 * (time.monotonic() - started)):
                session.publish(complete=False)
                last_written = time.monotonic()
        _race(session)
    except KeyboardInterrupt:
        session.publish(complete=False)
        raise
    return _finish(session)


def _open_session(plan: Plan, catalog: Catalog, store: RunStore, device: str, listener: Listener, command: str | None) -> _Session:
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
    environment.started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    result = RunResult(
        command=_all_commands(store, command, grown=bool(old)),
        config=config_record(plan, device),
        environment=environment,
        task=task_record(plan),
        warnings=[*notes, *(f"plugin '{p.name}' was skipped: {p.error}" for p in catalog.plugins if p.error)],
    )
    rows = {cell_id: _outdated(row, plan) for cell_id, row in old.items()}
    machine = machine_record(environment, device)
    return _Session(plan, catalog, store, device, Fanout(listener, observers), observers, result, rows, machine=machine)


def _anywhere(plan: Plan) -> RunConfig:
    """The configuration as it can be run again from another folder, with the dataset that was chosen."""
    overrides = dict(plan.config.overrides)
    if plan.root is not None:
        overrides["data"] = {**overrides.get("data", {}), "path": str(plan.root)}
    return plan.config.model_copy(update={"dataset": str(plan.dataset), "overrides": overrides})


def _anywhere_settings(plan: Plan, settings: Settings) -> Settings:
    root = str(plan.root) if plan.root else None
    return settings.model_copy(update={"data": settings.data.model_copy(update={"path": root})})


def _all_commands(store: RunStore, command: str | None, *, grown: bool) -> str | None:
    """The commands that made this directory's run, one a line."""
    before = (store.read_json("run.json") or {}).get("command") if grown else None
    lines = [line for line in str(before or "").splitlines() if line != command]
    return "\n".join([*lines, *([command] if command else [])]) or None


def _await(session: _Session, cell: Cell) -> None:
    """Note how a cell that must run again is shown until then, and what was measured on another machine."""
    old = session.rows.get(cell.id)
    if old is None:
        return
    todo = decide(cell, old, session.store.directory)
    if todo.stages:
        session.waiting[cell.id] = carried_over(cell, old, todo, cell.blank(session.device))
    changed = differences(old.machine, session.machine) if old.machine and "train" not in todo.stages else []
    if changed:
        warning = f"{cell.id} was trained elsewhere ({', '.join(changed)}): its training speed does not compare with this machine's"
        session.result.warnings.append(warning)
        session.listener.on("note", cell.describe(), {"message": warning})


def _run_cell(session: _Session, cell: Cell, profiles: dict[str, Mapping[str, Any]]) -> None:
    old = session.rows.get(cell.id)
    todo = decide(cell, old, session.store.directory)
    blank = cell.blank(session.device).model_copy(update={"ingredients": dict(cell.ingredients)})
    row = carried_over(cell, old, todo, blank)
    if not todo.stages:
        session.rows[cell.id] = row
        profiles.setdefault(cell.fingerprints["measure"], _profile_of(row))
        session.listener.on("kept", cell.describe(), {"status": row.status})
        return
    known = profiles.get(cell.fingerprints["measure"])
    if known is not None and "profile" in todo.stages:
        row = row.model_copy(update=dict(known))
        todo = Todo(tuple(s for s in todo.stages if s != "profile"), todo.reason, todo.restart)
    if todo.restart:
        shutil.rmtree(session.store.directory / "checkpoints" / cell.id, ignore_errors=True)
    # before anything runs: were the old row left there, an interrupted training would be thrown away as one under other settings
    if old is not None:
        session.put(row)
    session.listener.on("cell", cell.describe(), {"stages": todo.stages, "reason": todo.reason})
    row = _execute(session, cell, row, todo)
    if row.params is not None:
        profiles.setdefault(cell.fingerprints["measure"], _profile_of(row))
    session.put(row)
    session.listener.on("cell_end", cell.describe(), row.model_dump(exclude={"ingredients"}))


def _execute(session: _Session, cell: Cell, row: CellResult, todo: Todo) -> CellResult:
    """Run a cell's stages; on out of memory, halve the batch where that was asked for."""
    settings = cell.settings
    changed = ""
    while True:
        row, error = _attempt(session, cell, row, todo, settings, changed)
        if error is None:
            break
        smaller = halved(settings)
        if error.kind != "out-of-memory" or settings.train.oom != "halve" or smaller is None or row.training is not None:
            break
        settings = smaller
        changed = f"protocol changed: out of memory, batch {settings.train.batch_size} x {settings.train.accumulate} accumulated steps"
        shutil.rmtree(session.store.directory / "checkpoints" / cell.id, ignore_errors=True)
        session.listener.on("note", cell.describe(), {"message": changed})
    status = "ok" if error is None else "failed"
    machine = session.machine if "train" in todo.stages else row.machine
    return row.model_copy(update={"status": status, "error": error, "machine": machine})


def _attempt(
    session: _Session, cell: Cell, row: CellResult, todo: Todo, settings: Any, changed: str
) -> tuple[CellResult, ErrorInfo | None]:
    log = session.store.directory / "logs" / f"{cell.id}.log"
    updates: dict[str, Any] = {}

    def on_event(kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "result":
            updates.update(_stage_fields(payload))
            if changed and "training" in payload:
                updates["training"].protocol_changed = changed
            session.store.write_cell(row.model_copy(update={**updates, "status": "pending"}))
        session.listener.on(kind, cell.describe(), payload)

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
    if session.plan.cells[0].settings.execute.where == "inline":
        outcome = _run_inline(job, on_event, session.catalog)
    else:
        execute = settings.execute
        outcome = session.workers.run(
            "segbench.execute.cell:run", job, emit=on_event, log=log, timeout=execute.timeout, silence=execute.silence
        )
    if outcome.value is not None:
        updates["overhead_seconds"] = outcome.value["overhead_seconds"]
    return row.model_copy(update=updates), outcome.error


def _run_inline(job: Mapping[str, Any], emit: Any, catalog: Catalog) -> Outcome:
    from segbench.execute import cell

    try:
        return Outcome(value=cell.run(job, emit, catalog))
    except (Exception, SystemExit) as error:  # a cell's failure is its row, not the run's end
        return Outcome(error=describe_error(error))


def _stage_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "profile" in payload:
        fields.update(payload["profile"])
    if "training" in payload:
        fields["training"] = Training.model_validate(payload["training"])
    if "quality" in payload:
        fields["quality"] = Quality.model_validate(payload["quality"])
        fields["artifacts"] = Artifacts.model_validate(payload["artifacts"])
    return fields


def _profile_of(row: CellResult) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PROFILE_FIELDS}


def _race(session: _Session) -> None:
    """Measure memory and latency of every distinct deployed model of the run, against each other."""
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
    """What is known of each distinct deployed model, by the fingerprint of its measurement; the newest race wins."""
    measured = [row for row in rows if is_measured(row, machine)]
    measured.sort(key=lambda row: row.deployments[0].raced or "")
    return {row.fingerprints.get("measure", ""): row.deployments for row in measured}


def _share_deployments(session: _Session, *, known: Mapping[str, list[Deployment]], only_missing: bool) -> None:
    """Give every row of a measured model, also of an earlier matrix in this directory, what was measured of it."""
    for row in list(session.rows.values()):
        deployments = known.get(row.fingerprints.get("measure", ""))
        if deployments and row.status == "ok" and not (only_missing and row.deployments) and row.deployments != deployments:
            session.put(row.model_copy(update={"deployments": deployments}))


def _finish(session: _Session) -> RunResult:
    if session.result.race is None:
        kept = session.store.read_json("race.json")
        session.result = session.result.model_copy(update={"race": (kept or {}).get("race")})
    notes = [f"plugin '{name}' was switched off: {why}" for name, why in session.observers.switched_off.items()]
    session.result = session.result.model_copy(update={"warnings": [*session.result.warnings, *notes]})
    result = session.publish(complete=True)
    session.result = result.model_copy(update={"claims": judge_claims(result, session.catalog)})
    result = session.publish(complete=True)
    notes = write_reports(result, session.store.directory, session.catalog, formats=("markdown",))
    if notes:
        session.result = result.model_copy(update={"warnings": [*result.warnings, *notes]})
        result = session.publish(complete=True)
    return result


def _outdated(row: CellResult, plan: Plan) -> CellResult:
    """A row of an earlier matrix in the same directory: what it does not share with this run's settings becomes visible."""
    if any(cell.id == row.id for cell in plan.cells) or not plan.cells:
        return row
    like = plan.cells[0]
    then, now = (x.get("train", {}).get("train", {}) for x in (row.ingredients, like.ingredients))
    differs = changes({k: v for k, v in now.items() if k in then}, {k: v for k, v in then.items() if k in now})
    if not differs or row.recipe != like.recipe:
        return row
    extra = {f"train.{k}": v for k, v in then.items() if k in now and now[k] != v and f"train.{k}" not in row.settings}
    return row.model_copy(update={"settings": {**row.settings, **extra}})


def failures(result: RunResult, *, among: Collection[str] | None = None) -> Sequence[CellResult]:
    """Cells that did not come out well; ``among``: the ids of this run's own, where its directory holds others too."""
    return [cell for cell in result.cells if cell.status in ("failed", "interrupted") and (among is None or cell.id in among)]


__all__ = ["SegbenchError", "failures", "output_directory", "run"]
