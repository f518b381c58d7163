"""In worker processes: deploy a trained cell through one backend, and compare it with the eager network.

Three jobs, each for a process of its own, so that a crash, a hang or too little memory costs one row: :func:`export` writes the file and
the eager network's logits on some images, :func:`check` loads that file and measures drift and quality without the network, :func:`build`
does all of it for a backend that works in memory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segbench.data.selection import scored_split
from segbench.errors import BackendError
from segbench.execution.cells.job import Setup, class_map_of, save_confusions, scored, set_up, stage
from segbench.execution.deploy.backend_network import BackendNetwork, Run
from segbench.execution.deploy.metadata import as_texts
from segbench.execution.deploy.model import DeployedModel, open_model
from segbench.execution.deploy.references import drift_everywhere, require_any_size, write_references
from segbench.execution.events import Emit
from segbench.execution.jobs import CheckJob, DeployJob, ExportedNetwork
from segbench.measure.drift import require_same_network
from segbench.measure.quality.evaluate import evaluate
from segbench.networks.copies import copy_fault, was_copied
from segbench.plugin.choice import slug
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, Target, resolve
from segbench.results.records import Quality
from segbench.util.files import folder_mb
from segbench.util.image_size import Size

if TYPE_CHECKING:
    from segbench.networks.network import Network


def export(job: DeployJob, emit: Emit, catalog: Catalog | None = None) -> ExportedNetwork:
    """Write the file below the job's folder and the eager logits below its references."""
    with stage("export"):
        emit("stage", {"stage": "export"})
        model = open_model(job, emit, catalog)
        spec, options = model.backend.spec, model.backend.options
        assert spec.export is not None
        assert job.folder is not None
        job.folder.mkdir(parents=True, exist_ok=True)
        _write_references(model, job.references)
        calibration = model.calibration()
        started = time.perf_counter()
        with torch.no_grad():
            path = Path(resolve(spec.export)(model.network, model.example, job.folder, options, calibration))
        seconds = time.perf_counter() - started
        _require_sound_copy(model)
        if not path.exists():
            raise BackendError(f"its export returned '{path.name}', but there is no such file")
        metadata = model.metadata(len(calibration))
        if spec.annotate is not None:
            resolve(spec.annotate)(path, as_texts(metadata))
    return ExportedNetwork(path, folder_mb(job.folder), seconds, model.canvas, model.plan, model.trained_on, metadata)


def check(job: CheckJob, emit: Emit, catalog: Catalog | None = None) -> None:
    """Load the file that :func:`export` wrote, and emit its drift and quality. No network is built here."""
    with stage("load"):
        emit("stage", {"stage": "load"})
        setup = set_up(job.export.cell, emit, catalog)
        torch.set_num_threads(job.export.threads)
        backend = setup.catalog.backend(job.export.backend)
        assert backend.spec.load is not None
        run: Run = resolve(backend.spec.load)(job.path, backend.options, Target(setup.device, job.export.threads))
    _measure(job.export, setup, backend, run, job.plan, job.canvas, job.trained_on)


def build(job: DeployJob, emit: Emit, catalog: Catalog | None = None) -> Size:
    """Build the network in memory, and emit its drift and quality; the size of its canvas."""
    with stage("build"):
        emit("stage", {"stage": "build"})
        model = open_model(job, emit, catalog)
        spec, options = model.backend.spec, model.backend.options
        _write_references(model, job.references)
        assert spec.build is not None
        with torch.no_grad():
            run: Run = resolve(spec.build)(model.network, model.example, options)
        _require_sound_copy(model)
    _measure(job, model.setup, model.backend, run, model.plan, model.canvas, model.trained_on)
    return model.canvas


def _write_references(model: DeployedModel, folder: Path) -> None:
    write_references(
        model.network,
        model.frames,
        folder,
        count=model.setup.settings.deploy.drift_images,
        canvas=model.canvas,
        any_size=model.takes_any_size,
    )


def _require_sound_copy(model: DeployedModel) -> None:
    """Raise :class:`BackendError` where the backend works on a copy of a network whose copies are not the same network by themselves."""
    if was_copied(model.network) and (fault := copy_fault(model.network.eval(), model.example)):
        raise BackendError(f"{model.backend} works on a copy, and {fault}")


def _measure(
    job: DeployJob, setup: Setup, backend: Chosen[BackendSpec], run: Run, plan: InputPlan, canvas: Size, trained_on: str | None
) -> None:
    """Emit drift and quality, each as soon as it is known: a later failure must not lose it. The images' matrices go to a file."""
    any_size = backend.spec.takes_any_size(backend.options)
    with stage("drift"):
        setup.emit("stage", {"stage": "drift"})
        drift = drift_everywhere(run, job.references, canvas, any_size=any_size)
        setup.emit("result", {"drift": drift.model_dump()})
        if backend.spec.precision_of(backend.options) == "fp32":
            require_same_network(drift)
        require_any_size(drift)
    if not job.score:
        return
    with stage("quality"):
        setup.emit("stage", {"stage": "quality"})
        confusions = setup.directory / "confusions" / f"{setup.job.cell}--{slug(str(backend))}.npz"
        quality = _quality(setup, BackendNetwork(run, None if any_size else canvas), plan, trained_on, confusions)
        artifacts = {"confusions": confusions.relative_to(setup.directory).as_posix()}
        setup.emit("result", {"quality": quality.model_dump(), "artifacts": artifacts})


def _quality(setup: Setup, deployed: BackendNetwork, plan: InputPlan, trained_on: str | None, confusions: Path) -> Quality:
    split = scored_split(setup.dataset, setup.settings)
    network: Network = deployed  # type: ignore[assignment]  # evaluation calls nothing but forward
    class_map = class_map_of(setup, setup.task)  # what a run deploys it has trained, on its own dataset
    done = evaluate(
        network,
        setup.samples(split),
        task=setup.task,
        plan=plan,
        settings=setup.settings,
        device=setup.device,
        detailed=True,
        class_map=class_map,
        metrics=[chosen.spec for chosen in setup.metrics],
    )
    done.nonfinite.require_none(f"'{split}'")
    save_confusions(confusions, done, setup.groups(split, len(done.ids)))
    return scored(setup, done, split, trained_on=trained_on, class_map=class_map)
