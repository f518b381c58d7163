"""Export a network to the file that a backend ships, for one size and batch, so that another process can load and race it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.execution.cells.job import Setup, example_inputs, set_up, trained_network
from segbench.execution.events import Emit
from segbench.execution.jobs import RaceExportJob, RaceFile
from segbench.networks.network import Network, build_network, deploy
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, resolve
from segbench.util.files import folder_mb
from segbench.util.image_size import Size

RANDOM_CALIBRATION = 8
"""Number of random inputs for a quantization that is only raced: its speed does not depend on what it is calibrated on."""


def export_for_race(job: RaceExportJob, emit: Emit, catalog: Catalog | None = None) -> RaceFile:
    """Write the backend's file for the job's size and batch into its empty folder."""
    setup = set_up(job.cell, emit, catalog)
    torch.set_num_threads(job.threads)
    backend = setup.catalog.backend(job.backend)
    calibration: Sequence[tuple[Tensor, ...]] = ()
    if backend.spec.needs_calibration(backend.options):
        calibration = random_inputs(setup, job.size, batch_size=job.batch_size, count=RANDOM_CALIBRATION)
    started = time.perf_counter()
    path = export_network(setup, backend, job.size, job.batch_size, job.folder, calibration)
    return RaceFile(path, seconds=time.perf_counter() - started, file_mb=folder_mb(job.folder))


def export_network(
    setup: Setup,
    backend: Chosen[BackendSpec],
    size: Size,
    batch_size: int,
    folder: Path,
    calibration: Sequence[tuple[Tensor, ...]],
) -> Path:
    """Export the cell's network, trained where it has been, for inputs (``batch_size``, C, *``size``); the path of the file.

    Raises :class:`BackendError` where the backend cannot take it, or says that it wrote what is not there.
    """
    assert backend.spec.export is not None
    folder.mkdir(parents=True, exist_ok=True)
    deployed = deploy(race_network(setup).to(setup.device)).requires_grad_(False)
    inputs = example_inputs(setup.inputs, size, batch_size=batch_size, device=setup.device)
    with torch.no_grad():
        path = Path(resolve(backend.spec.export)(deployed, inputs, folder, backend.options, calibration))
    if not path.exists():
        raise BackendError(f"the export of {backend} returned '{path.name}', but there is no such file")
    return path


def race_network(setup: Setup) -> Network:
    """The cell's trained network, or a fresh one where it was not trained: costs depend on the shapes only."""
    if setup.checkpoint.exists():
        return trained_network(setup).network
    return build_network(setup.model.spec, setup.model_task, setup.model.options, seed=0)


def random_inputs(setup: Setup, size: Size, *, batch_size: int, count: int) -> list[tuple[Tensor, ...]]:
    """``count`` different random inputs (``batch_size``, C, *``size``), the same each time."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch_size, channels, *size) for channels in setup.inputs.channels]
    return [tuple(torch.randn(shape, generator=generator).to(setup.device) for shape in shapes) for _ in range(count)]
