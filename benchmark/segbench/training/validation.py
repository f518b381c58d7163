"""What happens after an epoch: score it, and decide what to keep and whether to go on."""

from __future__ import annotations

from segbench.data.visualization import prediction_panel
from segbench.measure.quality.augmentation import without
from segbench.measure.quality.evaluate import Evaluation, evaluate
from segbench.measure.quality.scores import score
from segbench.plugin.choice import slug
from segbench.plugin.specs import Progress
from segbench.results.records import Epoch
from segbench.training.session import Job, Session
from segbench.util.sequences import evenly_spaced


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
    found = _evaluate(session, row)
    miou = score(found.matrices, class_names=job.task.class_names, split="").miou
    before = state.stopping.best_epoch
    state.stopping = state.stopping.seen(miou, epoch=row.epoch)
    state.plateau = state.plateau.seen(miou)
    state.validation_seconds += found.seconds
    if state.stopping.exhausted and not last:
        state.stopped = f"early: {state.stopping.waited} validations without a better score than epoch {state.stopping.best_epoch}'s"
    return row.model_copy(update={"val_loss": found.loss, "val_miou": miou}), state.stopping.best_epoch != before


def _evaluate(session: Session, row: Epoch) -> Evaluation:
    job, place, settings = session.job, session.place, session.job.settings
    assert job.val_samples is not None
    steps = session.state.steps_done
    every = settings.eval.pictures_every
    wanted = evenly_spaced(len(job.val_samples), settings.eval.pictures) if job.pictures and every and row.epoch % every == 0 else ()
    found = evaluate(
        session.network,
        job.val_samples,
        task=job.task,
        plan=job.plan,
        # checkpoints are chosen on the plain image: augmentation belongs to the final score, and its loss is none
        settings=settings.model_copy(update={"eval": without(settings.eval)}),
        device=place.device,
        workers=settings.train.workers,
        rank=place.rank,
        world_size=place.world_size,
        want_pictures=wanted,
        loss=session.loss.plain,
        progress=Progress(row.epoch - 1, settings.train.epochs, steps, steps // row.epoch * settings.train.epochs),
    )
    if wanted and place.first:
        _draw(job, found, row.epoch)
    return found


def _draw(job: Job, found: Evaluation, epoch: int) -> None:
    assert job.val_samples is not None
    assert job.pictures is not None
    job.pictures.mkdir(parents=True, exist_ok=True)
    for index, prediction in sorted(found.predictions.items()):
        sample = job.val_samples[index]
        panel = prediction_panel(sample, prediction, job.task, caption=f"epoch {epoch}")
        panel.save(job.pictures / f"{slug(sample.id)}-epoch{epoch:03d}.png")
