"""ContenderPool: one process per contender of a race, started, asked and restarted; inline, objects in this process."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.execution.costs.contender_process import BackendModel, Command, Observed, RemoteContender, Workload, contender_model, file_key
from segbench.execution.costs.export import export_for_race
from segbench.execution.costs.reference_network import REFERENCE, ReferenceModel
from segbench.execution.events import Fields
from segbench.execution.jobs import CellJob, ContenderJob, CostJob, RaceExportJob, RaceFile, ReferenceJob, StepMemory, cell_job
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.sources import why_untrained
from segbench.execution.workers import Outcome, Worker, Workers, describe_error
from segbench.measure.contender import Contender
from segbench.measure.memory import join_processes, processes_needed
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec
from segbench.results.records import Deployment, Memory
from segbench.results.store import RunStore
from segbench.util.devices import usable_cores
from segbench.util.image_size import Size

# one answer is at most a block of calls, a model's first call, or an export
_PATIENCE_SECONDS = 900.0

AtWorkload = Callable[[Workload], Contender]
"""Gives a contender at one size and batch. Raises :class:`RuntimeError` where it cannot be run there."""


@dataclass(frozen=True)
class RaceEntry:
    """A model through a backend, to be raced; ``cell`` stands for all cells of that model.

    ``shipped`` is the cell's deployment: the file that was scored is the file that is raced, as long as it exists. With ``modules``,
    an entry of ``measure.race_modules``, only these are raced.
    """

    cell: Cell
    backend: Chosen[BackendSpec]
    shipped: Deployment | None = None
    modules: str = ""

    @property
    def key(self) -> str:
        return "|".join((self.cell.fingerprints["measure"], str(self.backend), *([self.modules] if self.modules else [])))

    @property
    def name(self) -> str:
        """Model and, where it is not eager, backend, for messages and log files; or a model's modules."""
        if self.modules:
            return f"{self.modules} of {self.cell.model.short_name}"
        name = self.cell.model.short_name
        return name if str(self.backend) == "eager" else f"{name} ({self.backend})"


