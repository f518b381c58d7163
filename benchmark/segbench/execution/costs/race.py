"""Cost of every distinct deployed model of a run: memory, and latency measured side by side in interleaved rounds."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segbench.config.settings import MeasureSettings
from segbench.execution.costs.pool import ContenderPool, RaceEntry, RaceFiles, Workload
from segbench.execution.costs.reference_network import REFERENCE
from segbench.execution.events import Listener
from segbench.execution.plan.cell import Cell
from segbench.execution.workers import Workers
from segbench.measure.contender import Contender
from segbench.measure.disturbance import Disturbance, Watch
from segbench.measure.latency import Race, TimingBudget, joined, race
from segbench.plugin.registry import Catalog
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.records import (
    CellResult,
    Deployment,
    Latency,
    Memory,
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
class Raced:
    """Deployments by the fingerprint of their measurement, and the record that stands in ``run.json`` as ``race``."""

    deployments: dict[str, list[Deployment]]
    record: RaceRecord


@dataclass(frozen=True)
class _RacedGroup:
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
) -> Raced | None:
    """Measure the models of these cells, each through all of its backends, against each other; None where nothing is missing.

    Where one is missing all are raced again: times taken at another moment cannot be compared with them. Cells whose ``measure``
    settings differ in more than the input size are raced apart. What a row says a backend refuses is not tried again.
    """
    groups = [group for group in _groups(cells, rows) if group.settings.latency or group.settings.memory]
    if all(is_measured(rows[cell.id], machine, cell.backends) for group in groups for cell in group.cells):
        return None
    listener.on("race", None, {"state": "start", "contenders": sum(len(group.entrants) for group in groups)})
    raced = []
    for group in groups:
        stable = ContenderPool(workers, store, device, catalog, inline=cells[0].settings.execute.where == "inline")
        try:
            raced.append(_Measurement(group, stable, listener).run(machine))
        finally:
            stable.close()
    listener.on("race", None, {"state": "end"})
    return Raced({key: value for each in raced for key, value in each.deployments.items()}, _whole_race(raced, groups))


def is_measured(row: CellResult, machine: Mapping[str, str], backends: Sequence[object] = (EAGER,)) -> bool:
    """Whether a row has been measured through these backends, without a fault, on this machine with this torch.

    An error with a kind is of another stage; a backend that refused the model counts as done.
    """
    return all(_is_measured(deployment_of(row, str(backend)), machine) for backend in backends)


def _is_measured(form: Deployment | None, machine: Mapping[str, str]) -> bool:
    if form is None:
        return False
    if form.error_kind == _REFUSED:
        return True
    return form.machine == dict(machine) and (form.error is None or form.error_kind is not None)


def rounds_of_starts(settings: MeasureSettings) -> list[int]:
    """How many rounds are run after each start of the processes, as evenly as can be.

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
    entrants: Mapping[str, RaceEntry]

    @property
    def models(self) -> dict[str, Cell]:
        """One cell for each fingerprint of a measurement."""
        found: dict[str, Cell] = {}
        for cell in self.cells:
            found.setdefault(cell.fingerprints["measure"], cell)
        return found

    @property
    def batch_sizes(self) -> list[int]:
        return sorted({1, self.settings.batch_size, *(self.settings.batch_sizes or ())})

    @property
    def legs(self) -> list[tuple[Size | None, int]]:
        """Sizes and batches that are raced one after the other; without a size each model runs at its own."""
        own = {cell.measured_size for cell in self.cells}
        further = [size for size in map(parse_size, self.settings.input_sizes or ()) if own != {size}]
        return [(size, batch) for size in (None, *dict.fromkeys(further)) for batch in self.batch_sizes]

    def courses(self, cell: Cell) -> list[Workload]:
        """Sizes and batches at which one cell is raced."""
        return list(dict.fromkeys((size or cell.measured_size, batch) for size, batch in self.legs))


def _groups(cells: Sequence[Cell], rows: Mapping[str, CellResult]) -> list[_Group]:
    found: dict[MeasureSettings, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.settings.measure.model_copy(update={"input_size": None}), []).append(cell)
    return [_Group(settings, tuple(members), _entrants(members, rows)) for settings, members in found.items()]


def _entrants(cells: Sequence[Cell], rows: Mapping[str, CellResult]) -> dict[str, RaceEntry]:
    """Each model through each backend once, by its key; a cell whose form is refused does not stand for its model."""
    found: dict[str, RaceEntry] = {}
    for cell in cells:
        for backend in cell.backends:
            form = deployment_of(rows[cell.id], str(backend))
            if form is None or form.error_kind != _REFUSED:
                entrant = RaceEntry(cell, backend, form)
                found.setdefault(entrant.key, entrant)
    return found


