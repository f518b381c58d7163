"""The record of a finished training."""

from __future__ import annotations

import time
from dataclasses import replace

from segbench.data.class_pixels import balanced_shares, sampling_note
from segbench.networks.checkpoint_meta import read_meta
from segbench.networks.checkpoints import Checkpoint, write_checkpoint
from segbench.networks.load import derive_network
from segbench.results.records import Training
from segbench.results.training_epochs import median_speed, speed_notes
from segbench.training.diagnosis import diagnose
from segbench.training.session import Job, Session, describe_job
from segbench.util.sequences import counted


def record(session: Session, *, peak_memory_mb: float | None) -> Training:
    """The training as ``run.json`` records it; writes ``best.pt`` where no epoch has been the best."""
    job, state, process, settings = session.job, session.state, session.process, session.job.settings.train
    best_epoch = state.stopping.best_epoch
    if best_epoch is None:
        best_epoch = state.epochs_done or None
        if process.first:
            session.save_best()
    notes = list(state.notes)
    if process.world_size > 1:
        notes.append(
            f"{process.world_size} processes: batch normalisation sees each process's own {counted(settings.batch_size, 'image')}, "
            "running statistics are averaged after each epoch"
        )
    if settings.sampler == "balanced" and job.class_pixels is not None:
        notes.append(sampling_note(balanced_shares(job.class_pixels)))
    if job.val_samples is None and settings.patience is not None:
        notes.append("train.patience has no effect without a validation split (train.select_on)")
    training = Training(
        epochs_run=state.epochs_done,
        best_epoch=best_epoch,
        best_score=state.stopping.best_score,
        select_on=settings.select_on if job.val_samples is not None else None,
        seconds=state.seconds,
        validation_seconds=state.validation_seconds if job.val_samples is not None else None,
        images_per_second=median_speed(state.history),
        peak_memory_mb=peak_memory_mb,
        device=process.device,
        precision=session.precision,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        world_size=process.world_size,
        optimizer=session.optimizer_name,
        class_weights=list(session.class_weights),
        trainable_params=session.trainable_params,
        stopped=state.stopped,
        nondeterministic=state.nondeterministic,
        notes=notes,
        history=state.history,
        diagnosis=diagnose(state.history, settings),
    )
    return training.model_copy(update={"notes": [*notes, *speed_notes(training)]})


def assemble(job: Job, *, names: str, device: str) -> Training:
    """Write the ``best.pt`` of a model made of trained ones. Raises :class:`CheckpointError` where the members cannot go together."""
    started = time.perf_counter()
    network = derive_network(job.model, job.model_task, job.parts, plan=job.plan)
    meta = replace(describe_job(job), value_ranges=read_meta(job.parts[0]).value_ranges if job.parts else None)
    write_checkpoint(job.directory / "best.pt", Checkpoint(network.model.state_dict(), meta, job.identity, {}))
    return Training(
        epochs_run=0,
        select_on=job.settings.train.select_on,
        device=device,
        notes=[f"put together in {time.perf_counter() - started:.1f} s of {names}, without training of its own"],
    )
