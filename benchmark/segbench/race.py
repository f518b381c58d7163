"""Cost of every distinct deployed model of a run: memory, and latency measured side by side in interleaved rounds."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.cells import Cell
from segbench.events import Listener
from segbench.execute.contender import Deployment as LocalDeployment
from segbench.execute.contender import RemoteContender
from segbench.execute.jobs import cell_job
from segbench.execute.process import Worker, Workers
from segbench.measure.contenders import Contender
from segbench.measure.latency import Pace, Race, race
from segbench.names import slug
from segbench.registry import Catalog
from segbench.results import CellResult, Deployment, Latency, Memory
from segbench.settings import MeasureSettings
from segbench.store import RunStore

# one answer is at most a block of calls, or a model's first call
_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True)
class Raced:
    """Deployments by the fingerprint of their measurement, and the record that stands in ``run.json`` as ``race``."""

    deployments: dict[str, list[Deployment]]
    record: dict[str, Any]


def race_cells(
    cells: Sequence[Cell],
    rows: Mapping[str, CellResult],
    *,
    workers: Workers,
    store: RunStore,
    device: str,
    listener: Listener,
    catalog: Catalog,
    machine: Mapping[str, str],
) -> Raced | None:
    """Measure the models of these cells against each other; None where nothing is missing.

    Where one is missing all are raced again: times taken at another moment cannot be compared with them. Cells whose ``measure``
    settings differ in more than the input size are raced apart.
    """
    groups = [group for group in _groups(cells) if group.settings.latency or group.settings.memory]
    if all(is_measured(rows[cell.id], machine) for group in groups for cell in group.cells):
        return None
    listener.on("race", None, {"state": "start", "contenders": sum(len(group.contenders) for group in groups)})
    raced = []
    for group in groups:
        stable = _Stable(workers, store, device, catalog, inline=cells[0].settings.execute.where == "inline")
        try:
            raced.append(_race_group(group, stable, listener, machine))
        finally:
            stable.close()
    listener.on("race", None, {"state": "end"})
    records = [each.record for each in raced]
    whole = {
        "measured": records[-1]["measured"],
        "models": {key: model for record in records for key, model in record["models"].items()},
        "cells": {cell.id: cell.fingerprints["measure"] for group in groups for cell in group.cells},
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }
    # one race has one number of rounds, threads and orders; several keep their own
    whole |= {name: records[0][name] for name in ("rounds", "threads", "orders")} if len(records) == 1 else {"groups": records}
    return Raced({key: value for each in raced for key, value in each.deployments.items()}, whole)


@dataclass(frozen=True)
class _Group:
    """Cells that are raced under the same settings, each at its own input size, and the distinct models among them."""

    settings: MeasureSettings
    cells: tuple[Cell, ...]

    @property
    def contenders(self) -> dict[str, Cell]:
        """One cell for each fingerprint of a measurement."""
        found: dict[str, Cell] = {}
        for cell in self.cells:
            found.setdefault(cell.fingerprints["measure"], cell)
        return found


def _groups(cells: Sequence[Cell]) -> list[_Group]:
    found: dict[MeasureSettings, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.settings.measure.model_copy(update={"input_size": None}), []).append(cell)
    return [_Group(settings, tuple(members)) for settings, members in found.items()]


def _race_group(group: _Group, stable: _Stable, listener: Listener, machine: Mapping[str, str]) -> Raced:
    deployments, orders = _measure(group, stable, listener)
    # to the millisecond: equal times mean one race
    measured = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    record = {
        "measured": measured,
        "models": {key: str(cell.model) for key, cell in group.contenders.items()},
        "rounds": group.settings.rounds,
        "threads": group.settings.threads or stable.threads,
        "orders": orders,
    }
    stamp = {"raced": measured, "machine": dict(machine)}
    return Raced({key: [deployment.model_copy(update=stamp)] for key, deployment in deployments.items()}, record)


def is_measured(row: CellResult, machine: Mapping[str, str]) -> bool:
    """Whether a row has been measured, without a fault, on this machine with this torch."""
    return bool(row.deployments) and all(d.error is None and d.machine == dict(machine) for d in row.deployments)


def _measure(group: _Group, stable: _Stable, listener: Listener) -> tuple[dict[str, Deployment], dict[str, list[list[str]]]]:
    contenders, measure = group.contenders, group.settings
    memories: dict[str, Memory] = {}
    errors: dict[str, str] = {}
    lanes: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
    for key, cell in contenders.items():
        listener.on("race", cell.describe(), {"state": "memory"})
        try:
            if measure.memory:
                memories[key] = stable.memory(cell)
            if measure.latency:
                lanes[key] = stable.enter(key, cell)
        except RuntimeError as error:
            errors[key] = str(error)
    latencies: dict[str, list[Latency]] = {key: [] for key in contenders}
    orders = {}
    for batch_size in sorted({1, measure.batch_size}) if measure.latency else ():
        listener.on("race", None, {"state": "latency", "batch_size": batch_size, "contenders": len(lanes)})
        raced = _race_batch(lanes, batch_size, measure.rounds, stable)
        orders[str(batch_size)] = raced.order
        errors |= {key: f"batch {batch_size}: {message}" for key, message in raced.errors.items()}
        for key, latency in raced.latencies.items():
            latencies[key].append(latency)
    deployments = {
        key: Deployment(backend="eager", memory_mb=memories.get(key), latency=latencies[key], error=errors.get(key)) for key in contenders
    }
    return deployments, orders


def _race_batch(lanes: Mapping[str, Callable[[Mapping[str, Any]], Any]], batch_size: int, rounds: int, stable: _Stable) -> Race:
    entered: list[Contender] = []
    errors = {}
    for key, ask in lanes.items():
        try:
            entered.append(stable.contender(key, ask, batch_size))
        except RuntimeError as error:
            errors[key] = str(error)
    raced = race(entered, seed=0, pace=Pace(rounds=rounds))
    raced.errors.update(errors)
    return raced


class _Stable:
    """The contenders' processes (or, inline, objects)."""

    def __init__(self, workers: Workers, store: RunStore, device: str, catalog: Catalog, *, inline: bool) -> None:
        self.workers = workers
        self.store = store
        self.device = device
        self.catalog = catalog
        self.inline = inline
        self.running: dict[str, Worker] = {}

    @property
    def threads(self) -> int:
        """CPU threads of each contender."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def memory(self, cell: Cell) -> Memory:
        """Peak of inference and of a training step, each in a fresh process."""
        if self.inline:
            with _as_runtime_error():
                memory = Memory.model_validate(LocalDeployment(self._job(cell), self.catalog).memory())
            return memory.model_copy(update={"notes": ["training step not measured: execute.where = inline has no process for it"]})
        worker = self._start(cell, "segbench.execute.contender:serve", "memory")
        try:
            memory = Memory.model_validate(_ask(worker, {"do": "memory"}))
        finally:
            worker.end()
        log, job = self._log(cell, "memory"), self._job(cell)
        step = self.workers.run("segbench.execute.training_step:training_step_memory", job, emit=lambda *_: None, log=log)
        if step.error is not None:
            return memory.model_copy(update={"notes": [f"training step not measured: {step.error.message}"]})
        return memory.model_copy(update=step.value)

    def enter(self, key: str, cell: Cell) -> Callable[[Mapping[str, Any]], Any]:
        """Bring a contender to the start; it waits, asleep, until asked."""
        if self.inline:
            with _as_runtime_error():
                deployment = LocalDeployment(self._job(cell), self.catalog)
            return lambda command: deployment.contender(key, command["batch_size"])
        worker = self._start(cell, "segbench.execute.contender:serve", "latency")
        self.running[key] = worker
        return lambda command: _ask(worker, command)

    def contender(self, key: str, ask: Callable[[Mapping[str, Any]], Any], batch_size: int) -> Contender:
        """A contender at one batch size."""
        if self.inline:
            local: Contender = ask({"batch_size": batch_size})
            return local
        return RemoteContender(key, ask, batch_size)

    def close(self) -> None:
        """End all contenders."""
        for worker in self.running.values():
            worker.end()
        self.running.clear()

    def _start(self, cell: Cell, target: str, what: str) -> Worker:
        worker = self.workers.start(target, self._job(cell), log=self._log(cell, what))
        try:
            _receive(worker, "ready")
        except BaseException:
            worker.end()
            raise
        return worker

    def _job(self, cell: Cell) -> dict[str, Any]:
        job = cell_job(cell, root=None, digest="", settings=cell.settings, device=self.device, directory=self.store.directory, stages=())
        return {**job, "threads": cell.settings.measure.threads or self.threads}

    def _log(self, cell: Cell, what: str) -> Path:
        return self.store.directory / "logs" / f"{slug(str(cell.model))}--{what}.log"


@contextlib.contextmanager
def _as_runtime_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # foreign code: it costs this contender only
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _ask(worker: Worker, command: Mapping[str, Any]) -> Any:
    try:
        worker.pipe.send(dict(command))
    except OSError:
        raise RuntimeError(_gone(worker)) from None
    return _receive(worker, "reply").get("value")


def _receive(worker: Worker, expected: str) -> Mapping[str, Any]:
    try:
        if not worker.pipe.poll(_PATIENCE_SECONDS):
            raise RuntimeError(f"its process gave no answer for {_PATIENCE_SECONDS:g} s")
        kind, payload = worker.pipe.recv()
    except (EOFError, OSError):
        raise RuntimeError(_gone(worker)) from None
    if kind != expected:
        raise RuntimeError(str(payload.get("message", kind)))
    answer: Mapping[str, Any] = payload
    return answer


def _gone(worker: Worker) -> str:
    worker.process.join(5)
    return f"its process ended (exit code {worker.process.exitcode})"
