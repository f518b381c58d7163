"""The classes that a mean over classes is taken over, and the single class that a network predicts: each decided here, for all readers.

A class counts where the scored split has a label pixel of it, so that the set is the same for every model scored there. A class without
label pixels has no IoU. Pixels predicted as such a class lower the IoU of the classes that they are labelled as.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segbench.results.records import Quality


NO_COUNTERPART = "(no counterpart)"
"""Column of a confusion matrix that takes what a class map names no class for: no class of the dataset."""


@dataclass(frozen=True)
class AveragedClasses:
    """Names of the classes in a mean over classes, and of those without a label pixel in the scored split."""

    names: tuple[str, ...]
    absent: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """The number of classes of the task."""
        return len(self.names) + len(self.absent)

    @property
    def short(self) -> str:
        """``all 11 classes`` or ``9 of 11 classes``."""
        return counted_classes(len(self.names), self.total)

    @property
    def words(self) -> str:
        """``9 of 11 classes (no pixel of pole and sign in the scored split)``; as short as :attr:`short` where no class is absent."""
        return f"{self.short} (no pixel of {_listed(self.absent)} in the scored split)" if self.absent else self.short


_MOST_NAMES = 6


def counted_classes(averaged: int, total: int) -> str:
    """How many classes a mean is over, of how many.

    >>> counted_classes(11, 11), counted_classes(9, 11)
    ('all 11 classes', '9 of 11 classes')
    """
    return f"all {total} classes" if averaged == total else f"{averaged} of {total} classes"


def averaged_classes(quality: Quality | None) -> AveragedClasses | None:
    """The classes that the means of a record are over: those with label pixels; None where it does not list its classes.

    Records without label pixels per class are read by which classes have an IoU.
    """
    if quality is None or not quality.class_names:
        return None
    counts = quality.label_pixels_per_class
    flags = [n > 0 for n in counts] if counts else [iou is not None for iou in quality.iou_per_class]
    if len(flags) != len(quality.class_names):
        return None
    pairs = [(name, has) for name, has in zip(quality.class_names, flags, strict=True) if name != NO_COUNTERPART]
    return AveragedClasses(tuple(name for name, has in pairs if has), tuple(name for name, has in pairs if not has))


def only_class(quality: Quality | None) -> str | None:
    """The class that every labelled pixel of the scored split is predicted as.

    None where several classes are predicted, or where the labels too are of that class alone: then nothing else could be found. Records
    without predicted pixels per class are read by their recalls.
    """
    if quality is None:
        return None
    averaged = averaged_classes(quality)
    if quality.predicted_pixels_per_class:
        predicted = [name for name, n in zip(quality.class_names, quality.predicted_pixels_per_class, strict=False) if n > 0]
    else:
        predicted = _predicted_by_recall(quality)
    alone = averaged is not None and averaged.names == tuple(predicted)
    return predicted[0] if len(predicted) == 1 and not alone else None


def nothing_learned(name: str) -> str:
    """What a network is that predicts one class everywhere: the words of every terminal, report and verdict.

    >>> nothing_learned("background")
    'predicts only background: nothing learned'
    """
    return f"predicts only {name}: nothing learned"


def missing_headline(quality: Quality | None) -> str | None:
    """The headline class where the scored split has no label pixel of it, so that its IoU cannot be had."""
    averaged = averaged_classes(quality)
    if quality is None or averaged is None or quality.headline_class not in averaged.absent:
        return None
    return quality.headline_class


def _predicted_by_recall(quality: Quality) -> list[str]:
    """The one class that has recall 1 while all others that have labels have recall 0."""
    recalls = {name: r for name, r in zip(quality.class_names, quality.recall_per_class, strict=False) if r is not None}
    full = [name for name, recall in recalls.items() if recall == 1]
    others = [recall for name, recall in recalls.items() if name not in full]
    return full if len(full) == 1 and others and not any(others) else []


def _listed(names: tuple[str, ...]) -> str:
    """The first names with the number of the others.

    >>> _listed(("a", "b", "c")), _listed(tuple("abcdefghi"))
    ('a, b and c', 'a, b, c, d, e, f and 3 more')
    """
    shown = [*names[:_MOST_NAMES], *([f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
