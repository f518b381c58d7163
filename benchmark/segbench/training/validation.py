"""Validation after an epoch: its scores, whether its weights are the best so far, and whether training stops."""

from __future__ import annotations

from segbench.data.visualization import prediction_panel
from segbench.measure.quality.augmentation import without_augmentation
from segbench.measure.quality.evaluate import Evaluation, evaluate
from segbench.measure.quality.scores import score
from segbench.plugin.choice import slug
from segbench.plugin.specs import Progress
from segbench.results.records import Epoch
from segbench.training.schedules import Stopping
from segbench.training.session import Job, Session
from segbench.util.sequences import counted, evenly_spaced


def validate(session: Session, row: Epoch) -> tuple[Epoch, bool]:
    """The row with validation scores, where this epoch is validated, and whether its weights are the best so far.

    Without a validation split none is, and the record keeps the last.
    """
    job, state, settings = session.job, session.state, session.job.settings
    last = row.epoch == settings.train.epochs
    if job.val_samples is None:
        state.plateau = state.plateau.seen(None if row.train_loss is None else -row.train_loss)
        return row, False
    if row.epoch % settings.eval.every and not last:
        return row, False
    evaluation = _evaluate_epoch(session, row)
    scored = score(evaluation.matrices, class_names=job.task.class_names, split="")
    miou = None if evaluation.nonfinite.pixels else scored.miou
    if evaluation.nonfinite.pixels:
        state.notes.append(f"epoch {row.epoch} has no validation score: {evaluation.nonfinite}")
    before = state.stopping.best_epoch
    state.stopping = state.stopping.seen(miou, epoch=row.epoch)
    state.plateau = state.plateau.seen(miou)
    state.validation_seconds += evaluation.seconds
    if state.stopping.exhausted and not last:
        state.stopped = _early(state.stopping)
    seen = {
        "val_loss": evaluation.loss,
        "val_miou": miou,
        "val_classes_averaged": scored.classes_averaged,
        "val_classes": job.task.num_classes,
        "val_only_class": scored.only_class if miou is not None else None,
    }
    return row.model_copy(update=seen), state.stopping.best_epoch != before


def _early(stopping: Stopping) -> str:
    validations = counted(stopping.waited, "validation")
    if stopping.best_epoch is None:
        return f"early: {validations} without any score"
    return f"early: {validations} without a better score than epoch {stopping.best_epoch}'s"


def _evaluate_epoch(session: Session, row: Epoch) -> Evaluation:
    job, process, settings = session.job, session.process, session.job.settings
    assert job.val_samples is not None
    steps = session.state.steps_done
    every = settings.eval.pictures_every
    pictured = evenly_spaced(len(job.val_samples), settings.eval.pictures) if job.pictures and every and row.epoch % every == 0 else ()
    evaluation = evaluate(
        session.result,
        job.val_samples,
        task=job.task,
        plan=job.plan,
        # checkpoints are chosen on the plain image: augmentation belongs to the final score, and its loss is none
        settings=settings.model_copy(update={"eval": without_augmentation(settings.eval)}),
        device=process.device,
        workers=settings.train.workers,
        rank=process.rank,
        world_size=process.world_size,
        want_pictures=pictured,
        loss=session.loss.plain,
        progress=Progress(row.epoch - 1, settings.train.epochs, steps, steps // row.epoch * settings.train.epochs),
    )
    if pictured and process.first:
        _save_pictures(job, evaluation, row.epoch)
    return evaluation


def _save_pictures(job: Job, evaluation: Evaluation, epoch: int) -> None:
    assert job.val_samples is not None
    assert job.pictures is not None
    job.pictures.mkdir(parents=True, exist_ok=True)
    for index, prediction in sorted(evaluation.predictions.items()):
        sample = job.val_samples[index]
        panel = prediction_panel(sample, prediction, job.task, caption=f"epoch {epoch}")
        panel.save(job.pictures / f"{slug(sample.id)}-epoch{epoch:03d}.png")
