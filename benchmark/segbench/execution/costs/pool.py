"""Where the contenders of a race live: each in a process of its own, asleep until it is asked (or, inline, objects in this one)."""

from __future__ import annotations

import contextlib
import functools
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.execution.costs.contender_process import BackendModel, RemoteContender, file_key
from segbench.execution.costs.export import export_for_race
from segbench.execution.costs.reference_network import REFERENCE
from segbench.execution.jobs import cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.sources import trains
from segbench.execution.workers import Worker, Workers, describe_error
from segbench.measure.contender import Contender
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec
from segbench.results.records import Deployment, ErrorInfo, Memory
from segbench.results.store import RunStore
from segbench.util.devices import usable_cores
from segbench.util.image_size import Size

# one answer is at most a block of calls, a model's first call, or an export
_PATIENCE_SECONDS = 900.0

Ask = Callable[[Mapping[str, Any]], Any]
Workload = tuple[Size, int]
"""Height and width of the images, and how many of them are in a batch."""


@dataclass(frozen=True)
class RaceEntry:
    """A model through a backend, as it takes part in a race; ``cell`` stands for all cells of that model.

    ``shipped`` is the cell's deployment where its file is there: what was scored is then what is raced.
    """

    cell: Cell
    backend: Chosen[BackendSpec]
    shipped: Deployment | None = None

    @property
    def key(self) -> str:
        return f"{self.cell.fingerprints['measure']}|{self.backend}"

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return str(self.cell.model) if str(self.backend) == "eager" else f"{self.cell.model} ({self.backend})"


@dataclass(frozen=True)
class RaceFiles:
    """Files by size and batch, what the first of them cost, and why others are missing."""

    files: Mapping[str, str]
    seconds: float | None = None
    file_mb: float | None = None
    error: str | None = None


