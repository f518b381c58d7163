"""export_model(): one model as a file that can be shipped, checked by loading it again in a fresh process."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config.run_config import EMBEDDED_RECIPE, SettingValues, load_config
from segbench.data.selection import SYNTHETIC
from segbench.errors import BackendError, CheckpointError, ConfigError, UnknownNameError, did_you_mean
from segbench.execution.events import Emit, Event, Listener, Note, StageResult, emitting
from segbench.execution.jobs import CheckJob, DeployJob, ExportedNetwork, cell_job
from segbench.execution.plan.plan import Plan, make_plan
from segbench.execution.plan.sources import find_trained, names_network
from segbench.execution.workers import Workers
from segbench.networks.checkpoint_meta import CheckpointMeta
from segbench.plugin.choice import format_value
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, Task
from segbench.results.records import Drift
from segbench.util.devices import resolve_device, usable_cores
from segbench.util.files import MB
from segbench.util.image_size import format_size, parse_size


@dataclass(frozen=True)
class Exported:
    """An exported model: its files and its drift from the network; ``metadata`` is the sidecar's content."""

    path: Path
    files: tuple[Path, ...]
    metadata: Mapping[str, Any]
    drift: Drift
    export_seconds: float

    @property
    def file_mb(self) -> float:
        return sum(file.stat().st_size for file in self.files) / MB


def export_model(
    subject: str,
    *,
    backend: str,
    out: Path,
    catalog: Catalog,
    listener: Listener,
    input_size: str | None = None,
    flags: SettingValues | None = None,
    inputs: str | None = None,
    num_classes: int | None = None,
    sets: Sequence[str] = (),
) -> Exported:
    """Write a trained network (or a model by name, with random weights) as ``out``, with ``out.json`` beside it.

    ``flags`` are dataset, data folder and device. Nothing is written where the file does not load or does not give the network's
    logits. Raises :class:`BackendError` with the reason, :class:`ConfigError` for what does not go together.
    """
    chosen = _file_backend(backend, catalog)
    _refuse_folder(out)
    checkpoint = _checkpoint(subject, catalog)
    meta = _meta(checkpoint) if checkpoint else None
    settings = {key: value for key, value in (flags or {}).items() if value is not None}
    task = settings.pop("dataset", None)
    if task is None and chosen.spec.needs_calibration(chosen.options):
        raise ConfigError(f"{backend} is calibrated on training images: give --dataset NAME (and --data DIR).")
    if checkpoint and (inputs or num_classes):
        raise ConfigError("A checkpoint knows its inputs and classes: leave out --inputs and --num-classes.")
    size = input_size or (format_size(meta.image_size) if meta else "512")
    config = load_config(
        sets=sets,
        flags={
            "models": [meta.model if meta else subject],
            "losses": ["ce"],
            "recipes": EMBEDDED_RECIPE,
            "dataset": task or _synthetic(meta.task if meta else None, subject, catalog, inputs, num_classes),
            "backends": [backend],
            "eval.image_size": format_size(parse_size(size, key="--input-size")),
            **settings,
        },
    )
    plan = make_plan(config, catalog)
    if meta and task is not None:
        _refuse_foreign(meta.task, plan, subject)
    job = _job(plan, backend, size, checkpoint, resolve_device(config.device))
    with tempfile.TemporaryDirectory(prefix="segbench-export-") as folder:
        return _export(job, subject, chosen, out, Path(folder), listener)


def _export(job: DeployJob, subject: str, chosen: Chosen[BackendSpec], out: Path, work: Path, listener: Listener) -> Exported:
    """Export and check below ``work``, under the names that the files will have; only then move them."""
    workers = Workers()
    folder = work / "files"
    cell = job.cell.model_copy(update={"directory": work})
    job = job.model_copy(update={"cell": cell, "folder": folder, "references": work / "references"})
    results: list[StageResult] = []
    emit = emitting(_collecting(results, listener), None)
    exported: ExportedNetwork = _run(workers, "export", job, f"{subject} as {chosen}", work, emit)
    path, files = _named(exported.path, folder, out)
    check = CheckJob(export=job, path=path, canvas=exported.canvas, plan=exported.plan, trained_on=exported.trained_on)
    _run(workers, "check", check, f"{subject} as {chosen}", work, emit)
    drift = Drift.model_validate(results[-1].drift)
    metadata = {**exported.metadata, "file": path.name, "drift": drift.model_dump(mode="json", exclude_defaults=True)}
    out.parent.mkdir(parents=True, exist_ok=True)
    moved = tuple(Path(shutil.move(file, out.parent / file.name)) for file in files)
    final = out.parent / path.name
    Path(f"{final}.json").write_text(json.dumps(metadata, indent=1) + "\n")
    return Exported(final, moved, metadata, drift, exported.export_seconds)


