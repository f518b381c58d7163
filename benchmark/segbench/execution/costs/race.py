"""Race the distinct deployed models of a run: their memory, and their latency side by side in shuffled rounds after several starts."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from segbench.config.settings import MeasureSettings
from segbench.execution.costs.contender_process import Observed, Workload
from segbench.execution.costs.pool import ContenderPool, RaceEntry, RaceFiles
from segbench.execution.costs.reference_network import REFERENCE
from segbench.execution.events import LatencyStarted, Listener, MemoryStarted, Note, RaceEnded, RaceStarted
from segbench.execution.plan.cell import Cell, refused_form
from segbench.execution.workers import Workers
from segbench.measure.contender import Contender
from segbench.measure.disturbance import Disturbance, Watch
from segbench.measure.latency import Race, TimingBudget, join_starts, race
from segbench.plugin.registry import Catalog
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.records import (
    CellResult,
    Deployment,
    Latency,
    Memory,
    ModuleLatency,
    RaceContender,
    RaceGroup,
    RaceRecord,
    ReferenceLatency,
    ReferenceRecord,
)
from segbench.results.store import RunStore
from segbench.util.devices import usable_cores
from segbench.util.image_size import Size, format_size, parse_size

_PER_GROUP = ("rounds", "starts", "layout", "threads", "orders")
_REFUSED = "refused"


@dataclass(frozen=True)
class RaceResult:
    """Deployments by the fingerprint of their measurement, and the value of ``race`` in ``run.json``."""

    deployments: dict[str, list[Deployment]]
    record: RaceRecord


@dataclass(frozen=True)
class _GroupResult:
    """Deployments of one group by the fingerprint of their measurement, what is recorded of its race, and of the reference network."""

    deployments: dict[str, list[Deployment]]
    record: RaceGroup
    reference: ReferenceRecord | None


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
) -> RaceResult | None:
    """Measure the models of these cells, each through all of its backends, against each other; None where nothing is missing.

    Where one is missing all are raced again: times taken at another moment cannot be compared with them. Cells whose ``measure``
    settings differ in more than the input size are raced apart. What a row says a backend refuses is not tried again.
    """
    groups = [group for group in _groups(cells, rows) if group.settings.latency or group.settings.memory]
    if all(is_measured(rows[cell.id], machine, cell.backends) for group in groups for cell in group.cells):
        return None
    listener.on(RaceStarted(contenders=sum(len(group.entries) for group in groups)))
    raced = []
    for group in groups:
        pool = ContenderPool(workers, store, device, catalog, inline=cells[0].settings.execute.where == "inline")
        try:
            raced.append(_Measurement(group, pool, listener).run(machine))
        finally:
            pool.close()
    listener.on(RaceEnded())
    return RaceResult({key: value for each in raced for key, value in each.deployments.items()}, _merged_race(raced, groups))


def is_measured(row: CellResult, machine: Mapping[str, str], backends: Sequence[object] = (EAGER,)) -> bool:
    """True where a row has been measured through these backends, without a fault, on this machine with this torch.

    An error with a kind is of another stage; a backend that refused the model counts as done.
    """
    return all(_is_measured(deployment_of(row, str(backend)), machine) for backend in backends)


def _is_measured(deployment: Deployment | None, machine: Mapping[str, str]) -> bool:
    if deployment is None:
        return False
    if deployment.error_kind == _REFUSED:
        return True
    return deployment.machine == dict(machine) and (deployment.error is None or deployment.error_kind is not None)


def rounds_of_starts(settings: MeasureSettings) -> list[int]:
    """Numbers of rounds after each start of the processes, as even as possible.

    >>> rounds_of_starts(MeasureSettings(rounds=10, restart_every=3))
    [3, 3, 2, 2]
    """
    starts = math.ceil(settings.rounds / (settings.restart_every or settings.rounds))
    return [settings.rounds // starts + (start < settings.rounds % starts) for start in range(starts)]


@dataclass(frozen=True)
class _Group:
    """Cells that are raced under the same settings, each at its own input size, and the distinct deployed models among them."""

    settings: MeasureSettings
    cells: tuple[Cell, ...]
    entries: Mapping[str, RaceEntry]

    @property
    def models(self) -> dict[str, Cell]:
        """One cell for each fingerprint of a measurement."""
        models: dict[str, Cell] = {}
        for cell in self.cells:
            models.setdefault(cell.fingerprints["measure"], cell)
        return models

    @property
    def contenders(self) -> dict[str, RaceEntry]:
        """The entries, each followed by its modules that are raced by themselves."""
        return {one.key: one for entry in self.entries.values() for one in (entry, *self.parts(entry))}

    def parts(self, entry: RaceEntry) -> list[RaceEntry]:
        """The modules that are raced by themselves: of eager networks only."""
        return [replace(entry, modules=names) for names in self.settings.race_modules if str(entry.backend) == EAGER]

    @property
    def batch_sizes(self) -> list[int]:
        return sorted({1, self.settings.batch_size, *(self.settings.batch_sizes or ())})

    @property
    def workloads(self) -> list[tuple[Size | None, int]]:
        """Sizes and batches that are raced one after the other; without a size each model runs at its own."""
        own = {cell.measured_size for cell in self.cells}
        further = [size for size in map(parse_size, self.settings.input_sizes or ()) if own != {size}]
        return [(size, batch) for size in (None, *dict.fromkeys(further)) for batch in self.batch_sizes]

    def workloads_of(self, cell: Cell) -> list[Workload]:
        """Sizes and batches at which one cell is raced."""
        return list(dict.fromkeys((size or cell.measured_size, batch) for size, batch in self.workloads))


def _groups(cells: Sequence[Cell], rows: Mapping[str, CellResult]) -> list[_Group]:
    members: dict[MeasureSettings, list[Cell]] = {}
    for cell in cells:
        members.setdefault(cell.settings.measure.model_copy(update={"input_size": None}), []).append(cell)
    return [_Group(settings, tuple(alike), _entries(alike, rows)) for settings, alike in members.items()]


def _entries(cells: Sequence[Cell], rows: Mapping[str, CellResult]) -> dict[str, RaceEntry]:
    """Each model through each backend once, by its key; a cell whose deployment is refused does not stand for its model."""
    entries: dict[str, RaceEntry] = {}
    for cell in cells:
        for backend in cell.backends:
            deployment = deployment_of(rows[cell.id], str(backend))
            if deployment is None or deployment.error_kind != _REFUSED:
                entry = RaceEntry(cell, backend, deployment)
                entries.setdefault(entry.key, entry)
    return entries


def _merged_race(raced: Sequence[_GroupResult], groups: Sequence[_Group]) -> RaceRecord:
    """The record of all groups' races; with one group it has that one's rounds, threads and orders, with several each keeps its own."""
    records = [each.record for each in raced]
    merged = RaceRecord(
        measured=records[-1].measured,
        models={key: model for record in records for key, model in record.models.items()},
        contenders={key: contender for record in records for key, contender in record.contenders.items()},
        anchor=_merged_reference([each.reference for each in raced if each.reference]),
        cells={cell.id: cell.fingerprints["measure"] for group in groups for cell in group.cells},
        load_average=list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        disturbances=list(dict.fromkeys(sentence for record in records for sentence in record.disturbances or ())),
        machine_state=[record.machine_state for record in records if record.machine_state],
        overhead=max((record.overhead for record in records if record.overhead is not None), default=None),
    )
    shared = {name: getattr(records[0], name) for name in _PER_GROUP} if len(records) == 1 else {"groups": records}
    return merged.model_copy(update=shared)


def _merged_reference(records: Sequence[ReferenceRecord]) -> ReferenceRecord | None:
    """The reference network's times in all races; ``raced`` in each of them says in which."""
    if not records:
        return None
    error = next((record.error for record in records if record.error), None)
    return ReferenceRecord(name=REFERENCE, error=error, latency=[timed for record in records for timed in record.latency])


