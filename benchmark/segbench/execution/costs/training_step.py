"""Memory of a training step, taken by the training's own code: its precision, batch, accumulation, optimiser and heads.

The loss is cross-entropy for all: cells that differ in their loss share one network's measurement, and the peak is of activations.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from segbench.data.batches import TrainBatch
from segbench.execution.cells.job import Setup, example_inputs, set_up
from segbench.execution.events import Emit
from segbench.execution.jobs import CostJob, StepMemory
from segbench.measure.memory import PeakMemory
from segbench.plugin.specs import Progress
from segbench.training.determinism import training_mode
from segbench.training.fit import optimise
from segbench.training.meter import Meter
from segbench.training.session import Job, Session, open_session
from segbench.util.distributed import ProcessRank
from segbench.util.image_size import Size, format_size, parse_growing_size

# the second batch of an optimiser step is the first that runs while gradients are held; further ones need no more
_HELD_BATCHES = 2


def training_step_memory(job: CostJob, emit: Emit) -> StepMemory:
    """Peak memory of an optimiser step, weights and gradients included."""
    setup = set_up(job.cell, emit)
    torch.set_num_threads(job.threads)
    train = setup.settings.train
    size = parse_growing_size(train.image_size)[-1][1]
    with training_mode(deterministic=train.deterministic), tempfile.TemporaryDirectory() as empty:
        session = step_session(setup, Path(empty))
        group = [step_batch(setup, size)] * min(train.accumulate, _HELD_BATCHES)
        _step(session, group)
        with PeakMemory(setup.device) as memory:
            _step(session, group)
    return StepMemory(
        training_peak=memory.peak_mb,
        training_method=_method(session, format_size(size)),
        notes=[] if memory.peak_mb is not None else [f"training step {memory.method}"],
    )


def _method(session: Session, size: str) -> str:
    """What a step's memory depends on, in words."""
    train, precision = session.job.settings.train, {"off": "fp32"}.get(session.precision, session.precision)
    further = [*([f"{', '.join(train.freeze)} frozen"] if train.freeze else []), *(["with a moving average"] if train.ema else [])]
    step = f"batch {train.batch_size} at {size} in {precision}"
    return ", ".join([step, "cross-entropy whatever the loss", session.optimizer_name.partition(",")[0], *further])


def step_session(setup: Setup, directory: Path) -> Session:
    """A new training of the network, not compiled: that would take longer than measuring a step."""
    train = setup.settings.train.model_copy(update={"init_from": None, "compile": False})
    job = Job(
        model=setup.model,
        loss=setup.catalog.loss("ce"),
        task=setup.task,
        model_task=setup.model_task,
        plan=setup.inputs,
        train_samples=(),
        val_samples=None,
        settings=setup.settings.model_copy(update={"train": train}),
        seed=0,
        directory=directory,
        identity={},
    )
    session = open_session(job, ProcessRank(0, 1, setup.device))
    session.start_training()
    return session


def step_batch(setup: Setup, size: Size) -> TrainBatch:
    """Random inputs under stripes of all classes."""
    count, classes = setup.settings.train.batch_size, setup.task.num_classes
    stripes = torch.arange(size[1], device=setup.device) * classes // size[1]
    return TrainBatch(example_inputs(setup.inputs, size, batch_size=count, device=setup.device), stripes.expand(count, *size).contiguous())


def _step(session: Session, group: list[TrainBatch]) -> None:
    task = session.job.task
    meter = Meter(session.process, task.num_classes, task.ignore_index, 1, 1, session.precision)
    optimise(session, group, Progress(0, 1, 0, 1), meter)
