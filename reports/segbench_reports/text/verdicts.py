"""Comparisons in words and figures: the one place that says what a verdict means, with digits that never contradict it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from segbench import CellResult, Comparison, averaged_classes, metric, only_class_of, only_masks
from segbench_reports.text import numbers

NO_DIFFERENCE = "no difference shown"
CANNOT_TELL = "cannot tell"
FAVOURABLE = frozenset({"better", "faster", "less"})
UNFAVOURABLE = frozenset({"worse", "slower", "more"})
OPPOSITE = {"better": "worse", "faster": "slower", "less": "more"} | {"worse": "better", "slower": "faster", "more": "less"}

NOT_SHOWN = "n.s."
"""Behind a ratio or a difference that its verdict does not show."""
NOT_SHOWN_NOTE = "n.s.: no difference shown"

_MOST_DECIMALS = 5


def is_shown(comparison: Comparison | None) -> bool:
    """True where the verdict says that the sides differ."""
    return comparison is not None and comparison.verdict in FAVOURABLE | UNFAVOURABLE


def effect(comparison: Comparison) -> str:
    """The difference in points or the ratio; an en dash where none was measured.

    >>> effect(Comparison(quantity="miou", subject="b", baseline="a", value=-0.0123, low=-0.02, high=-0.004, verdict="worse"))
    '−1.2'
    >>> faster = {"reading": "ratio", "value": 0.9972, "low": 0.9961, "high": 0.9983, "verdict": "faster"}
    >>> effect(Comparison(quantity="latency_ms", subject="b", baseline="a", **faster))
    '×0.997'
    """
    value = _finite(comparison.value)
    return numbers.NOT_MEASURED if value is None else _written(comparison)(value)


def bounds(comparison: Comparison, *, limits: Sequence[float] = ()) -> str:
    """The interval, from low to high; empty where there is none.

    >>> bounds(Comparison(quantity="miou", subject="a", baseline="b", low=-0.031, high=0.004))
    '−3.1 to +0.4'
    """
    low, high = _finite(comparison.low), _finite(comparison.high)
    return "" if low is None or high is None else " to ".join(map(_written(comparison, limits), (low, high)))


def relative(comparison: Comparison | None) -> str:
    """What a table shows below a value: the effect, marked where it is not shown; empty where the data cannot tell.

    >>> equal = {"reading": "ratio", "value": 1.01, "low": 0.97, "high": 1.05, "verdict": "no difference shown"}
    >>> relative(Comparison(quantity="latency_ms", subject="b", baseline="a", **equal))
    '×1.01 n.s.'
    >>> relative(Comparison(quantity="latency_ms", subject="b", baseline="a", reading="ratio", value=0.3))
    ''
    """
    if comparison is None or comparison.verdict == CANNOT_TELL or _finite(comparison.value) is None:
        return ""
    return effect(comparison) if is_shown(comparison) else f"{effect(comparison)} {NOT_SHOWN}"


def score_texts(comparison: Comparison, subject: float, baseline: float) -> tuple[str, str]:
    """Both scores (shares) in per cent, with as many decimals as agree with the difference that :func:`effect` shows.

    >>> close = Comparison(quantity="miou", subject="b", baseline="a", value=0.4916 - 0.4924)
    >>> effect(close), score_texts(close, 0.4916, 0.4924)
    ('−0.1', ('49.16', '49.24'))
    """
    if comparison.value is None:
        return numbers.percent(subject), numbers.percent(baseline)
    shown = effect(comparison)
    least = len(shown.partition(".")[2]) or 1
    difference = round(100 * comparison.value, least)
    pairs = [(round(100 * subject, d), round(100 * baseline, d), d) for d in range(least, least + 4)]
    one, other, decimals = next((pair for pair in pairs if round(pair[0] - pair[1], least) == difference), pairs[-1])
    return f"{one:.{decimals}f}", f"{other:.{decimals}f}"


def in_words(comparison: Comparison) -> str:
    """The verdict, with the reason where there is one.

    >>> in_words(Comparison(quantity="miou", subject="a", baseline="b", reason="no seed in common"))
    'cannot tell: no seed in common'
    """
    return f"{comparison.verdict}: {comparison.reason}" if comparison.reason else comparison.verdict


def interval_words(comparison: Comparison, unit: str = "", *, limits: Sequence[float] = ()) -> str:
    """``95 % interval +0.4 to +3.6 points, corrected for 6 comparisons``; empty where there is none.

    ``limits`` are values that an end must not be written as unless it is that.
    """
    ends = bounds(comparison, limits=limits).replace("×", "")
    many = f", corrected for {family_size(comparison)} comparisons" if family_size(comparison) > 1 else ""
    return f"95 % interval {ends}{f' {unit}' if unit else ''}{many}" if ends else ""


def family_size(comparison: Comparison) -> int:
    """How many comparisons share the error rate; 1 where it stands alone, or was made before families were."""
    return 1 if comparison.family is None else max(1, comparison.family.planned + comparison.family.others)


def basis(comparison: Comparison) -> str:
    """The basis of an interval in a few words: ``3 seeds`` or ``these two checkpoints``."""
    return f"{comparison.n} seeds" if comparison.method.startswith("t interval") else comparison.scope


def family_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence for each size of family on the correction for multiple comparisons; none where each stands alone."""
    families = {(c.family.planned, c.family.others): c for c in comparisons if c.family is not None and family_size(c) > 1}
    return [_family_note(*size) for size in sorted(families)]