@dataclass(frozen=True)
class RaceFiles:
    """Exported files by size and batch, seconds and size of the first of them, and the reason why others are missing."""

    files: Mapping[str, Path]
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
        self._contenders: dict[str, AtWorkload] = {}
        self._models: dict[str, BackendModel] = {}
        self._entries: dict[str, tuple[RaceEntry, Mapping[str, Path]]] = {}
        self._shuffler = random.Random(0)
        self._reference_threads: int | None = None
        self._reference_worker: Worker | None = None
        self._reference: AtWorkload | None = None
        self._exports = store.directory / "exports-for-race"

    def pids(self) -> list[int]:
        """The contenders' processes."""
        return [worker.process.pid for worker in self._workers()]

    def export(self, entry: RaceEntry, workloads: Sequence[Workload]) -> RaceFiles:
        """Write a backend's files, each in a process of its own; stops at the first that fails."""
        if entry.backend.spec.export is None:
            return RaceFiles({})
        files: dict[str, Path] = {}
        seconds, file_mb = None, None
        for size, batch_size in workloads:
            shipped = self._shipped(entry, size, batch_size)
            if shipped is not None:
                written_seconds, written_mb = shipped.export_seconds, shipped.file_mb
                path = self.store.directory / str(shipped.artifact)
            else:
                written, error = self._export_one(entry, size, batch_size)
                if written is None:
                    return RaceFiles(files, seconds, file_mb, f"export at batch {batch_size}: {error}")
                written_seconds, written_mb, path = written.seconds, written.file_mb, written.path
            if not files:
                seconds, file_mb = written_seconds, written_mb
            files[file_key(size, batch_size)] = path
        return RaceFiles(files, seconds, file_mb)

    def _shipped(self, entry: RaceEntry, size: Size, batch_size: int) -> Deployment | None:
        """The cell's own deployment, where its file was exported for this size and batch and still exists."""
        deployment = entry.shipped
        if deployment is None or deployment.artifact is None or deployment.fixed_size != tuple(size) or batch_size != 1:
            return None
        return deployment if (self.store.directory / deployment.artifact).exists() else None

    def _export_one(self, entry: RaceEntry, size: Size, batch_size: int) -> tuple[RaceFile | None, str]:
        """The file, or None and the reason."""
        folder = self._exports / slug(entry.key) / file_key(size, batch_size)
        shutil.rmtree(folder, ignore_errors=True)
        job = RaceExportJob(
            cell=self._cell_job(entry),
            threads=_threads(entry),
            backend=str(entry.backend),
            size=size,
            batch_size=batch_size,
            folder=folder,
        )
        outcome = self._run_export(entry, job)
        if outcome.error is not None:
            return None, " ".join(part for part in (outcome.error.message, outcome.error.advice) if part)
        return outcome.value, ""

    def memory(self, entry: RaceEntry, files: Mapping[str, Path]) -> Memory:
        """Peak of inference in several fresh processes and, for the network as it was trained, of a training step in another."""
        if self.inline:
            with _as_runtime_error():
                inference = join_processes([BackendModel(self._contender_job(entry, files), self.catalog).memory()])
            return inference.model_copy(update={"notes": ["training step not measured: execute.where = inline has no process for it"]})
        parts = [self._memory_of_process(entry, files)]
        while len(parts) < processes_needed(self.device, parts[0]):
            parts.append(self._memory_of_process(entry, files))
        memory = join_processes(parts)
        if entry.backend.spec.build is None:
            return memory.model_copy(update={"notes": ["its process holds PyTorch too, which the file itself does not need"]})
        return self._with_training_step(memory, entry) if str(entry.backend) == "eager" else memory

    def _memory_of_process(self, entry: RaceEntry, files: Mapping[str, Path]) -> Memory:
        """Peak of inference in one process, started anew with its memory laid out by chance."""
        worker = self._start(entry, files, "memory")
        try:
            memory: Memory = ask(worker, Command("memory"))
        finally:
            worker.end()
        return memory

    def enter(self, entry: RaceEntry, files: Mapping[str, Path]) -> None:
        """Start a contender's process; it sleeps until it is asked."""
        if self.inline:
            with _as_runtime_error():
                model = contender_model(self._contender_job(entry, files), self.catalog)
            self._models[entry.key] = model
            self._contenders[entry.key] = lambda workload: _inline(model, entry.key, workload)
            return
        worker = self._start(entry, files, "latency")
        self._entries[entry.key] = (entry, files)
        self._take_in(entry.key, worker)

    def start_anew(self) -> dict[str, str]:
        """End every contender's process and start another in its place; by key, the reason why one could not be started.

        They start, and are entered, in an order drawn anew: the first one has the most free memory.
        """
        for worker in self._workers():
            worker.end()
        errors = {}
        entries = list(self._entries.items())
        self._shuffler.shuffle(entries)
        self.running, self._contenders = {}, {}
        for key, (entry, files) in entries:
            self._take_in(key, self._launch(entry, files, "latency"))
        for key, worker in self.running.items():  # they get ready side by side: nothing is timed meanwhile
            try:
                receive(worker, "ready")
            except RuntimeError as error:
                worker.end()
                errors[key] = str(error)
        if self._reference_threads is not None:
            try:
                self.enter_reference(self._reference_threads)
            except RuntimeError as error:
                errors[REFERENCE] = str(error)
        return errors

    def enter_reference(self, threads: int) -> None:
        """Start the process of the reference network, which every race includes. Raises :class:`RuntimeError` where it does not start."""
        if self.inline:
            with _as_runtime_error():
                model = ReferenceModel(device=self.device, threads=threads)
            self._reference = lambda workload: model.contender(REFERENCE, *workload)
            return
        self._reference_threads = threads
        self._reference_worker = worker = self.workers.start(
            "segbench.execution.costs.reference_network:serve",
            ReferenceJob(device=self.device, threads=threads),
            log=self.store.directory / "logs" / "anchor.log",
        )
        receive(worker, "ready")
        self._reference = _remote(REFERENCE, worker)

    def reference(self, workload: Workload) -> Contender | None:
        """The reference network at one size and batch; None where it was not entered."""
        return self._reference(workload) if self._reference is not None else None

    @property
    def entered(self) -> list[str]:
        """Keys of the contenders that have been started."""
        return list(self._contenders)

    def contender(self, key: str, workload: Workload) -> Contender:
        """A contender at one size and batch. Raises :class:`RuntimeError` where it cannot be run there."""
        return self._contenders[key](workload)

    def idle_seconds(self) -> dict[str, tuple[float, float]]:
        """CPU and wall seconds that each contender has waited for its turn so far."""
        seconds = {}
        for key, worker in self.running.items():
            with contextlib.suppress(RuntimeError):
                seconds[key] = ask(worker, Command("idle"))
        return seconds

    def observed(self, key: str) -> Observed:
        """What was noticed of a contender's code so far; nothing where its process has ended."""
        if key in self._models:
            return self._models[key].observed()
        with contextlib.suppress(RuntimeError):
            observed: Observed = ask(self.running[key], Command("observed"))
            return observed
        return Observed()

    def close(self) -> None:
        """End all contenders and remove what was exported for them."""
        for worker in self._workers():
            worker.end()
        self.running.clear()
        self._contenders.clear()
        self._models.clear()
        self._entries.clear()
        self._reference_worker = self._reference = self._reference_threads = None
        shutil.rmtree(self._exports, ignore_errors=True)

    def _take_in(self, key: str, worker: Worker) -> None:
        self.running[key] = worker
        self._contenders[key] = _remote(key, worker)

    def _workers(self) -> list[Worker]:
        return [*self.running.values(), *([self._reference_worker] if self._reference_worker else [])]

    def _with_training_step(self, memory: Memory, entry: RaceEntry) -> Memory:
        if untrained := why_untrained(entry.cell.model):
            return memory.model_copy(update={"notes": [f"no training step: {untrained}"]})
        outcome = self.workers.run(
            "segbench.execution.costs.training_step:training_step_memory",
            CostJob(cell=self._cell_job(entry), threads=_threads(entry)),
            emit=lambda *_: None,
            log=self._log(entry, "memory"),
        )
        if outcome.error is not None:
            return memory.model_copy(update={"notes": [f"training step not measured: {outcome.error.message}"]})
        step: StepMemory = outcome.value
        return memory.model_copy(update=asdict(step))

    def _run_export(self, entry: RaceEntry, job: RaceExportJob) -> Outcome:
        if self.inline:
            try:
                return Outcome(value=export_for_race(job, lambda *_: None, self.catalog))
            except (Exception, SystemExit) as error:  # foreign code: only this contender may fail
                return Outcome(error=describe_error(error))
        return self.workers.run(
            "segbench.execution.costs.export:export_for_race",
            job,
            emit=lambda *_: None,
            log=self._log(entry, "export"),
            timeout=_PATIENCE_SECONDS,
        )

    def _start(self, entry: RaceEntry, files: Mapping[str, Path], purpose: str) -> Worker:
        worker = self._launch(entry, files, purpose)
        try:
            receive(worker, "ready")
        except BaseException:
            worker.end()
            raise
        return worker

    def _launch(self, entry: RaceEntry, files: Mapping[str, Path], purpose: str) -> Worker:
        job = self._contender_job(entry, files, randomised_layout=True)
        return self.workers.start("segbench.execution.costs.contender_process:serve", job, log=self._log(entry, purpose))

    def _contender_job(self, entry: RaceEntry, files: Mapping[str, Path], *, randomised_layout: bool = False) -> ContenderJob:
        return ContenderJob(
            cell=self._cell_job(entry),
            threads=_threads(entry),
            backend=str(entry.backend),
            files=dict(files),
            modules=entry.modules,
            randomised_layout=randomised_layout,
        )

    def _cell_job(self, entry: RaceEntry) -> CellJob:
        settings, directory = entry.cell.settings, self.store.directory
        return cell_job(entry.cell, root=None, digest="", settings=settings, device=self.device, directory=directory, stages=())

    def _log(self, entry: RaceEntry, purpose: str) -> Path:
        return self.store.directory / "logs" / f"{slug(entry.name)}--{purpose}.log"


