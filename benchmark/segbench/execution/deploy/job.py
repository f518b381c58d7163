"""A trained cell as it is deployed: exported or built, loaded in a process without the network, and held against the eager network.

Three jobs, each for a process of its own, so that a crash, a hang or too little memory costs one row: :func:`export` writes the file and
the eager network's logits on some images, :func:`check` loads that file and measures drift and quality, :func:`build` does all of it for
a form that lives in memory.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segbench.data.selection import scored_split
from segbench.errors import BackendError
from segbench.execution.cells.job import Emit, Setup, scored, set_up, stage
from segbench.execution.deploy.backend_network import BackendNetwork, Run
from segbench.execution.deploy.metadata import as_texts
from segbench.execution.deploy.model import DeployedModel, open_subject
from segbench.execution.deploy.references import drift_everywhere, refuse_stray, write_references
from segbench.measure.quality.evaluate import evaluate
from segbench.networks.load import plan_from_dict, plan_to_dict
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, Target, resolve
from segbench.results.records import Quality
from segbench.util.files import folder_mb
from segbench.util.image_size import Size

if TYPE_CHECKING:
    from segbench.networks.network import Network

_MB = 2**20


def export(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None = None) -> dict[str, Any]:
    """Write the file below ``job["folder"]`` and the references below ``job["references"]``; returns what :func:`check` needs."""
    with stage("export"):
        emit("stage", {"stage": "export"})
        subject = open_subject(job, emit, catalog)
        spec, options = subject.backend.spec, subject.backend.options
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        _references(subject)
        calibration = subject.calibration()
        assert spec.export is not None
        started = time.perf_counter()
        with torch.no_grad():
            path = Path(resolve(spec.export)(subject.network, subject.example, folder, options, calibration))
        seconds = time.perf_counter() - started
        if not path.exists():
            raise BackendError(f"its export returned '{path.name}', but there is no such file")
        metadata = subject.metadata(len(calibration))
        if spec.annotate is not None:
            resolve(spec.annotate)(path, as_texts(metadata))
    return {
        "path": str(path),
        "file_mb": size_mb(folder),
        "export_seconds": seconds,
        "canvas": list(subject.canvas),
        "plan": plan_to_dict(subject.plan),
        "trained_on": subject.trained_on,
        "metadata": metadata,
    }


def check(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None = None) -> dict[str, Any]:
    """Load the file that :func:`export` wrote; drift, and the quality where ``job["score"]``. No network is built here."""
    with stage("load"):
        emit("stage", {"stage": "load"})
        setup = set_up(job, emit, catalog)
        torch.set_num_threads(int(job["threads"]))
        backend = setup.catalog.backend(job["backend"])
        assert backend.spec.load is not None
        run: Run = resolve(backend.spec.load)(Path(job["path"]), backend.options, Target(setup.device, int(job["threads"])))
    _measure(setup, backend, run, plan_from_dict(job["plan"]), (job["canvas"][0], job["canvas"][1]), job["trained_on"], emit)
    return {}


def build(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None = None) -> dict[str, Any]:
    """The same as :func:`export` and :func:`check` for a form in memory."""
    with stage("build"):
        emit("stage", {"stage": "build"})
        subject = open_subject(job, emit, catalog)
        spec, options = subject.backend.spec, subject.backend.options
        _references(subject)
        assert spec.build is not None
        with torch.no_grad():
            run: Run = resolve(spec.build)(subject.network, subject.example, options)
    _measure(subject.setup, subject.backend, run, subject.plan, subject.canvas, subject.trained_on, emit)
    return {"canvas": list(subject.canvas)}


def size_mb(folder: Path) -> float:
    """Size of all files below a folder."""
    return folder_mb(folder)


def _references(subject: DeployedModel) -> None:
    write_references(
        subject.network,
        subject.frames,
        Path(subject.setup.job["references"]),
        count=subject.setup.settings.deploy.drift_images,
        canvas=subject.canvas,
        any_size=subject.takes_any_size,
    )


def _measure(
    setup: Setup, backend: Chosen[BackendSpec], run: Run, plan: InputPlan, canvas: Size, trained_on: str | None, emit: Emit
) -> None:
    """Emit drift and quality, each as soon as it is known: what falls later must not cost it."""
    any_size = backend.spec.takes_any_size(backend.options)
    with stage("drift"):
        emit("stage", {"stage": "drift"})
        drift = drift_everywhere(run, Path(setup.job["references"]), canvas, any_size=any_size)
        emit("result", {"drift": drift.model_dump()})
        refuse_stray(drift)
    if not setup.job.get("score"):
        return
    with stage("quality"):
        emit("stage", {"stage": "quality"})
        quality = _quality(setup, BackendNetwork(run, None if any_size else canvas), plan, trained_on)
        emit("result", {"quality": quality.model_dump()})


def _quality(setup: Setup, form: BackendNetwork, plan: InputPlan, trained_on: str | None) -> Quality:
    split = scored_split(setup.dataset, setup.settings)
    network: Network = form  # type: ignore[assignment]  # evaluation calls nothing but forward
    done = evaluate(network, setup.samples(split), task=setup.task, plan=plan, settings=setup.settings, device=setup.device, detailed=True)
    return scored(setup, done, split, trained_on=trained_on)
