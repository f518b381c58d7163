"""Jobs of worker processes, each one JSON document, and what the workers give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segbench.config.settings import Settings
from segbench.errors import SegbenchError
from segbench.execution.plan.cell import Cell
from segbench.plugin.chosen import PartRecord
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation
from segbench.results.records import ModuleCosts, TrainingCost
from segbench.util.image_size import Size

JobT = TypeVar("JobT", bound="Job")


class Job(BaseModel):
    """All that a worker process, here or elsewhere, needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), ser_json_inf_nan="constants")

    def to_json(self) -> str:
        """The job as one JSON document."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls: type[JobT], text: str) -> JobT:
        """The job that :meth:`to_json` wrote. Raises :class:`SegbenchError` that names the first key that is wrong."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SegbenchError(f"this is not a {cls.__name__}: {_problem(error)}") from None


class CellJob(Job):
    """One cell: ``root`` is the data folder, ``directory`` the run's, ``checkpoint`` weights from elsewhere.

    ``sources`` are checkpoints that the cell is made from, by role ("part", "teacher"), ``weights`` is a file that it starts from;
    ``identity`` is what its own must carry.
    """

    cell: str
    model: str
    model_options: dict[str, Any]
    model_parts: list[PartRecord] | None = None
    sources: dict[str, tuple[Path, ...]] = {}
    weights: Path | None = None
    partial_weights: bool = False
    loss: str | None
    dataset: str
    root: Path | None = None
    digest: str = ""
    settings: Settings
    seed: int
    device: str
    directory: Path
    stages: tuple[str, ...] = ()
    normalisation: dict[str, Normalisation] = {}
    checkpoint: Path | None = None
    identity: dict[str, str] = {}


class CostJob(Job):
    """Measure a cell's network on ``threads`` threads: its modules and energy, or its training step."""

    cell: CellJob
    threads: int


class ContenderJob(Job):
    """Time a cell's network through a backend; ``files`` are the exported ones by size and batch.

    With ``modules``, an entry of ``measure.race_modules``, only these are timed.
    """

    cell: CellJob
    threads: int
    backend: str
    files: dict[str, Path] = {}
    modules: str = ""
    randomised_layout: bool = False


class RaceExportJob(Job):
    """Export a cell's network for one size and batch into the empty ``folder``."""

    cell: CellJob
    threads: int
    backend: str
    size: Size
    batch_size: int
    folder: Path


class ReferenceJob(Job):
    """Time the reference network."""

    device: str
    threads: int


class DeployJob(Job):
    """Export a cell's network below ``folder``, or build it in memory, with the eager logits below ``references``.

    ``canvas`` is the size of its images where there is no dataset that tells; with ``random`` nothing has trained the network.
    """

    cell: CellJob
    threads: int
    backend: str
    references: Path
    folder: Path | None = None
    canvas: Size | None = None
    score: bool = False
    random: bool = False


class CheckJob(Job):
    """Load the file at ``path`` and compare it with the references of the job that exported it."""

    export: DeployJob
    path: Path
    canvas: Size
    plan: InputPlan
    trained_on: str | None


@dataclass(frozen=True)
class ExportedNetwork:
    """A file that a deployment's export has written; ``metadata`` is the content of its sidecar."""

    path: Path
    file_mb: float
    export_seconds: float
    canvas: Size
    plan: InputPlan
    trained_on: str | None
    metadata: dict[str, Any]


@dataclass(frozen=True)
class RaceFile:
    """A file that was exported for a race."""

    path: Path
    seconds: float
    file_mb: float


@dataclass(frozen=True)
class StepMemory:
    """Peak memory of an optimiser step in MB; the names are those of :class:`~segbench.results.records.Memory`."""

    training_peak: float | None
    training_method: str
    notes: list[str]


@dataclass(frozen=True)
class CostDetails:
    """Modules, training step and energy of one model; ``notes`` have the reason why a part is None."""

    modules: ModuleCosts | None = None
    training_cost: TrainingCost | None = None
    energy_j: float | None = None
    energy_method: str | None = None
    notes: tuple[str, ...] = ()


def cell_job(
    cell: Cell,
    *,
    root: Path | None,
    digest: str,
    settings: Settings,
    device: str,
    directory: Path,
    stages: Sequence[str],
    checkpoint: Path | None = None,
) -> CellJob:
    """The job of a planned cell."""
    return CellJob(
        cell=cell.id,
        model=str(cell.model.choice),
        model_options=cell.model.options.values(),
        model_parts=cell.model.parts_record() or None,
        sources={role: tuple(cell.origin.paths(role, directory)) for role in ("part", "teacher")},
        weights=cell.weights.file if cell.weights else None,
        partial_weights=cell.weights is not None and cell.weights.partial,
        loss=str(cell.loss.choice),
        dataset=str(cell.dataset.choice),
        root=root,
        digest=digest,
        settings=settings,
        seed=cell.seed,
        device=device,
        directory=directory,
        stages=tuple(stages),
        normalisation=dict(cell.inputs.normalisation),
        checkpoint=checkpoint,
        identity={"cell": cell.id, "train": cell.fingerprints["train"]},
    )


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    reason = {"missing": "is missing", "extra_forbidden": "is unknown"}.get(first["type"], f"is wrong: {first['msg']}")
    return f"'{key}' {reason}." if key else f"{first['msg']}."