def _family_note(planned: int, others: int) -> str:
    total = numbers.counted(planned + others, "comparison")
    rest = numbers.counted(others, "other pair")
    shared = f": {planned} with the first or of an ablation's steps share four fifths of the 5 %, {rest} the rest, with wider intervals"
    shared = shared if planned and others else ""
    return (
        f"Corrected for multiple comparisons: in at least 95 % of runs all intervals of these {total} hold together, and each verdict is "
        f"that of its interval (Bonferroni{shared})."
    )


def learned_nothing(names: Sequence[str], what: str, cells: Sequence[CellResult]) -> str:
    """The sentence on networks that predict one class in every image: what they are, that they are not compared, and both causes.

    ``what`` is what :func:`segbench.nothing_learned` says; ``cells`` are the trained ones behind the names.
    """
    one = len(names) == 1
    who, their = numbers.listed(list(names)), "its" if one else "their"
    left = f"{their[0].upper()}{their[1:]} speed and cost are not weighed against quality"
    return f"{who} {what if one else what.replace('predicts', 'predict', 1)}. {left}. {_two_causes(cells)}"


def partly_learned(name: str, what: str, count: int, total: int, cells: Sequence[CellResult]) -> str:
    """The sentence on a model that predicts one class in every image with some of its seeds only."""
    return f"{name} with {count} of {numbers.counted(total, 'seed')} {what}; the mean over seeds includes them. {_two_causes(cells)}"


def _two_causes(cells: Sequence[CellResult]) -> str:
    """Why a network may predict one class only, and the remedy of each cause: the score alone does not tell them apart."""
    if only_masks(cells):
        return "Check what the values of these masks stand for: --classes names their classes."
    losses = {str(cell.loss or "").partition("[")[0] for cell in cells}
    weights = "class weights, as in ce[weights=(..)]"
    remedy = weights if losses & {"focal", "combined"} else f"{weights}, or the loss focal"
    share = max((_share_of(cell) for cell in cells), default=0.0)
    filled = f"the class fills {numbers.percent(share)} % of the scored labels" if share > 0.5 else "the classes are uneven"
    if cells and all(cell.is_as_given for cell in cells):
        return "Nothing was trained here: the weights may be random, or of other classes or another normalisation."
    epochs = sorted({cell.training.epochs_run for cell in cells if cell.training and not cell.is_as_given})
    after = f" after {numbers.listed([str(n) for n in epochs])} {'epoch' if epochs == [1] else 'epochs'}" if epochs else ""
    absent = next((known.absent for cell in cells if (known := averaged_classes(cell.quality)) is not None and known.absent), ())
    which = f"{absent[0]} has" if len(absent) == 1 else f"{len(absent)} classes have"
    labels = f" Check the labels first (segbench data check): {which} no pixel in the scored split." if absent else ""
    causes = f"Two causes look alike: {filled} ({remedy}), or training ended too early{after} (more train.epochs, or another train.lr)."
    return causes + labels


def _share_of(cell: CellResult) -> float:
    """The share of the scored labels that are of the only class that is predicted."""
    quality, only = cell.quality, only_class_of(cell)
    if quality is None or only is None or not sum(quality.label_pixels_per_class):
        return 0.0
    return quality.label_pixels_per_class[quality.class_names.index(only)] / sum(quality.label_pixels_per_class)


def turned(comparison: Comparison) -> Comparison:
    """The same comparison seen from the other side."""
    flip: Callable[[float | None], float | None] = _reciprocal if comparison.reading == "ratio" else _negated
    return comparison.model_copy(
        update={
            "subject": comparison.baseline,
            "baseline": comparison.subject,
            "subject_cells": comparison.baseline_cells,
            "baseline_cells": comparison.subject_cells,
            "subject_backend": comparison.baseline_backend,
            "baseline_backend": comparison.subject_backend,
            "value": flip(comparison.value),
            "low": flip(comparison.high),
            "high": flip(comparison.low),
            "verdict": OPPOSITE.get(comparison.verdict, comparison.verdict),
        }
    )


def as_speed(comparison: Comparison) -> Comparison:
    """A ratio of times as one of speeds, so that more than one is faster; of rates as it is."""
    if metric(comparison.quantity).better == "higher":
        return comparison
    update = {"value": _reciprocal(comparison.value), "low": _reciprocal(comparison.high), "high": _reciprocal(comparison.low)}
    return comparison.model_copy(update=update)


def _written(comparison: Comparison, limits: Sequence[float] = ()) -> Callable[[float], str]:
    """Writes the figures of one comparison, all with so many decimals that different ones read differently.

    So do they and "no difference", where one is shown, and the ``limits``.
    """
    write = (lambda x, more: f"×{numbers.factor(x, more)}") if comparison.reading == "ratio" else _difference_writer(comparison)
    figures = {x for x in (comparison.value, comparison.low, comparison.high) if x is not None and math.isfinite(x)}
    none = {1.0 if comparison.reading == "ratio" else 0.0} if is_shown(comparison) else set()
    apart = figures | none | set(limits)

    def tells(more: int) -> bool:
        return len({write(x, more) for x in apart}) == len(apart)

    more = next(filter(tells, range(_MOST_DECIMALS)), _MOST_DECIMALS if none or limits else 0)
    return lambda x: write(x, more)


def difference_unit(comparison: Comparison) -> str:
    """The unit of a difference: ``points`` of shares, else that of the score; empty for a plain number."""
    return "points" if metric(comparison.quantity).unit == "%" else metric(comparison.quantity).unit


def _difference_writer(comparison: Comparison) -> Callable[[float, int], str]:
    score = metric(comparison.quantity)
    return numbers.points if score.unit == "%" else lambda x, more: numbers.difference(x, score.digits, more)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _reciprocal(value: float | None) -> float | None:
    return None if value is None else 1 / value if value else math.inf


def _negated(value: float | None) -> float | None:
    return None if value is None else -value
