"""Events of a run: one class each with the sentence that every display shows, their listeners, and plugins' observers.

Needs neither pydantic nor torch: ``segbench watch`` reads these classes back from the event log.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from segbench.results.scored_classes import averaged_classes, counted_classes, nothing_learned, only_class
from segbench.util.sequences import counted, duration

if TYPE_CHECKING:
    from segbench.plugin.registry import Catalog
    from segbench.results.records import CellResult, ErrorInfo

Fields = Mapping[str, Any]
"""Fields of a worker's message, of a line of the event log, or of a row, by name."""
Emit = Callable[[str, Fields], None]
"""Sends a message (name, fields) from a worker to its parent."""
CellRecord = Mapping[str, Any]
"""A cell as observers get it: id, model, loss, dataset, recipe, settings, seed and kind."""


@dataclass(frozen=True)
class PlanMade:
    """The cells of the run, in order."""

    name: ClassVar[str] = "plan"
    cells: tuple[CellRecord, ...]


@dataclass(frozen=True)
class CellKept:
    """A cell that is not run again."""

    name: ClassVar[str] = "kept"
    cell: CellRecord
    status: str

    @property
    def sentence(self) -> str:
        return f"{self.cell['id']} kept from before ({self.status})"


@dataclass(frozen=True)
class CellStarted:
    """A cell is run; ``reason`` says why where it had been run before."""

    name: ClassVar[str] = "cell"
    cell: CellRecord
    stages: tuple[str, ...]
    reason: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.cell['id']} ({self.reason})" if self.reason else str(self.cell["id"])


@dataclass(frozen=True)
class StageStarted:
    """A stage of a cell or of a deployment has begun."""

    name: ClassVar[str] = "stage"
    cell: CellRecord | None
    stage: str


@dataclass(frozen=True)
class BatchDone:
    """An optimiser step; a few of them a second."""

    name: ClassVar[str] = "batch"
    cell: CellRecord | None
    epoch: int
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    images_per_second: float | None = None
    eta_seconds: float | None = None

    @property
    def sentence(self) -> str:
        parts = [f"loss {self.loss:.4f}"] if self.loss is not None else []
        if self.images_per_second:
            parts.append(f"{self.images_per_second:.1f} img/s")
        return "  ".join([*parts, *_time_left(self.eta_seconds)])


@dataclass(frozen=True)
class EpochDone:
    """An epoch of training with its validation; ``record`` is all of it, as observers get it."""

    name: ClassVar[str] = "epoch"
    cell: CellRecord | None
    epoch: int
    epochs: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    val_miou: float | None = None
    val_classes_averaged: int | None = None
    val_classes: int | None = None
    val_only_class: str | None = None
    train_miou: float | None = None
    learning_rate: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    eta_seconds: float | None = None
    record: Fields = dataclasses.field(default_factory=dict)

    @property
    def sentence(self) -> str:
        behind = defaultdict(str, {"val mIoU": self._remarks()})
        figures = (
            ("loss", self.train_loss, ".4f"),
            ("lr", self.learning_rate, ".2e"),
            ("val mIoU", self.val_miou, ".4f"),
            ("img/s", self.images_per_second, ".1f"),
        )
        shown = [f"{label} {value:{form}}{behind[label]}" for label, value, form in figures if value is not None]
        return "  ".join([f"epoch {self.epoch}/{self.epochs or '?'}", *shown, *_time_left(self.eta_seconds)])

    def _remarks(self) -> str:
        """In brackets: how many classes the validation score is over, where not all have labels, and the only class that is predicted."""
        averaged, total = self.val_classes_averaged, self.val_classes
        parts = [counted_classes(averaged, total)] if averaged is not None and total is not None and averaged < total else []
        parts += [f"predicts only {self.val_only_class}"] if self.val_only_class else []
        return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class StageResult:
    """Fields of the row that a stage of a cell, or of a deployment, has measured."""

    name: ClassVar[str] = "result"
    cell: CellRecord | None
    stage: str = ""
    profile: Fields | None = None
    training: Fields | None = None
    quality: Fields | None = None
    artifacts: Fields | None = None
    drift: Fields | None = None
    notes: tuple[str, ...] | None = None
    """what the stage noticed of the plugin's code"""