class ContenderPool:
    """The contenders' processes."""

    def __init__(self, workers: Workers, store: RunStore, device: str, catalog: Catalog, *, inline: bool) -> None:
        self.workers = workers
        self.store = store
        self.device = device
        self.catalog = catalog
        self.inline = inline
        self.running: dict[str, Worker] = {}
        self._asks: dict[str, Ask] = {}
        self._entrants: dict[str, tuple[RaceEntry, Mapping[str, str]]] = {}
        self._shuffler = random.Random(0)
        self._anchor_threads: int | None = None
        self._anchor: Worker | None = None
        self._ask_anchor: Ask | None = None
        self._exports = store.directory / "exports-for-race"

    def pids(self) -> list[int]:
        """The contenders' processes."""
        return [worker.process.pid for worker in self._workers()]

    def export(self, entrant: RaceEntry, courses: Sequence[Workload]) -> RaceFiles:
        """Write a backend's files, each in a process of its own; stops at the first that fails."""
        if entrant.backend.spec.export is None:
            return RaceFiles({})
        files: dict[str, str] = {}
        first: Mapping[str, Any] = {}
        for size, batch_size in courses:
            shipped = self._shipped(entrant, size, batch_size)
            if shipped is not None:
                first = first or {"seconds": shipped.export_seconds, "file_mb": shipped.file_mb}
                files[file_key(size, batch_size)] = str(self.store.directory / str(shipped.artifact))
                continue
            folder = self._exports / slug(entrant.key) / file_key(size, batch_size)
            shutil.rmtree(folder, ignore_errors=True)
            job = {**self._job(entrant), "size": list(size), "batch_size": batch_size, "folder": str(folder)}
            written, error = self._run_export(entrant, job)
            if error is not None:
                message = " ".join(part for part in (error.message, error.advice) if part)
                return RaceFiles(files, first.get("seconds"), first.get("file_mb"), f"export at batch {batch_size}: {message}")
            first = first or written
            files[file_key(size, batch_size)] = written["path"]
        return RaceFiles(files, first["seconds"], first["file_mb"])

    def _shipped(self, entrant: RaceEntry, size: Size, batch_size: int) -> Deployment | None:
        """The cell's own file, where it was exported for this size and batch and is still there."""
        form = entrant.shipped
        if form is None or form.artifact is None or form.fixed_size != tuple(size) or batch_size != 1:
            return None
        return form if (self.store.directory / form.artifact).exists() else None

    def memory(self, entrant: RaceEntry, files: Mapping[str, str]) -> Memory:
        """Peak of inference and, for the network as it was trained, of a training step, each in a fresh process."""
        if self.inline:
            with _as_runtime_error():
                memory = Memory.model_validate(BackendModel(self._job(entrant, files), self.catalog).memory())
            return memory.model_copy(update={"notes": ["training step not measured: execute.where = inline has no process for it"]})
        worker = self._start(entrant, files, "memory")
        try:
            memory = Memory.model_validate(ask(worker, {"do": "memory"}))
        finally:
            worker.end()
        if entrant.backend.spec.build is None:
            return memory.model_copy(update={"notes": ["its process holds PyTorch too, which the file itself does not need"]})
        return self._with_training_step(memory, entrant) if str(entrant.backend) == "eager" else memory

    def enter(self, entrant: RaceEntry, files: Mapping[str, str]) -> None:
        """Bring a contender to the start; it waits, asleep, until asked."""
        if self.inline:
            with _as_runtime_error():
                deployment = BackendModel(self._job(entrant, files), self.catalog)
            self._asks[entrant.key] = lambda command: deployment.contender(entrant.key, command["size"], command["batch_size"])
            return
        worker = self._start(entrant, files, "latency")
        self._entrants[entrant.key] = (entrant, files)
        self.running[entrant.key] = worker
        self._asks[entrant.key] = functools.partial(ask, worker)

    def start_anew(self) -> dict[str, str]:
        """End every contender's process and start another in its place; by key, why one did not get back to the start.

        They start, and are entered, in an order drawn anew: who comes first finds the memory emptier.
        """
        for worker in self._workers():
            worker.end()
        errors = {}
        entrants = list(self._entrants.items())
        self._shuffler.shuffle(entrants)
        self.running, self._asks = {}, {}
        for key, (entrant, files) in entrants:
            self.running[key] = worker = self._launch(entrant, files, "latency")
            self._asks[key] = functools.partial(ask, worker)
        for key, worker in self.running.items():  # they get ready side by side: nothing is timed meanwhile
            try:
                receive(worker, "ready")
            except RuntimeError as error:
                worker.end()
                errors[key] = str(error)
        if self._anchor_threads is not None:
            try:
                self.enter_anchor(self._anchor_threads)
            except RuntimeError as error:
                errors[REFERENCE] = str(error)
        return errors

    def enter_anchor(self, threads: int) -> None:
        """Bring the reference network to the start, which every race includes. Raises :class:`RuntimeError` where it does not get there."""
        if self.inline:
            from segbench.execution.costs.reference_network import AnchorDeployment

            with _as_runtime_error():
                deployment = AnchorDeployment(device=self.device, threads=threads)
            self._ask_anchor = lambda command: deployment.contender(command["name"], command["size"], command["batch_size"])
            return
        job = {"device": self.device, "threads": threads}
        self._anchor_threads = threads
        self._anchor = worker = self.workers.start(
            "segbench.execution.costs.reference_network:serve", job, log=self.store.directory / "logs" / "anchor.log"
        )
        receive(worker, "ready")
        self._ask_anchor = lambda command: ask(worker, command)

    def anchor(self, name: str, course: Workload) -> Contender | None:
        """The reference network at one size and batch; None where it was not entered."""
        if self._ask_anchor is None:
            return None
        if self.inline:
            local: Contender = self._ask_anchor({"name": name, "size": course[0], "batch_size": course[1]})
            return local
        return RemoteContender(name, self._ask_anchor, *course)

    @property
    def entered(self) -> list[str]:
        """Keys of those that have been brought to the start."""
        return list(self._asks)

    def contender(self, key: str, course: Workload) -> Contender:
        """A contender at one size and batch. Raises :class:`RuntimeError` where it cannot be run there."""
        size, batch_size = course
        if self.inline:
            with _as_runtime_error():
                local: Contender = self._asks[key]({"size": size, "batch_size": batch_size})
            return local
        return RemoteContender(key, self._asks[key], size, batch_size)

    def idle_seconds(self) -> dict[str, tuple[float, float]]:
        """CPU and wall seconds that each contender has waited for its turn so far."""
        found = {}
        for key in self.running:
            with contextlib.suppress(RuntimeError):
                used, waited = self._asks[key]({"do": "idle"})
                found[key] = (used, waited)
        return found

    def close(self) -> None:
        """End all contenders and remove what was exported for them."""
        for worker in self._workers():
            worker.end()
        self.running.clear()
        self._asks.clear()
        self._entrants.clear()
        self._anchor = self._ask_anchor = self._anchor_threads = None
        shutil.rmtree(self._exports, ignore_errors=True)

    def _workers(self) -> list[Worker]:
        return [*self.running.values(), *([self._anchor] if self._anchor else [])]

    def _with_training_step(self, memory: Memory, entrant: RaceEntry) -> Memory:
        if not trains(entrant.cell.model):
            return memory.model_copy(update={"notes": ["no training step: it is put together of trained models"]})
        step = self.workers.run(
            "segbench.execution.costs.training_step:training_step_memory",
            self._job(entrant),
            emit=lambda *_: None,
            log=self._log(entrant, "memory"),
        )
        if step.error is not None:
            return memory.model_copy(update={"notes": [f"training step not measured: {step.error.message}"]})
        return memory.model_copy(update=step.value)

    def _run_export(self, entrant: RaceEntry, job: Mapping[str, Any]) -> tuple[Mapping[str, Any], ErrorInfo | None]:
        if self.inline:
            try:
                return export_for_race(job, lambda *_: None, self.catalog), None
            except (Exception, SystemExit) as error:  # foreign code: it costs this contender only
                return {}, describe_error(error)
        outcome = self.workers.run(
            "segbench.execution.costs.export:export_for_race",
            job,
            emit=lambda *_: None,
            log=self._log(entrant, "export"),
            timeout=_PATIENCE_SECONDS,
        )
        return outcome.value or {}, outcome.error

    def _start(self, entrant: RaceEntry, files: Mapping[str, str], what: str) -> Worker:
        worker = self._launch(entrant, files, what)
        try:
            receive(worker, "ready")
        except BaseException:
            worker.end()
            raise
        return worker

    def _launch(self, entrant: RaceEntry, files: Mapping[str, str], what: str) -> Worker:
        job = {**self._job(entrant, files), "scatter": what == "latency"}
        return self.workers.start("segbench.execution.costs.contender_process:serve", job, log=self._log(entrant, what))

    def _job(self, entrant: RaceEntry, files: Mapping[str, str] | None = None) -> dict[str, Any]:
        cell = entrant.cell
        job = cell_job(cell, root=None, digest="", settings=cell.settings, device=self.device, directory=self.store.directory, stages=())
        return {
            **job,
            "threads": cell.settings.measure.threads or usable_cores(),
            "backend": str(entrant.backend),
            "files": dict(files or {}),
        }

    def _log(self, entrant: RaceEntry, what: str) -> Path:
        return self.store.directory / "logs" / f"{slug(entrant.name)}--{what}.log"


@contextlib.contextmanager
def _as_runtime_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # foreign code: it costs this contender only
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def ask(worker: Worker, command: Mapping[str, Any]) -> Any:
    """What a contender's process answers to a command. Raises :class:`RuntimeError` where it fails or does not answer."""
    try:
        worker.pipe.send(dict(command))
    except OSError:
        raise RuntimeError(_gone(worker)) from None
    return receive(worker, "reply").get("value")


def receive(worker: Worker, expected: str) -> Mapping[str, Any]:
    """The next word of a contender's process; raises :class:`RuntimeError` where it is another one, or none comes."""
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
    code = worker.process.exitcode
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return f"its process ended ({how})"
