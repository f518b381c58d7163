"""A trained cell as it is deployed: exported or built, loaded in a process without the network, and held against the eager network.

Three jobs, each for a process of its own, so that a crash, a hang or too little memory costs one row: :func:`export` writes the file and
the eager network's logits on some images, :func:`check` loads that file and measures drift and quality, :func:`build` does all of it for
a form that lives in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segbench.dataset_choice import scored_split
from segbench.errors import BackendError, DataError
from segbench.execute.cell import Emit, Setup, scored, set_up, stage, trained_network
from segbench.execute.frames import Chosen, Form, Frames, Images, Run, canvas_of, fit, resize, spread
from segbench.inputs import InputPlan
from segbench.measure.drift import DriftMeter, strays
from segbench.network import Deployed, deploy
from segbench.registry import Catalog
from segbench.registry import Chosen as ChosenSpec
from segbench.results import Drift, Quality
from segbench.sizes import Size, format_size
from segbench.specs import BackendSpec, Target, resolve
from segbench.training.evaluate import evaluate
from segbench.training.meta import plan_from_dict, plan_to_dict

if TYPE_CHECKING:
    from segbench.network import Network

_MB = 2**20
_LARGE = (576, 640)
_IMAGES_ELSEWHERE = 2
"""Images on which a form that takes any size is tried at each of the three others."""


@dataclass(frozen=True)
class _Subject:
    """What a job is about: the trained network in its shipped form, and the images that evaluation would give it."""

    setup: Setup
    backend: ChosenSpec[BackendSpec]
    network: Deployed
    plan: InputPlan
    frames: Frames
    canvas: Size
    trained_on: str | None

    @property
    def example(self) -> Images:
        """One real image on the canvas."""
        return fit(self.frames[0], self.canvas)


def export(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None = None) -> dict[str, Any]:
    """Write the file below ``job["folder"]`` and the references below ``job["references"]``; returns what :func:`check` needs."""
    with stage("export"):
        emit("stage", {"stage": "export"})
        subject = _subject(job, emit, catalog)
        spec, options = subject.backend.spec, subject.backend.options
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        write_references(subject, Path(job["references"]))
        calibration = _calibration(subject) if spec.needs_calibration(options) else ()
        assert spec.export is not None
        started = time.perf_counter()
        with torch.no_grad():
            path = Path(resolve(spec.export)(subject.network, subject.example, folder, options, calibration))
        seconds = time.perf_counter() - started
        if not path.exists():
            raise BackendError(f"its export returned '{path.name}', but there is no such file")
    return {
        "path": str(path),
        "file_mb": size_mb(folder),
        "export_seconds": seconds,
        "canvas": list(subject.canvas),
        "plan": plan_to_dict(subject.plan),
        "trained_on": subject.trained_on,
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
        subject = _subject(job, emit, catalog)
        spec, options = subject.backend.spec, subject.backend.options
        write_references(subject, Path(job["references"]))
        assert spec.build is not None
        with torch.no_grad():
            run: Run = resolve(spec.build)(subject.network, subject.example, options)
    _measure(subject.setup, subject.backend, run, subject.plan, subject.canvas, subject.trained_on, emit)
    return {"canvas": list(subject.canvas)}


def write_references(subject: _Subject, folder: Path) -> None:
    """The eager network's logits beside the images they are of, one file per image, in a folder per size."""
    indices = spread(len(subject.frames), subject.setup.settings.deploy.drift_images)
    _write(subject.network, (subject.frames[index] for index in indices), folder, subject.canvas)
    if not subject.backend.spec.takes_any_size(subject.backend.options):
        return
    for size in other_sizes(subject.canvas):
        _write(subject.network, (resize(subject.frames[i], size) for i in indices[:_IMAGES_ELSEWHERE]), folder, size)


