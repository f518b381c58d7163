"""The check of a run's data before anything is trained: the census of the splits that it uses."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segbench.config.settings import DataSettings, Settings
from segbench.data.folds import part_of_splits, pooled_splits
from segbench.data.problem_text import problem_sentences
from segbench.data.selection import scored_split
from segbench.errors import DataError
from segbench.execution.plan.cell import Cell
from segbench.execution.plan.plan import Plan
from segbench.plugin.specs import resolve
from segbench.util.folds import parse_fold
from segbench.util.image_size import parse_growing_size, parse_size
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from segbench.data.census import SplitStatistics  # it needs torch, which a plan does not

MOST_SAMPLES = 5000
"""Samples of a split that are looked at; of larger splits those at even distances. ``segbench data check`` reads all."""

_MOST_NAMED = 4
_OTHER_SCALE = 1.5


def check_data(plan: Plan, *, training: bool = True) -> list[str]:
    """Warnings of the census of a plan's data, a sentence each; the census is kept by the data's digest, so that the data is read once.

    Raises :class:`DataError` for what makes every score wrong or every cell fail. Of embedded datasets only the folds are counted.
    """
    if not plan.cells:
        return []
    settings = plan.cells[0].settings
    data = settings.data
    if plan.dataset.spec.embedded or plan.root is None:
        _refuse_too_many_folds(plan, data)
        return []
    from segbench.data.check import census_of  # it needs torch, which a plan does not

    training = training and any(map(_needs_training_split, plan.cells))
    trained = settings.train.split if training and data.fold is None else None  # one census for all folds, which name splits of their own
    report = census_of(
        plan.dataset,
        plan.task,
        plan.root,
        digest=plan.digest,
        splits=_splits(plan, training=training),
        trained=trained,
        folds=data.fold is not None,
        most=min(data.limit or MOST_SAMPLES, MOST_SAMPLES),
    )
    sentences = problem_sentences(report.problems)
    errors = [text for text, severity in sentences.items() if severity == "error"]
    if errors:
        more = [f"and {counted(len(errors) - _MOST_NAMED, 'more problem')}"] if len(errors) > _MOST_NAMED else []
        command = f"segbench data check {shlex.quote(str(plan.dataset))} --data {shlex.quote(str(plan.root))}"
        lines = [f"the data of '{plan.dataset}' cannot be used as it is.", *errors[:_MOST_NAMED], *more, f"The whole census: {command}"]
        raise DataError("\n  ".join(lines))
    _refuse_too_many_folds(plan, data)
    scale = [scale_note(report.splits, settings)] if training and not settings.train.as_given else []
    return [f"data: {text}" for text in sentences] + [text for text in scale if text]


def _refuse_too_many_folds(plan: Plan, data: DataSettings) -> None:
    """Raise :class:`DataError` where there are fewer scenes or images than folds, before the first fold is trained."""
    if data.fold is None:
        return
    spec, options, root = plan.dataset.spec, plan.dataset.options, plan.root
    part_of_splits(
        plan.dataset,
        parse_fold(str(data.fold)).scored,
        data,
        lambda split: resolve(spec.load)(root, split, options),
        lambda split: resolve(spec.groups)(root, split, options) if spec.groups else None,
    )


def scale_note(splits: Sequence[SplitStatistics], settings: Settings) -> str:
    """A sentence where images are shrunk or enlarged to train and scored at their own size: objects have two sizes then."""
    train, scored = settings.train, settings.eval
    if scored.resize != "none" or train.augmentation == "crop":
        return ""
    size = parse_growing_size(train.image_size)[-1][1]
    for split in splits:
        for text in split.sizes:
            factor = min(length / native for length, native in zip(size, parse_size(text), strict=True))
            if not 1 / _OTHER_SCALE < factor < _OTHER_SCALE:
                return (
                    f"images of {text} are brought to {size[0]}x{size[1]} for training ({factor:.2f} times their size) and scored at their "
                    "own size: a network sees objects of another size than it learned. train.augmentation=crop trains at their own scale."
                )
    return ""


def _splits(plan: Plan, *, training: bool) -> list[str]:
    """Splits that the plan's cells train, select or score on; of folds all that are divided."""
    names = plan.dataset.spec.split_names(plan.dataset.options)
    used: list[str] = []
    for cell in plan.cells:
        if cell.settings.data.fold is not None:
            used += pooled_splits(plan.dataset)
            continue
        train = [cell.settings.train.split, cell.settings.train.select_on] if training and _needs_training_split(cell) else []
        used += [name for name in (*train, scored_split(plan.dataset, cell.settings)) if name is not None]
    return [name for name in names if name in used]


def _needs_training_split(cell: Cell) -> bool:
    """True for a cell that is trained, and for one as given whose inputs' mean and deviation are taken from the training split."""
    return not cell.as_given or bool(cell.inputs.missing_normalisation())