@dataclass(frozen=True)
class CellEnded:
    """A cell has ended, well or not."""

    name: ClassVar[str] = "cell_end"
    cell: CellRecord
    row: CellResult

    @property
    def record(self) -> Fields:
        """The row as observers get it."""
        return self.row.model_dump(exclude={"ingredients"})

    @property
    def sentence(self) -> str:
        if self.row.error is not None:
            return f"{failure_sentence(failure(self.row.error))} {self.row.error.advice}".rstrip()
        quality, training = self.row.quality, self.row.training
        averaged, only = averaged_classes(quality), only_class(quality)
        over = f" over {averaged.words}" if averaged else ""
        parts = [f"mIoU {quality.miou:.4f} on {quality.split}{over}"] if quality and quality.miou is not None else []
        if quality and quality.training_score is not None:
            parts.append(f"training score {quality.training_score:.4f}{over}")
        parts += [nothing_learned(only)] if only else []
        if training and (training.as_given or training.weights):
            parts.append(training.start_words)
        if training and training.seconds is not None:
            parts.append(f"trained {counted(training.epochs_run, 'epoch')} in {duration(training.seconds)}")
        return ", ".join(parts) or "done"


@dataclass(frozen=True)
class Note:
    """A message that stops nothing."""

    name: ClassVar[str] = "note"
    cell: CellRecord | None
    message: str

    @property
    def sentence(self) -> str:
        return self.message


@dataclass(frozen=True)
class RaceStarted:
    """Memory and latency of the deployed models are measured from now on."""

    name: ClassVar[str] = "race"
    state: ClassVar[str] = "start"
    contenders: int

    @property
    def sentence(self) -> str:
        return f"measuring {counted(self.contenders, 'deployed model')}"


@dataclass(frozen=True)
class MemoryStarted:
    """Files and memory of one contender are measured."""

    name: ClassVar[str] = "race"
    state: ClassVar[str] = "memory"
    cell: CellRecord
    backend: str = ""

    @property
    def sentence(self) -> str:
        return f"memory of {self.cell['model']}"


@dataclass(frozen=True)
class LatencyStarted:
    """All contenders are timed at one batch size; ``input_size`` is None where each has its own, ``starts`` where there is one only."""

    name: ClassVar[str] = "race"
    state: ClassVar[str] = "latency"
    batch_size: int
    contenders: int
    input_size: str | None = None
    start: int | None = None
    starts: int | None = None

    @property
    def sentence(self) -> str:
        start = f", start {self.start} of {self.starts}" if self.start and self.starts else ""
        return f"latency race at batch {self.batch_size}: {counted(self.contenders, 'model')} in shuffled rounds{start}"


@dataclass(frozen=True)
class ModulesStarted:
    """Modules, energy and training step of one model are measured."""

    name: ClassVar[str] = "race"
    state: ClassVar[str] = "modules"
    cell: CellRecord

    @property
    def sentence(self) -> str:
        return f"modules, energy and training step of {self.cell['model']}"


@dataclass(frozen=True)
class RaceEnded:
    """All contenders have been measured."""

    name: ClassVar[str] = "race"
    state: ClassVar[str] = "end"

    @property
    def sentence(self) -> str:
        return ""


RaceEvent = RaceStarted | MemoryStarted | LatencyStarted | ModulesStarted | RaceEnded
Event = PlanMade | CellKept | CellStarted | StageStarted | BatchDone | EpochDone | StageResult | CellEnded | Note | RaceEvent