def _whole_race(raced: Sequence[_RacedGroup], groups: Sequence[_Group]) -> RaceRecord:
    """One race has one number of rounds, threads and orders; several keep their own."""
    records = [each.record for each in raced]
    whole = RaceRecord(
        measured=records[-1].measured,
        models={key: model for record in records for key, model in record.models.items()},
        contenders={key: contender for record in records for key, contender in record.contenders.items()},
        anchor=_whole_reference([each.reference for each in raced if each.reference]),
        cells={cell.id: cell.fingerprints["measure"] for group in groups for cell in group.cells},
        load_average=list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        disturbances=list(dict.fromkeys(sentence for record in records for sentence in record.disturbances or ())),
        machine_state=[record.machine_state for record in records if record.machine_state],
        overhead=max((record.overhead for record in records if record.overhead is not None), default=None),
    )
    shared = {name: getattr(records[0], name) for name in _PER_GROUP} if len(records) == 1 else {"groups": records}
    return whole.model_copy(update=shared)


def _whole_reference(records: Sequence[ReferenceRecord]) -> ReferenceRecord | None:
    """The reference network's times in all races; ``raced`` in each of them says in which."""
    if not records:
        return None
    error = next((record.error for record in records if record.error), None)
    return ReferenceRecord(name=REFERENCE, error=error, latency=[timed for record in records for timed in record.latency])


