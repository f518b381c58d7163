"""A network written to the file that a backend ships, for one size and batch; what was written is loaded in another process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.execution.cells.job import Emit, Setup, example_inputs, set_up, trained_network
from segbench.networks.network import Network, build_network, deploy
from segbench.plugin.chosen import Chosen
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import BackendSpec, resolve
from segbench.util.files import folder_mb
from segbench.util.image_size import Size

RANDOM_CALIBRATION = 8
"""Random inputs for a quantization whose speed alone is asked for: that does not depend on what is calibrated on."""


def export_for_race(job: Mapping[str, Any], emit: Emit, catalog: Catalog | None = None) -> dict[str, Any]:
    """Write ``job["backend"]``'s file for ``job["size"]`` and ``job["batch_size"]`` into the empty folder ``job["folder"]``."""
    setup = set_up(job, emit, catalog)
    torch.set_num_threads(int(job["threads"]))
    backend = setup.catalog.backend(job["backend"])
    size, batch_size, folder = (job["size"][0], job["size"][1]), int(job["batch_size"]), Path(job["folder"])
    calibration: Sequence[tuple[Tensor, ...]] = ()
    if backend.spec.needs_calibration(backend.options):
        calibration = random_inputs(setup, size, batch_size=batch_size, count=RANDOM_CALIBRATION)
    started = time.perf_counter()
    path = export_network(setup, backend, size, batch_size, folder, calibration)
    seconds = time.perf_counter() - started
    return {"path": str(path), "seconds": seconds, "file_mb": folder_mb(folder)}


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
    """So many different random inputs (``batch_size``, C, *``size``), the same each time."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch_size, channels, *size) for channels in setup.inputs.channels]
    return [tuple(torch.randn(shape, generator=generator).to(setup.device) for shape in shapes) for _ in range(count)]
