"""The record of a finished training."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from segbench.data.class_pixels import balanced_shares, sampling_note
from segbench.networks.checkpoint_meta import CheckpointMeta, read_meta
from segbench.networks.checkpoints import Checkpoint, write_checkpoint
from segbench.networks.load import derive_network
from segbench.networks.network import build_network
from segbench.networks.weights import load_weights
from segbench.plugin.inputs import with_classes
from segbench.plugin.specs import GivenWeights, resolve
from segbench.results.records import LoadedWeights, Training
from segbench.results.training_epochs import median_speed, speed_notes
from segbench.training.diagnosis import diagnose
from segbench.training.session import Job, Session, build_job_network, describe_job
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
        weights=None if state.weights is None else LoadedWeights.model_validate(state.weights),
        diagnosis=diagnose(state.history, settings),
    )
    return training.model_copy(update={"notes": [*notes, *speed_notes(training)]})


def keep_given_weights(job: Job, *, device: str) -> Training:
    """Write the ``best.pt`` of a model that comes with its weights. Raises what its ``build`` raises."""
    spec = job.model.spec
    assert spec.given is not None
    given: GivenWeights = resolve(spec.given)(job.model_task, job.model.options)
    network = build_network(spec, job.model_task, job.model.options, seed=job.seed)
    meta = replace(
        describe_job(job),
        loss=None,
        task=with_classes(job.task, job.model_task.class_names),
        dataset=given.trained_on,
    )
    write_checkpoint(job.directory / "best.pt", Checkpoint(network.model.state_dict(), meta, job.identity, {}))
    return Training(epochs_run=0, select_on=job.settings.train.select_on, device=device, notes=["its weights are as given"])


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


def take_as_given(job: Job, *, device: str) -> Training:
    """Write the ``best.pt`` of a model that is not trained: with the weights of the job's file, else as it is built.

    Raises :class:`CheckpointError` where the file is not of this network.
    """
    network = build_job_network(job)
    file = job.weights or (Path(job.settings.train.init_from) if job.settings.train.init_from else None)
    loaded, source = None, read_meta(job.parts[0]) if job.parts else None
    if file is not None:
        loaded, source = load_weights(network.model, file, partial=job.partial_weights, subject=str(job.model))
    write_checkpoint(job.directory / "best.pt", Checkpoint(network.model.state_dict(), _meta_as_given(job, source), job.identity, {}))
    return Training(epochs_run=0, as_given=True, weights=loaded, device=device)


def _meta_as_given(job: Job, source: CheckpointMeta | None) -> CheckpointMeta:
    """What the weights' own file says of their training and classes; nothing is claimed where it does not say."""
    own = describe_job(job)
    if source is None:
        return replace(own, loss=None, dataset=None, train_split=None, select_on=None, as_given=True)
    history = ("loss", "dataset", "train_split", "select_on", "epoch", "val_miou", "value_ranges")
    known = {name: getattr(source, name) for name in history}
    return replace(own, task=replace(own.task, class_names=source.task.class_names), as_given=True, **known)