@dataclass
class _Measurement:
    """One group's memory and race."""

    group: _Group
    pool: ContenderPool
    listener: Listener
    memories: dict[str, Memory] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    exported: dict[str, RaceFiles] = field(default_factory=dict)
    timings: dict[str, dict[Workload, list[Latency]]] = field(default_factory=dict)
    idle: dict[str, tuple[float, float]] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    orders: dict[str, list[list[str]]] = field(default_factory=dict)
    races: list[Race] = field(default_factory=list)
    reference_timings: dict[Workload, list[Latency]] = field(default_factory=dict)
    reference_error: str | None = None

    def run(self, machine: Mapping[str, str]) -> _GroupResult:
        """Export all entries, measure their memory and race them."""
        for entry in self.group.entries.values():
            self._prepare(entry)
        self._note_absent_modules()
        disturbance = self._race_all() if self.group.settings.latency else Disturbance()
        # to the millisecond: equal times mean one race
        measured = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        stamp = {"raced": measured, "machine": dict(machine)}
        deployments: dict[str, list[Deployment]] = {}
        for entry in self.group.entries.values():
            of_model = deployments.setdefault(entry.cell.fingerprints["measure"], [])
            of_model.append(self._deployment(entry).model_copy(update=stamp))
        return _GroupResult(deployments, self._record(measured, disturbance), self._reference_record(measured))

    def _prepare(self, entry: RaceEntry) -> None:
        settings, key, spec = self.group.settings, entry.key, entry.backend.spec
        self.listener.on(MemoryStarted(entry.cell.describe(), str(entry.backend)))
        self.exported[key] = RaceFiles({})
        if self.pool.device.partition(":")[0] not in spec.devices:
            self.errors[key] = f"{entry.backend} runs on {' and '.join(spec.devices)}, this run is on {self.pool.device}"
            return
        if reason := refused_form(entry.cell.model, entry.backend):
            self.errors[key] = reason
            return
        workloads = self.group.workloads_of(entry.cell) if settings.latency else [(entry.cell.measured_size, 1)]
        exported = self.exported[key] = self.pool.export(entry, workloads)
        if exported.error is not None:
            self.errors[key] = exported.error
        if spec.export is not None and not exported.files:
            return
        try:
            if settings.memory:
                self.memories[key] = self.pool.memory(entry, exported.files)
            if settings.latency:
                self.pool.enter(entry, exported.files)
                self._enter_parts(entry)
        except RuntimeError as error:
            self.errors[key] = str(error)

    def _enter_parts(self, entry: RaceEntry) -> None:
        for part in self.group.parts(entry):
            try:
                self.pool.enter(part, {})
            except RuntimeError as error:  # most often: this network has no such module
                self.errors[part.key] = _reason(str(error))

    def _note_absent_modules(self) -> None:
        for names in self.group.settings.race_modules if self.group.settings.latency else ():
            parts = [part for part in self.group.contenders.values() if part.modules == names]
            if parts and not any(part.key in self.pool.entered for part in parts):
                reasons = dict.fromkeys(self.errors.get(part.key, "its network could not be raced") for part in parts)
                self.listener.on(Note(None, f"measure.race_modules: {names} is not raced: {'; '.join(reasons)}"))

    def _race_all(self) -> Disturbance:
        if self.group.settings.anchor and self.pool.entered:
            try:
                self.pool.enter_reference(self.group.settings.threads or usable_cores())
            except RuntimeError as error:
                self.reference_error = str(error)
        starts = self.rounds_of_starts
        watch = Watch(self.pool.pids, device=self.pool.device)
        for number, rounds in enumerate(starts):
            if number:
                watch.look()
                self._start_anew()
            before = self.pool.idle_seconds()
            for size, batch_size in self.group.workloads:
                place = (number + 1, len(starts)) if len(starts) > 1 else (None, None)
                self.listener.on(LatencyStarted(batch_size, self._models_entered, format_size(size) if size else None, *place))
                self._race_workload(size, batch_size, TimingBudget(rounds=rounds), seed=number)
            self._count_idle(before)
            self._take_observed()
        contenders = self.group.contenders
        shares = {contenders[key].name: used / max(waited, 1e-9) for key, (used, waited) in self.idle.items()}
        return watch.stop(idle=shares)

    @property
    def _models_entered(self) -> int:
        return sum(key in self.group.entries for key in self.pool.entered)

    @property
    def rounds_of_starts(self) -> list[int]:
        """Numbers of rounds after each start; inline there is one start only."""
        return [self.group.settings.rounds] if self.pool.inline else rounds_of_starts(self.group.settings)

    def _start_anew(self) -> None:
        errors = self.pool.start_anew()
        self.reference_error = errors.pop(REFERENCE, None) or self.reference_error
        self.errors = {key: f"when it was started anew: {message}" for key, message in errors.items()} | self.errors

    def _count_idle(self, before: Mapping[str, tuple[float, float]]) -> None:
        for key, (used, waited) in self.pool.idle_seconds().items():
            if key in before:
                earlier = self.idle.get(key, (0.0, 0.0))
                self.idle[key] = (earlier[0] + used - before[key][0], earlier[1] + waited - before[key][1])

    def _take_observed(self) -> None:
        """Keep what was noticed of the contenders' code, and their threads, after one start."""
        for key in self.pool.entered:
            seen, before = self.pool.observed(key), self.observed.get(key, Observed())
            notes = tuple(dict.fromkeys([*before.notes, *seen.notes]))
            self.observed[key] = Observed(notes, seen.threads if seen.threads is not None else before.threads)

    def _race_workload(self, size: Size | None, batch_size: int, budget: TimingBudget, *, seed: int) -> None:
        """All contenders at one size and batch, after one start; modules by themselves are timed on single images only."""
        contenders: list[Contender] = []
        errors = {}
        entries = self.group.contenders
        for key in [key for key in self.pool.entered if batch_size == 1 or not entries[key].modules]:
            try:
                contenders.append(self.pool.contender(key, (size or entries[key].cell.measured_size, batch_size)))
            except RuntimeError as error:
                errors[key] = str(error)
        reference = self._reference(size, batch_size) if contenders else None
        raced = race([*contenders, *([reference] if reference else [])], seed=seed, budget=budget)
        if reference:
            self._take_reference(raced)
        self.races.append(raced)
        self.orders.setdefault(f"{format_size(size)}/{batch_size}" if size else str(batch_size), []).extend(raced.order)
        where = f"batch {batch_size}" + (f" at {format_size(size)}" if size else "")
        # what comes from a contender's process names its own kind of error already
        messages = {key: _reason(message) for key, message in {**raced.errors, **errors}.items()}
        self.errors |= {key: f"{where}: {message}" for key, message in messages.items() if key not in self.errors}
        for key, latency in raced.latencies.items():
            self.timings.setdefault(key, {}).setdefault((latency.input_size, batch_size), []).append(latency)

    def _complete(self, timings: Mapping[Workload, Sequence[Latency]], threads: int | None = None) -> list[Latency]:
        """The workloads that were timed after every start: rounds of fewer could not be paired with those of the others.

        ``threads`` is the number that was in force, where the contender's own code had set another.
        """
        complete = [join_starts(parts) for parts in timings.values() if len(parts) == len(self.rounds_of_starts)]
        return complete if threads is None else [timing.model_copy(update={"threads": threads}) for timing in complete]

    def _reference(self, size: Size | None, batch_size: int) -> Contender | None:
        """The reference network at the size that is raced; where each model has its own, at the largest of them."""
        own = max((cell.measured_size for cell in self.group.cells), key=lambda each: each[0] * each[1])
        try:
            return self.pool.reference((size or own, batch_size))
        except RuntimeError as error:
            self.reference_error = str(error)
            return None

    def _take_reference(self, raced: Race) -> None:
        """Move the reference network's times from among the models' to its own."""
        if timing := raced.latencies.pop(REFERENCE, None):
            self.reference_timings.setdefault((timing.input_size, timing.batch_size), []).append(timing)
        self.reference_error = raced.errors.pop(REFERENCE, None) or self.reference_error

    def _deployment(self, entry: RaceEntry) -> Deployment:
        key, backend = entry.key, entry.backend
        exported, observed = self.exported[key], self.observed.get(key, Observed())
        return Deployment(
            backend=str(backend),
            precision=backend.spec.precision_of(backend.options),
            version=backend.spec.installed_version(),
            file_mb=exported.file_mb,
            export_seconds=exported.seconds,
            memory_mb=self.memories.get(key),
            latency=self._complete(self.timings.get(key, {}), observed.threads),
            code_notes=list(observed.notes),
            module_latency=[self._module_latency(part) for part in self.group.parts(entry)] if self.group.settings.latency else [],
            error=self.errors.get(key),
        )

    def _module_latency(self, part: RaceEntry) -> ModuleLatency:
        complete = self._complete(self.timings.get(part.key, {}))
        timed = [timing.model_copy(update={"samples_ms": [], "lead_in_ms": []}) for timing in complete]  # the rounds say all here too
        error = self.errors.get(part.key) or (None if timed else "its network could not be raced")
        return ModuleLatency(name=part.modules, latency=timed, error=error)

    def _reference_record(self, measured: str) -> ReferenceRecord | None:
        if not self.reference_timings and self.reference_error is None:
            return None
        # the rounds say all: samples and lead-ins would double the file
        timed = [timing.model_dump(exclude={"samples_ms", "lead_in_ms"}) for timing in self._complete(self.reference_timings)]
        latency = [ReferenceLatency(raced=measured, **timing) for timing in timed]
        return ReferenceRecord(name=REFERENCE, error=self.reference_error, latency=latency)

    def _record(self, measured: str, disturbance: Disturbance) -> RaceGroup:
        seconds = sum(raced.seconds for raced in self.races)
        busy = sum(raced.call_seconds for raced in self.races)
        entries = self.group.contenders.items()
        return RaceGroup(
            measured=measured,
            models={key: str(cell.model) for key, cell in self.group.models.items()},
            contenders={key: _contender_record(entry) for key, entry in entries if key in self.timings or not entry.modules},
            rounds=self.group.settings.rounds,
            starts=len(self.rounds_of_starts),
            layout="as it came" if self.pool.inline else "drawn",
            threads=self.group.settings.threads or usable_cores(),
            orders=self.orders,
            overhead=round(1 - busy / seconds, 4) if seconds > 0 else None,
            disturbances=list(disturbance.sentences),
            machine_state=dict(disturbance.figures),
        )


def _reason(message: str) -> str:
    """A message without the kinds of errors whose sentence says all."""
    return message.removeprefix("RuntimeError: ").removeprefix("SegbenchError: ")


def _contender_record(entry: RaceEntry) -> RaceContender:
    contender = RaceContender(model=str(entry.cell.model), backend=str(entry.backend))
    return contender.model_copy(update={"modules": entry.modules}) if entry.modules else contender