_RACE_STATES: Mapping[str, type[Any]] = {
    each.state: each for each in (RaceStarted, MemoryStarted, LatencyStarted, ModulesStarted, RaceEnded)
}
_MESSAGES: Mapping[str, type[Any]] = {each.name: each for each in (StageStarted, BatchDone, EpochDone, StageResult, Note)}


def failure(error: ErrorInfo) -> str:
    """The stage that failed, and why.

    >>> from segbench.results.records import ErrorInfo
    >>> failure_sentence(failure(ErrorInfo(stage="train", kind="error", message="the loss is not finite")))
    'failed in train: the loss is not finite'
    """
    return f"{error.stage}: {error.message}"


def failure_sentence(text: str) -> str:
    """The sentence of a failed cell, from :func:`failure`."""
    return f"failed in {text}"


def event_of(name: str, fields: Fields, cell: CellRecord | None) -> Event:
    """The event that a worker's message stands for. Raises :class:`ValueError` for a message that is none."""
    kind = _MESSAGES.get(name)
    if kind is None:
        raise ValueError(f"a worker sent '{name}', which is no event")
    known = _known(kind, fields)
    event: Event = kind(cell, **known, record=fields) if kind is EpochDone else kind(cell, **known)
    return event


def race_event(fields: Fields, cell: CellRecord) -> RaceEvent | None:
    """The event of a race that a line of the event log stands for; None where it is damaged."""
    kind = _RACE_STATES.get(str(fields.get("state")))
    if kind is None:
        return None
    own = {"cell": cell} if kind in (MemoryStarted, ModulesStarted) else {}
    try:
        event: RaceEvent = kind(**own, **_known(kind, fields))
    except TypeError:  # a field is missing
        return None
    return event


def emitting(on: Callable[[Event], None], cell: CellRecord | None) -> Emit:
    """Pass a worker's messages on as events of a cell."""

    def emit(name: str, fields: Fields) -> None:
        on(event_of(name, fields, cell))

    return emit


def _known(kind: type[Any], fields: Fields) -> dict[str, Any]:
    names = {each.name for each in dataclasses.fields(kind)} - {"cell", "record"}
    return {name: value for name, value in fields.items() if name in names}


def _time_left(seconds: float | None) -> list[str]:
    return [f"{duration(seconds)} left"] if seconds is not None else []


class Listener(Protocol):
    """Gets every event of a run."""

    def on(self, event: Event) -> None: ...


class Silent:
    """A listener that ignores everything."""

    def on(self, event: Event) -> None:
        """Ignore the event."""


class Observers:
    """Calls plugins' observer hooks. One that raises is switched off and reported, never the cell."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.switched_off: dict[str, str] = {}

    def on(self, event: Event) -> None:
        """Pass the event to every observer that still works."""
        if isinstance(event, CellStarted):
            self._call("segbench_before_cell", lambda: {"cell": event.cell})
        elif isinstance(event, EpochDone):
            self._call("segbench_after_epoch", lambda: {"cell": event.cell, "epoch": event.record})
        elif isinstance(event, CellEnded):
            self._call("segbench_after_cell", lambda: {"cell": event.cell, "result": event.record})

    def _call(self, hook: str, arguments: Callable[[], Fields]) -> None:
        from segbench.plugin.registry import PluginWarning

        for name, impl in self.catalog.observers(hook):
            if name in self.switched_off:
                continue
            values = arguments()
            try:
                impl.function(**{argument: values[argument] for argument in impl.argnames})
            except (Exception, SystemExit) as error:  # plugin code: an observer that fails must not fail a cell
                self.switched_off[name] = f"{hook} raised {type(error).__name__}: {error}"
                warnings.warn(f"plugin '{name}' was switched off: {self.switched_off[name]}", PluginWarning, stacklevel=3)


class Fanout:
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def on(self, event: Event) -> None:
        """Pass the event on."""
        for listener in self.listeners:
            listener.on(event)
