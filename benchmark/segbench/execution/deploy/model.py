"""DeployedModel: a network as it ships, the images that evaluation would give it, its canvas and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from segbench.data.selection import SYNTHETIC, scored_split
from segbench.errors import DataError
from segbench.execution.cells.job import Setup, set_up, trained_network
from segbench.execution.deploy.backend_network import CalibrationImages, EvaluationImages, Images, NoiseImages, canvas_of, fit
from segbench.execution.deploy.metadata import file_metadata, weights_digest
from segbench.execution.events import Emit
from segbench.execution.jobs import DeployJob
from segbench.networks.network import DeployedNetwork, build_network, deploy
from segbench.networks.perturb import perturb
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, Task
from segbench.util.image_size import Size
from segbench.util.value_range import ValueRange


@dataclass(frozen=True)
class DeployedModel:
    """A network to deploy. ``trained_on`` names the dataset of its weights; with ``random`` nothing has trained them."""

    setup: Setup
    backend: Chosen[BackendSpec]
    network: DeployedNetwork
    task: Task
    plan: InputPlan
    frames: Sequence[Images]
    canvas: Size
    trained_on: str | None = None
    random: bool = False
    value_ranges: Mapping[str, ValueRange] | None = None

    @property
    def example(self) -> Images:
        """One image on the canvas."""
        return fit(self.frames[0], self.canvas)

    @property
    def takes_any_size(self) -> bool:
        return self.backend.spec.takes_any_size(self.backend.options)

    def calibration(self) -> Sequence[Images]:
        """Images of the training split on the canvas, as many as are asked for; none where the backend does not calibrate.

        Raises :class:`DataError` for an empty split.
        """
        if not self.backend.spec.needs_calibration(self.backend.options):
            return ()
        split = self.setup.settings.train.split
        samples = self.setup.samples(split)
        if not len(samples):
            raise DataError(f"{self.backend} is calibrated on images of the training split, and '{split}' is empty. Set train.split.")
        return CalibrationImages(_frames(self.setup, samples, self.plan), self.setup.settings.deploy.calibration, self.canvas)

    def metadata(self, calibrated_on: int) -> dict[str, Any]:
        """The sidecar of the file."""
        return file_metadata(
            model=str(self.setup.model),
            task=self.task,
            plan=self.plan,
            input_size=self.canvas,
            backend=self.backend,
            weights={
                "sha256": weights_digest(self.network.state_dict()),
                "random": self.random,
                "trained_on": self.trained_on,
                "calibration_images": calibrated_on,
            },
            value_ranges=self.value_ranges,
        )


def open_model(job: DeployJob, emit: Emit, catalog: Catalog | None) -> DeployedModel:
    """Load what a job names: a trained cell or checkpoint, or a model with random weights.

    Without a dataset (a synthetic task) images are noise of the job's canvas.
    """
    setup = set_up(job.cell, emit, catalog)
    torch.set_num_threads(job.threads)
    backend, canvas = setup.catalog.backend(job.backend), job.canvas
    ranges = None
    if job.random:
        network, task, plan, trained_on = _random(setup)
    else:
        trained = trained_network(setup)
        network, task, plan, trained_on = deploy(trained.network), trained.task, trained.plan, trained.meta.dataset
        ranges = trained.meta.value_ranges
    network = network.to(setup.device).requires_grad_(False)
    if setup.dataset.choice.name == SYNTHETIC:
        assert canvas is not None
        frames: Sequence[Images] = NoiseImages(plan.channels, canvas, setup.settings.deploy.drift_images, setup.device)
    else:
        samples = setup.samples(scored_split(setup.dataset, setup.settings))
        canvas = canvas or canvas_of(samples, setup.settings)
        frames = _frames(setup, samples, plan)
    return DeployedModel(setup, backend, network, task, plan, frames, canvas, trained_on, job.random, ranges)


def _frames(setup: Setup, samples: Sequence[Any], plan: InputPlan) -> EvaluationImages:
    return EvaluationImages(samples, task=setup.task, plan=plan, settings=setup.settings, device=setup.device)


def _random(setup: Setup) -> tuple[DeployedNetwork, Task, InputPlan, None]:
    """A fresh network whose every part takes effect, and normalisation as a training would have it."""
    network = perturb(build_network(setup.model.spec, setup.model_task, setup.model.options, seed=0))
    plan = setup.inputs
    missing = plan.missing_normalisation()
    if missing and setup.dataset.choice.name != SYNTHETIC:
        from segbench.data.channel_statistics import compute_normalisation

        plan = plan.with_normalisation(compute_normalisation(setup.samples(setup.settings.train.split), setup.task, missing))
    return deploy(network), setup.task, plan, None
