"""In a worker process, after the race: modules, energy and training step of one deployed model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from segbench.errors import SegbenchError
from segbench.execution.cells.job import Setup, example_inputs, set_up
from segbench.execution.costs.export import race_network
from segbench.execution.costs.training_step import step_batch, step_session
from segbench.execution.events import Emit
from segbench.execution.jobs import CostDetails, CostJob
from segbench.execution.plan.cell import measured_size
from segbench.execution.plan.sources import why_untrained
from segbench.measure.energy import Energy, energy_per_image
from segbench.measure.modules import measure_modules
from segbench.measure.training_step import Phase, PhaseClock, measure_steps
from segbench.networks.network import deploy
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Progress
from segbench.results.records import ModuleCosts, TrainingCost
from segbench.training.determinism import training_mode
from segbench.training.fit import optimise
from segbench.training.meter import Meter
from segbench.util.image_size import parse_growing_size
from segbench.util.sequences import first_line


def cost_details(job: CostJob, emit: Emit, catalog: Catalog | None = None) -> CostDetails:
    """Modules, energy and training step of a cell's network; a part that fails is None, with its reason among the notes."""
    setup = set_up(job.cell, emit, catalog)
    torch.set_num_threads(job.threads)
    notes: list[str] = []

    def tried(part: str, measure: Callable[[Setup], Any]) -> Any:
        try:
            return measure(setup)
        except Exception as error:  # plugin code: where one part of the cost fails, the others are still measured
            notes.append(f"{part} not measured: {first_line(error)}")
            return None

    modules: ModuleCosts | None = tried("modules", module_costs)
    energy: Energy | None = tried("energy", _energy)
    training: TrainingCost | None = tried("training step", training_step_cost)
    if energy is not None and energy.why:
        notes.append(f"energy not measured: {energy.why}")
    joules, method = (energy.joules, energy.method) if energy is not None else (None, None)
    return CostDetails(modules, training, joules, method, tuple(notes))


def module_costs(setup: Setup) -> ModuleCosts:
    """Own parameters, multiply-adds and time of each module of the deployed network, one image at the measured size."""
    if setup.model.spec.counts is not None:
        raise SegbenchError("its operations do not run in PyTorch modules")
    network = deploy(race_network(setup).to(setup.device))
    inputs = example_inputs(setup.inputs, measured_size(setup.settings), batch_size=1, device=setup.device)
    parts = {part: tuple(f"network.model.{prefix}" for prefix in prefixes) for part, prefixes in setup.model.spec.parts.items()}
    costs = measure_modules(network, inputs, parts=parts)
    return costs.model_copy(update={"modules": [row.model_copy(update={"name": _shown(row.name)}) for row in costs.modules]})


def _shown(name: str) -> str:
    """A module's name in the plugin's own model, without the prefix of the wrapper that pads inputs and resizes logits."""
    wrappers = {"": "(resizing of the logits)", "network": "(reading of the output)", "network.model": "(the model itself)"}
    return wrappers.get(name, name.removeprefix("network.model."))


def training_step_cost(setup: Setup) -> TrainingCost:
    """Time and memory of forward, backward and optimiser, by the training's own code at its batch, size and precision."""
    if untrained := why_untrained(setup.model):
        raise SegbenchError(untrained)
    train = setup.settings.train
    size = parse_growing_size(train.image_size)[-1][1]
    with training_mode(deterministic=train.deterministic), tempfile.TemporaryDirectory() as empty:
        session = step_session(setup, Path(empty))
        fabric, group = session.fabric, [step_batch(setup, size)]

        def step(begin: Callable[[], None], end: Callable[[Phase], None]) -> None:
            session.fabric = PhaseClock(fabric, begin, end)  # type: ignore[assignment]
            meter = Meter(session.process, setup.task.num_classes, setup.task.ignore_index, 1, 1, session.precision)
            begin()
            optimise(session, group, Progress(0, 1, 0, 1), meter)
            end("optimiser")

        cost = measure_steps(step, device=setup.device)
    precision = {"off": "fp32"}.get(session.precision, session.precision)
    return cost.model_copy(update={"batch_size": train.batch_size, "image_size": size, "precision": precision})


def _energy(setup: Setup) -> Energy:
    network = deploy(race_network(setup).to(setup.device))
    inputs = example_inputs(setup.inputs, measured_size(setup.settings), batch_size=1, device=setup.device)

    def call() -> object:
        with torch.inference_mode():
            return network(*inputs)

    return energy_per_image(call, images=1, device=setup.device)
