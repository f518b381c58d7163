"""The record of a finished training."""

from __future__ import annotations

from segbench.results import Training
from segbench.training.diagnosis import diagnose
from segbench.training.session import Session, State


def record(session: Session, *, peak_memory_mb: float | None) -> Training:
    """What ``run.json`` says about this training; makes sure that ``best.pt`` exists."""
    job, state, place, settings = session.job, session.state, session.place, session.job.settings.train
    best_epoch = state.stopping.best_epoch
    if best_epoch is None:
        best_epoch = state.epochs_done or None
        if place.first:
            session.save_best()
    notes = list(state.notes)
    if place.world_size > 1:
        notes.append(
            f"{place.world_size} processes: batch normalisation sees each process's own {settings.batch_size} images, "
            "running statistics are averaged after each epoch"
        )
    if job.val_samples is None and settings.patience is not None:
        notes.append("train.patience has no effect without a validation split (train.select_on)")
    return Training(
        epochs_run=state.epochs_done,
        best_epoch=best_epoch,
        best_score=state.stopping.best_score,
        select_on=settings.select_on if job.val_samples is not None else None,
        seconds=state.seconds,
        validation_seconds=state.validation_seconds if job.val_samples is not None else None,
        images_per_second=_images_per_second(state),
        peak_memory_mb=peak_memory_mb,
        device=place.device,
        precision=session.precision,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        world_size=place.world_size,
        stopped=state.stopped,
        nondeterministic=state.nondeterministic,
        notes=notes,
        history=state.history,
        diagnosis=diagnose(state.history),
    )


def _images_per_second(state: State) -> float | None:
    """Of all epochs but the first, which starts workers and warms caches; of the first where it is the only one."""
    rows = list(zip(state.images, state.history, strict=True))
    rows = rows[1:] or rows
    seconds = sum(row.seconds or 0.0 for _, row in rows)
    return sum(images for images, _ in rows) / seconds if seconds else None
