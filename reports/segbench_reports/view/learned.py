"""Models that learned nothing (one class predicted in every image), and the classes that a run's means are over; read by every format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench import AveragedClasses, CellResult, RunResult, averaged_classes, missing_headline, nothing_learned, only_class_of
from segbench_reports.text import numbers
from segbench_reports.text.verdicts import learned_nothing, partly_learned
from segbench_reports.view.cells import cell_name
from segbench_reports.view.main_table import Row


def is_collapsed(cells: Iterable[CellResult]) -> bool:
    """True where each of a model's scored cells predicts one class everywhere: it takes part in no sentence on speed and quality."""
    scored = [cell for cell in cells if cell.quality]
    return bool(scored) and all(only_class_of(cell) is not None for cell in scored)


def collapsed_words(cells: Iterable[CellResult]) -> str:
    """What such a model is: ``predicts only background: nothing learned``; of several seeds all the classes."""
    return nothing_learned(" or ".join(dict.fromkeys(name for cell in cells if (name := only_class_of(cell)) is not None)))


def learned_sentences(rows: Sequence[Row], axes: Sequence[str]) -> list[str]:
    """A sentence for each kind of model that predicts one class everywhere, with all of its seeds or with some, and the remedy."""
    whole: dict[str, list[Row]] = {}
    partly: list[str] = []
    for row in rows:
        hit = [cell for cell in row.cells if only_class_of(cell) is not None]
        if is_collapsed(row.cells):
            whole.setdefault(collapsed_words(row.cells), []).append(row)
        elif hit:
            partly.append(partly_learned(cell_name(row.cell, axes), collapsed_words(hit), len(hit), len(row.cells), hit))
    sentences = [
        learned_nothing([cell_name(row.cell, axes) for row in group], what, [cell for row in group for cell in row.cells])
        for what, group in whole.items()
    ]
    return [*sentences, *partly]


def run_classes(result: RunResult) -> AveragedClasses | None:
    """The classes that all means of a run are over; None where it has no scores, or scores over different classes."""
    known = _averaged(result)
    return known[0] if len({one.names for one in known}) == 1 else None


def over_classes(result: RunResult) -> str:
    """`` over 9 of 11 classes`` behind a split's name where a class has no label pixels there; empty where all have."""
    classes = run_classes(result)
    return f" over {classes.short}" if classes is not None and classes.absent else ""


def chart_note(result: RunResult, cells: Iterable[CellResult]) -> str:
    """The end of a caption: how many classes scores are over, where not all have labels, and what is left out of a chart of quality."""
    classes = run_classes(result)
    over = f"; mIoU is the mean over {classes.short}" if classes is not None and classes.absent else ""
    count = sum(only_class_of(cell) is not None for cell in cells)
    left = f"; without {numbers.counted(count, 'network')} that predicted one class in every image" if count else ""
    return over + left


def class_notes(result: RunResult) -> list[str]:
    """How many classes each mean is over, which have no pixel, and why the headline class has no figure; in plain text."""
    known = list(dict.fromkeys(_averaged(result)))
    notes = []
    if len(known) == 1:
        alone = " Predicting that class everywhere scores 100 %." if len(known[0].names) == 1 else ""
        notes.append(f"Means over classes are over {known[0].words}.{alone}")
    elif known:
        words = numbers.listed(list(dict.fromkeys(one.words for one in known)))
        notes.append(f"Means over classes are over different classes and cannot be compared from row to row: {words}.")
    for cell in result.cells:
        if missing := missing_headline(cell.quality):
            split = cell.quality.split if cell.quality else ""
            return [*notes, f"No IoU of {missing}: the scored split ({split}) has no pixel of it. Check the labels: segbench data check."]
    return notes


def _averaged(result: RunResult) -> list[AveragedClasses]:
    return [known for cell in result.cells if (known := averaged_classes(cell.quality)) is not None]
