"""Training: one loop, the same for every model, loss, device and number of processes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from segbench.config.settings import Settings
from segbench.data.batches import TrainBatch
from segbench.data.channel_statistics import value_ranges
from segbench.data.class_pixels import ClassPixels
from segbench.data.loaders import TrainLoader, train_loader
from segbench.measure.memory import PeakMemory
from segbench.networks.foreign import collected_remarks
from segbench.networks.losses import valid_pixels
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import AugmentationSpec, LossBatch, LossSpec, ModelSpec, Progress, Sample, Task
from segbench.results.records import Epoch, Training
from segbench.training.bystanders import Bystanders
from segbench.training.determinism import seed_everything, training_mode
from segbench.training.distributed import Emit, run_in_processes
from segbench.training.meter import Meter
from segbench.training.progress import ProgressEvents
from segbench.training.record import record
from segbench.training.schedules import rate_at, set_rate
from segbench.training.session import Job, Session, open_session
from segbench.training.validation import validate
from segbench.util.distributed import ProcessRank, average_buffers, average_gradients, total
from segbench.util.image_size import parse_growing_size, size_at
from segbench.util.plain_data import Plain

ItemT = TypeVar("ItemT")


def fit(
    *,
    model: Chosen[ModelSpec],
    loss: Chosen[LossSpec],
    task: Task,
    model_task: Task,
    plan: InputPlan,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample] | None,
    settings: Settings,
    seed: int,
    device: str,
    directory: Path,
    emit: Emit,
    identity: Mapping[str, Plain],
    pictures: Path | None = None,
    dataset: str | None = None,
    parts: tuple[Path, ...] = (),
    teacher: Path | None = None,
    weights: Path | None = None,
    partial_weights: bool = False,
    class_pixels: ClassPixels | None = None,
    augmentation: Chosen[AugmentationSpec] | None = None,
) -> Training:
    """Train, validate, and keep ``best.pt`` and ``last.pt`` in ``directory``; resume where ``last.pt`` has the same ``identity``.

    Without ``val_samples`` the last epoch is the best. Emits ``"epoch"`` (the keys of :class:`~segbench.results.records.Epoch`, ``epochs``,
    ``eta_seconds``) and a few times a second ``"batch"``. ``pictures`` is the folder for pictures every ``eval.pictures_every`` epochs,
    ``dataset`` the dataset's name in checkpoints, ``parts`` and ``teacher`` the checkpoints that the model is made of and learns from,
    ``weights`` a file that it starts from, of which with ``partial_weights`` some may be missing,
    ``class_pixels`` the pixels (images, classes) of the training split, which class weights by a rule and balanced sampling need,
    ``augmentation`` what ``train.augmentation`` names where a plugin gives it.

    Raises :class:`~segbench.training.failures.NonFiniteLossError` where the loss is no number, :class:`~segbench.errors.CheckpointError`,
    :class:`~segbench.errors.DataError`; running out of memory surfaces as torch raises it (``failures.is_out_of_memory``).
    """
    destinations = (directory, identity, pictures, dataset, parts, teacher, weights, partial_weights, class_pixels, augmentation)
    job = Job(model, loss, task, model_task, plan, train_samples, val_samples, settings, seed, *destinations)
    return run_in_processes(train, job, emit, world_size=settings.execute.devices, device=device)


def train(job: Job, process: ProcessRank, emit: Emit) -> Training:
    """Train in one process of the group."""
    settings = job.settings.train
    with (
        collected_remarks() as remarks,
        PeakMemory(process.device) as memory,
        training_mode(deterministic=settings.deterministic) as nondeterministic,
    ):
        session = open_session(job, process)
        if process.first:
            session.value_ranges = value_ranges(job.train_samples, [name for group in job.plan.groups for name in group])
        loader = train_loader(
            job.train_samples,
            task=job.task,
            plan=job.plan,
            settings=settings,
            prepare=session.loss.prepare,
            augmentation=job.augmentation,
            class_pixels=job.class_pixels,
            seed=job.seed,
            rank=process.rank,
            world_size=process.world_size,
            device=process.device,
        )
        state, events = session.state, ProgressEvents(emit, epochs=settings.epochs, epochs_before=session.state.epochs_done)
        try:
            while state.epochs_done < settings.epochs and state.stopped is None:
                row = train_epoch(session, loader, events)
                state.epochs_done = row.epoch
                row, best = validate(session, row)
                state.history.append(row)
                state.nondeterministic = sorted({*state.nondeterministic, *nondeterministic})
                session.save(best=best)
                events.epoch(row)
        finally:
            loader.close()
    if process.world_size > 1:  # remarks of one process reach the row by themselves
        state.notes += [note for note in remarks if note not in state.notes]
    return record(session, peak_memory_mb=memory.peak_mb if events.epoch_ended else None)


def train_epoch(session: Session, loader: TrainLoader, events: ProgressEvents) -> Epoch:
    """One pass over the training split."""
    job, process, state, settings = session.job, session.process, session.state, session.job.settings.train
    steps = math.ceil(len(loader) / settings.accumulate)
    epoch, size = state.epochs_done, size_at(parse_growing_size(settings.image_size), state.epochs_done / settings.epochs)
    seed_everything(job.seed, epoch, process.rank)
    loader.set_epoch(epoch, size)
    session.start_training()
    # on the CPU reading each loss is free; elsewhere it would make the device wait
    every = 1 if process.device == "cpu" and process.world_size == 1 else 20
    meter = Meter(process, job.task.num_classes, job.task.ignore_index, epoch + 1, every, session.precision)
    bystanders = Bystanders(process)
    started = time.perf_counter()
    for group in _groups(loader, settings.accumulate):
        progress = Progress(epoch, settings.epochs, state.steps_done, steps * settings.epochs)
        rate = rate_at(settings.schedule, lr=settings.lr, step=progress.step, steps=progress.steps)
        lr = set_rate(session.optimizer, rate, factor=state.plateau.factor, momentum=settings.momentum)
        norm = optimise(session, group, progress, meter)
        meter.step(norm, lr)
        state.steps_done += 1
        events.batch(epoch + 1, state.steps_done - epoch * steps, steps, meter, lr, images=meter.images * process.world_size)
    meter.read()
    seconds = time.perf_counter() - started
    other_cpu_share, other_gpu_processes = bystanders.seen()
    average_buffers(session.network, process)
    if session.average is not None:
        average_buffers(session.average, process)
    images = int(total(torch.tensor(meter.images), process))
    state.seconds += seconds
    return Epoch(
        epoch=epoch + 1,
        train_loss=meter.mean_loss,
        loss_parts=meter.mean_parts,
        learning_rate=lr,
        train_miou=meter.miou(),
        gradient_norm=meter.mean_norm,
        seconds=seconds,
        images_per_second=images / seconds,
        other_cpu_share=other_cpu_share,
        other_gpu_processes=other_gpu_processes,
        image_size=size,
    )


def optimise(session: Session, group: Sequence[TrainBatch], progress: Progress, meter: Meter) -> torch.Tensor:
    """One optimiser step over a group of batches, as if they were one: returns the gradient's norm before clipping.

    Each batch's loss is a mean over its own valid pixels. Weighted by its share of the valid pixels of all batches in all
    processes, the gradients add up to those of one large batch.
    """
    job, process, fabric = session.job, session.process, session.fabric
    pixels = [valid_pixels(batch.mask, job.task.ignore_index) for batch in group]
    everywhere = total(torch.stack(pixels).sum(), process).clamp(min=1)
    for index, batch in enumerate(group):
        inputs = batch.inputs
        if job.settings.train.channels_last:
            inputs = tuple(x.contiguous(memory_format=torch.channels_last) for x in inputs)
        # a compiled network is not guarded: it gets copies, as losses and teachers see the same inputs
        lent = tuple(x.clone() for x in inputs) if job.settings.train.compile else inputs
        with fabric.autocast():
            outputs = session.network(*lent)
        value = session.loss(outputs, LossBatch(inputs, batch.mask, batch.extras), progress)
        # averaging over processes divides by their number
        fabric.backward(value.total * (pixels[index] / everywhere * process.world_size))
        meter.add(value, outputs["logits"], batch.mask, pixels=pixels[index])
    average_gradients(session.trained, process)
    clip = job.settings.train.clip
    norm = fabric.clip_gradients(session.wrapped, session.optimizer, max_norm=math.inf if clip is None else clip, error_if_nonfinite=False)
    session.optimizer.step()
    session.optimizer.zero_grad()
    session.update_average(progress.step + 1)
    assert norm is not None
    return norm


def _groups(items: Iterable[ItemT], count: int) -> Iterator[list[ItemT]]:
    """Consecutive lists of ``count`` items, the last one perhaps shorter.

    >>> list(_groups([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    iterator = iter(items)
    while group := list(itertools.islice(iterator, count)):
        yield group