@dataclass
class _Measurement:
    """One group's memory and race."""

    group: _Group
    stable: ContenderPool
    listener: Listener
    memories: dict[str, Memory] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    exported: dict[str, RaceFiles] = field(default_factory=dict)
    latencies: dict[str, dict[Workload, list[Latency]]] = field(default_factory=dict)
    idle: dict[str, tuple[float, float]] = field(default_factory=dict)
    orders: dict[str, list[list[str]]] = field(default_factory=dict)
    races: list[Race] = field(default_factory=list)
    anchored: dict[Workload, list[Latency]] = field(default_factory=dict)
    anchor_error: str | None = None

    def run(self, machine: Mapping[str, str]) -> _RacedGroup:
        """Export, weigh and race all entrants; the record has what happened besides."""
        for entrant in self.group.entrants.values():
            self._prepare(entrant)
        disturbance = self._race_all() if self.group.settings.latency else Disturbance()
        # to the millisecond: equal times mean one race
        measured = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        stamp = {"raced": measured, "machine": dict(machine)}
        deployments: dict[str, list[Deployment]] = {}
        for entrant in self.group.entrants.values():
            found = deployments.setdefault(entrant.cell.fingerprints["measure"], [])
            found.append(self._deployment(entrant).model_copy(update=stamp))
        return _RacedGroup(deployments, self._record(measured, disturbance), self._reference_record(measured))

    def _prepare(self, entrant: RaceEntry) -> None:
        settings, key, spec = self.group.settings, entrant.key, entrant.backend.spec
        self.listener.on("race", entrant.cell.describe(), {"state": "memory", "backend": str(entrant.backend)})
        self.exported[key] = RaceFiles({})
        if self.stable.device.partition(":")[0] not in spec.devices:
            self.errors[key] = f"{entrant.backend} runs on {' and '.join(spec.devices)}, this run is on {self.stable.device}"
            return
        courses = self.group.courses(entrant.cell) if settings.latency else [(entrant.cell.measured_size, 1)]
        exported = self.exported[key] = self.stable.export(entrant, courses)
        if exported.error is not None:
            self.errors[key] = exported.error
        if spec.export is not None and not exported.files:
            return
        try:
            if settings.memory:
                self.memories[key] = self.stable.memory(entrant, exported.files)
            if settings.latency:
                self.stable.enter(entrant, exported.files)
        except RuntimeError as error:
            self.errors[key] = str(error)

    def _race_all(self) -> Disturbance:
        if self.group.settings.anchor and self.stable.entered:
            try:
                self.stable.enter_anchor(self.group.settings.threads or usable_cores())
            except RuntimeError as error:
                self.anchor_error = str(error)
        starts = self.rounds_of_starts
        watch = Watch(self.stable.pids, device=self.stable.device)
        for number, rounds in enumerate(starts):
            if number:
                watch.look()
                self._start_anew()
            before = self.stable.idle_seconds()
            for size, batch_size in self.group.legs:
                shown = {"state": "latency", "batch_size": batch_size, "contenders": len(self.stable.entered)}
                told = {"start": number + 1, "starts": len(starts)} if len(starts) > 1 else {}
                self.listener.on("race", None, {**shown, **told, "input_size": format_size(size) if size else None})
                self._race_leg(size, batch_size, TimingBudget(rounds=rounds), seed=number)
            self._count_idle(before)
        shares = {self.group.entrants[key].name: used / max(waited, 1e-9) for key, (used, waited) in self.idle.items()}
        return watch.stop(idle=shares)

    @property
    def rounds_of_starts(self) -> list[int]:
        """In this process there is nothing to start anew."""
        return [self.group.settings.rounds] if self.stable.inline else rounds_of_starts(self.group.settings)

    def _start_anew(self) -> None:
        errors = self.stable.start_anew()
        self.anchor_error = errors.pop(REFERENCE, None) or self.anchor_error
        self.errors = {key: f"when it was started anew: {message}" for key, message in errors.items()} | self.errors

    def _count_idle(self, before: Mapping[str, tuple[float, float]]) -> None:
        for key, (used, waited) in self.stable.idle_seconds().items():
            if key in before:
                earlier = self.idle.get(key, (0.0, 0.0))
                self.idle[key] = (earlier[0] + used - before[key][0], earlier[1] + waited - before[key][1])

    def _race_leg(self, size: Size | None, batch_size: int, pace: TimingBudget, *, seed: int) -> None:
        """All contenders at one size and batch, after one start."""
        contenders: list[Contender] = []
        errors = {}
        for key in self.stable.entered:
            try:
                contenders.append(self.stable.contender(key, (size or self.group.entrants[key].cell.measured_size, batch_size)))
            except RuntimeError as error:
                errors[key] = str(error)
        anchor = self._anchor(size, batch_size) if contenders else None
        raced = race([*contenders, *([anchor] if anchor else [])], seed=seed, pace=pace)
        if anchor:
            self._keep_anchor(raced)
        self.races.append(raced)
        self.orders.setdefault(f"{format_size(size)}/{batch_size}" if size else str(batch_size), []).extend(raced.order)
        where = f"batch {batch_size}" + (f" at {format_size(size)}" if size else "")
        # what comes from a contender's process names its own kind of error already
        told = {key: message.removeprefix("RuntimeError: ") for key, message in {**raced.errors, **errors}.items()}
        self.errors |= {key: f"{where}: {message}" for key, message in told.items() if key not in self.errors}
        for key, latency in raced.latencies.items():
            self.latencies.setdefault(key, {}).setdefault((latency.input_size, batch_size), []).append(latency)

    def _whole(self, courses: Mapping[Workload, Sequence[Latency]]) -> list[Latency]:
        """Every course that was run after every start: rounds of fewer could not be paired with those of the others."""
        return [joined(parts) for parts in courses.values() if len(parts) == len(self.rounds_of_starts)]

    def _anchor(self, size: Size | None, batch_size: int) -> Contender | None:
        """The reference network at the size that is raced; where each model has its own, at the largest of them."""
        own = max((cell.measured_size for cell in self.group.cells), key=lambda each: each[0] * each[1])
        try:
            return self.stable.anchor(REFERENCE, (size or own, batch_size))
        except RuntimeError as error:
            self.anchor_error = str(error)
            return None

    def _keep_anchor(self, raced: Race) -> None:
        """Its times stand beside the models', not among them."""
        if found := raced.latencies.pop(REFERENCE, None):
            self.anchored.setdefault((found.input_size, found.batch_size), []).append(found)
        self.anchor_error = raced.errors.pop(REFERENCE, None) or self.anchor_error

    def _deployment(self, entrant: RaceEntry) -> Deployment:
        key, backend = entrant.key, entrant.backend
        exported = self.exported[key]
        return Deployment(
            backend=str(backend),
            precision=backend.spec.precision_of(backend.options),
            version=backend.spec.installed_version(),
            file_mb=exported.file_mb,
            export_seconds=exported.seconds,
            memory_mb=self.memories.get(key),
            latency=self._whole(self.latencies.get(key, {})),
            error=self.errors.get(key),
        )

    def _reference_record(self, measured: str) -> ReferenceRecord | None:
        if not self.anchored and self.anchor_error is None:
            return None
        # the rounds say all: samples and lead-ins would double the file
        timed = [entry.model_dump(exclude={"samples_ms", "lead_in_ms"}) for entry in self._whole(self.anchored)]
        latency = [ReferenceLatency(raced=measured, **entry) for entry in timed]
        return ReferenceRecord(name=REFERENCE, error=self.anchor_error, latency=latency)

    def _record(self, measured: str, disturbance: Disturbance) -> RaceGroup:
        seconds = sum(raced.seconds for raced in self.races)
        busy = sum(raced.call_seconds for raced in self.races)
        entrants = self.group.entrants.items()
        return RaceGroup(
            measured=measured,
            models={key: str(cell.model) for key, cell in self.group.models.items()},
            contenders={key: RaceContender(model=str(each.cell.model), backend=str(each.backend)) for key, each in entrants},
            rounds=self.group.settings.rounds,
            starts=len(self.rounds_of_starts),
            layout="as it came" if self.stable.inline else "drawn",
            threads=self.group.settings.threads or usable_cores(),
            orders=self.orders,
            overhead=round(1 - busy / seconds, 4) if seconds > 0 else None,
            disturbances=list(disturbance.sentences),
            machine_state=dict(disturbance.figures),
        )