def other_sizes(size: Size) -> tuple[Size, Size, Size]:
    """Three sizes at which a form that takes any size is tried: smaller, of another aspect, and so large that every branch that
    depends on the size (attention that pools above some number of positions) goes the other way.

    >>> other_sizes((256, 256)), other_sizes((48, 64))
    (((128, 128), (256, 384), (576, 640)), ((24, 32), (48, 96), (576, 640)))
    """
    height, width = size
    return (height // 2, width // 2), (height, width * 3 // 2), (max(2 * height, _LARGE[0]), max(2 * width, _LARGE[1]))


def measure_drift(run: Run, references: Path, size: Size) -> Drift:
    """The drift of a form on the images that lie in the folder of ``size``."""
    meter, form = DriftMeter(), Form(run, size)
    for file in sorted((references / format_size(size)).glob("*.pt")):
        kept = torch.load(file, weights_only=True)
        with torch.inference_mode():
            meter.add(form.one(tuple(kept["images"])).cpu(), kept["logits"])
    return meter.result(size)


def size_mb(folder: Path) -> float:
    """Size of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / _MB


def usable_threads(setting: int | None) -> int:
    """CPU threads of a deployed form: as set, else all."""
    return setting or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _subject(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None) -> _Subject:
    setup = set_up(job, emit, catalog)
    torch.set_num_threads(int(job["threads"]))
    samples = setup.samples(scored_split(setup.dataset, setup.settings))
    canvas = (job["canvas"][0], job["canvas"][1]) if job.get("canvas") else canvas_of(samples, setup.settings)
    trained = trained_network(setup)
    network = deploy(trained.network).to(setup.device).requires_grad_(False)
    frames = Frames(samples, task=setup.task, plan=trained.plan, settings=setup.settings, device=setup.device)
    return _Subject(setup, setup.catalog.backend(job["backend"]), network, trained.plan, frames, canvas, trained.meta.get("dataset"))


def _calibration(subject: _Subject) -> Sequence[Images]:
    setup = subject.setup
    split = setup.settings.train.split
    samples = setup.samples(split)
    if not len(samples):
        raise DataError(f"{subject.backend} is calibrated on images of the training split, and '{split}' is empty. Set train.split.")
    frames = Frames(samples, task=setup.task, plan=subject.plan, settings=setup.settings, device=setup.device)
    return Chosen(frames, setup.settings.deploy.calibration, subject.canvas)


def _write(network: Deployed, images: Any, folder: Path, size: Size) -> None:
    place = folder / format_size(size)
    place.mkdir(parents=True, exist_ok=True)
    for number, inputs in enumerate(images):
        with torch.inference_mode():
            # the eager network sees the canvas, too: drift is of the arithmetic, not of the padding
            logits: Tensor = network(*fit(inputs, size))
        # and only what is no padding is compared
        height, width = (min(a, b) for a, b in zip(inputs[0].shape[-2:], size, strict=True))
        kept = {"images": [x[..., :height, :width].cpu().clone() for x in inputs], "logits": logits[..., :height, :width].cpu().clone()}
        torch.save(kept, place / f"{number:04}.pt")


def _measure(
    setup: Setup, backend: ChosenSpec[BackendSpec], run: Run, plan: InputPlan, canvas: Size, trained_on: str | None, emit: Emit
) -> None:
    """Emit drift and quality, each as soon as it is known: what falls later must not cost it."""
    any_size = backend.spec.takes_any_size(backend.options)
    with stage("drift"):
        emit("stage", {"stage": "drift"})
        drift = _drift(run, Path(setup.job["references"]), canvas, any_size=any_size)
        emit("result", {"drift": drift.model_dump()})
        _refuse_stray(drift)
    if not setup.job.get("score"):
        return
    with stage("quality"):
        emit("stage", {"stage": "quality"})
        quality = _quality(setup, Form(run, None if any_size else canvas), plan, trained_on)
        emit("result", {"quality": quality.model_dump()})


def _drift(run: Run, references: Path, canvas: Size, *, any_size: bool) -> Drift:
    drift = measure_drift(run, references, canvas)
    if not any_size:
        return drift
    elsewhere = [_drift_at(run, references, size) for size in other_sizes(canvas)]
    return drift.model_copy(update={"sizes": elsewhere})


def _drift_at(run: Run, references: Path, size: Size) -> Drift:
    try:
        return measure_drift(run, references, size)
    except Exception as error:  # foreign code: a form that claims any size and fails at one is told so
        text = (str(error).splitlines() or [type(error).__name__])[0]
        return Drift(images=0, input_size=size, notes=[f"{type(error).__name__}: {text}"])


def _refuse_stray(drift: Drift) -> None:
    for other in drift.sizes:
        if not strays(other, drift):
            continue
        assert other.input_size is not None
        assert drift.input_size is not None
        at, made = format_size(other.input_size), format_size(drift.input_size)
        if other.max_abs is None:
            raise BackendError(
                f"exported for any size, it fails at {at} ({'; '.join(other.notes)}). Export it at a fixed size (dynamic=false)."
            )
        raise BackendError(
            f"exported for any size at {made}, it computes something else at {at}: logits off by up to {other.max_abs:.3g} "
            f"(at {made}: {drift.max_abs or 0.0:.3g}). Export it at a fixed size (dynamic=false)."
        )


def _quality(setup: Setup, form: Form, plan: InputPlan, trained_on: str | None) -> Quality:
    split = scored_split(setup.dataset, setup.settings)
    network: Network = form  # type: ignore[assignment]  # evaluation calls nothing but forward
    done = evaluate(network, setup.samples(split), task=setup.task, plan=plan, settings=setup.settings, device=setup.device)
    return scored(setup, done, split, trained_on=trained_on)


__all__ = ["build", "check", "export", "measure_drift", "other_sizes", "size_mb", "usable_threads", "write_references"]