def _collecting(results: list[StageResult], listener: Listener) -> Callable[[Event], None]:
    """A listener that collects results and passes notes on."""

    def on_event(event: Event) -> None:
        if isinstance(event, StageResult):
            results.append(event)
        elif isinstance(event, Note):
            listener.on(event)

    return on_event


def _run(workers: Workers, target: str, job: DeployJob | CheckJob, name: str, work: Path, emit: Emit) -> Any:
    outcome = workers.run(f"segbench.execution.deploy.job:{target}", job, emit=emit, log=work / f"{target}.log")
    if outcome.error is not None:
        reason = " ".join(part for part in (outcome.error.message, outcome.error.advice) if part)
        raise BackendError(f"{name}: {reason}")
    return outcome.value


def _job(plan: Plan, backend: str, size: str, checkpoint: Path | None, device: str) -> DeployJob:
    cell = plan.cells[0]
    job = cell_job(
        cell, root=plan.root, digest="", settings=cell.settings, device=device, directory=Path(), stages=(), checkpoint=checkpoint
    )
    return DeployJob(
        cell=job,
        threads=cell.settings.measure.threads or usable_cores(),
        backend=backend,
        references=Path(),
        canvas=parse_size(size),
        random=checkpoint is None,
    )


def _file_backend(backend: str, catalog: Catalog) -> Chosen[BackendSpec]:
    chosen = catalog.backend(backend)
    if chosen.spec.export is None:
        files = [spec.name for spec, _ in catalog.specs("backends") if spec.export is not None]
        raise ConfigError(f"{chosen} runs in memory and writes no file. Backends that do: {', '.join(files) or 'none is installed'}.")
    return chosen


def _refuse_folder(out: Path) -> None:
    if out.is_dir():
        raise ConfigError(f"--out '{out}' is a folder: give the file to write, such as {out / 'model'}.")
    if any(parent.exists() and not parent.is_dir() for parent in out.parents):
        raise ConfigError(f"--out '{out}': a part of the path is a file, not a folder.")


def _checkpoint(subject: str, catalog: Catalog) -> Path | None:
    """The file of a trained network, or None for the name of a model."""
    if names_network(subject, catalog.names("models")):
        return find_trained(subject).only().file
    try:
        catalog.model(subject)
    except UnknownNameError:
        near = did_you_mean(subject.partition("[")[0], catalog.names("models"))
        raise UnknownNameError(f"'{subject}' is neither a checkpoint's file nor a model.{near} See 'segbench list models'.") from None
    return None


def _meta(checkpoint: Path) -> CheckpointMeta:
    from segbench.networks.checkpoints import read_own_checkpoint

    return read_own_checkpoint(checkpoint)[1]


def _synthetic(task: Task | None, subject: str, catalog: Catalog, inputs: str | None, num_classes: int | None) -> str:
    """A task without images: the checkpoint's own, or what is declared."""
    if task is None:
        from segbench.data.selection import declared_task

        return declared_task(subject, catalog, inputs, num_classes)
    texts = tuple(f"{name}={channels}" for name, channels in task.inputs.items())
    return f"{SYNTHETIC}[inputs={format_value(texts)},num_classes={task.num_classes}]"


def _refuse_foreign(own: Task, plan: Plan, subject: str) -> None:
    if dict(plan.task.inputs) != dict(own.inputs):
        raise CheckpointError(f"'{subject}' takes {dict(own.inputs)}; dataset '{plan.dataset}' gives {dict(plan.task.inputs)}.")


def _named(path: Path, folder: Path, out: Path) -> tuple[Path, tuple[Path, ...]]:
    """The exported files under the names that they will have: ``out`` and, where there are more, its name with their endings."""
    ending = path.suffix
    if out.suffix != ending:
        if out.suffix:
            raise ConfigError(f"--out '{out}': this backend writes {ending or 'files without an ending'}. Name it {out.stem}{ending}.")
        out = out.with_suffix(ending)
    renamed = []
    for file in sorted(folder.iterdir()):
        ours = file.name.startswith(path.stem)
        target = file.with_name(out.stem + file.name[len(path.stem) :]) if ours else file
        renamed.append(file.rename(target) if ours else file)
    return folder / out.name, tuple(renamed)