def _threads(entry: RaceEntry) -> int:
    return entry.cell.settings.measure.threads or usable_cores()


def _remote(name: str, worker: Worker) -> AtWorkload:
    return lambda workload: RemoteContender(name, lambda command: ask(worker, command), *workload)


def _inline(model: BackendModel, name: str, workload: Workload) -> Contender:
    with _as_runtime_error():
        return model.contender(name, *workload)


@contextlib.contextmanager
def _as_runtime_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # foreign code: only this contender may fail
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def ask(worker: Worker, command: Command) -> Any:
    """The answer of a contender's process to a command. Raises :class:`RuntimeError` where it fails or does not answer."""
    try:
        worker.pipe.send(command)
    except OSError:
        raise RuntimeError(_gone(worker)) from None
    return receive(worker, "reply").get("value")


def receive(worker: Worker, expected: str) -> Fields:
    """The next message of a contender's process. Raises :class:`RuntimeError` where it is another one, or none comes."""
    try:
        if not worker.pipe.poll(_PATIENCE_SECONDS):
            raise RuntimeError(f"its process gave no answer for {_PATIENCE_SECONDS:g} s")
        kind, payload = worker.pipe.recv()
    except (EOFError, OSError):
        raise RuntimeError(_gone(worker)) from None
    if kind != expected:
        raise RuntimeError(str(payload.get("message", kind)))
    message: Fields = payload
    return message


def _gone(worker: Worker) -> str:
    worker.process.join(5)
    code = worker.process.exitcode
    end = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return f"its process ended ({end})"
