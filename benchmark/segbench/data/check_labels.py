"""Label values outside of a task's classes: their counts, and their likely reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from segbench.plugin.specs import Task
from segbench.util.sequences import counted

_WIDEST_COUNTED_BY_POSITION = 1 << 16
_MOST_RULES = 8  # classes that a shift names one by one


def count_values(mask: Tensor) -> dict[int, int]:
    """Each value of a mask with its pixel count, in ascending order.

    >>> import torch
    >>> count_values(torch.tensor([[0, 0], [-1, 37]]))
    {-1: 1, 0: 2, 37: 1}
    """
    values = mask.detach().cpu().numpy().ravel()
    low = int(values.min()) if len(values) else 0
    if len(values) and int(values.max()) - low < _WIDEST_COUNTED_BY_POSITION:  # counting by position is many times faster than sorting
        counts = np.bincount(values - low if low else values)
        return {int(value) + low: int(counts[value]) for value in np.flatnonzero(counts)}
    distinct, numbers = np.unique(values, return_counts=True)
    return dict(zip(distinct.tolist(), numbers.tolist(), strict=True))


def outside_values(counts: Mapping[int, int], task: Task) -> dict[int, int]:
    """Of counted label values those that are neither a class nor ``ignore_index``."""
    return {v: count for v, count in counts.items() if not 0 <= v < task.num_classes and v != task.ignore_index}


def describe_values(values: Mapping[int, int], limit: int = 6) -> str:
    """Values with their pixel counts.

    >>> describe_values({37: 1200, 255: 3})
    '37 (1200 pixels), 255 (3 pixels)'
    """
    texts = [f"{value} ({counted(count, 'pixel')})" for value, count in sorted(values.items())]
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")


class Remedies(frozenset[str]):
    """The options by which a dataset lets its user declare labels and scenes (``DatasetSpec.remedies``)."""

    def note(self, *needed: str) -> str:
        """A sentence about the options that an advice names and the dataset lacks; empty where it has them all."""
        lacking = [name for name in needed if name not in self]
        if not lacking:
            return ""
        return f" This dataset has no option {' or '.join(lacking)}: read its files with the dataset 'folder', or write its labels anew."


def advise(outside: Mapping[int, int], seen: set[int], task: Task, remedies: Remedies, *, ignored: bool = False) -> str:
    """Advice about values outside the classes. Causes that look alike are all named.

    It is judged from all values ``seen`` in the labels of all splits; ``ignored``: the ignore index occurs, too, and has to stay ignored.
    """
    count = task.num_classes
    labels = sorted(seen - {task.ignore_index})
    if labels == list(range(1, count + 1)):
        shift = _value_map([(value, value - 1) for value in labels], task, ignored=ignored)
        return f"Labels seem to start at 1: {shift}.{remedies.note('value_map')}"
    if labels == list(range(count + 1)):
        return _one_too_many(task, ignored=ignored) + remedies.note("value_map", "ignore")
    if len(labels) == count and labels[0] == 0 and labels[-1] >= count:
        return _as_many(labels, outside, task, ignored=ignored) + remedies.note("value_map")
    spread = sorted([*labels, task.ignore_index])
    if ignored and len(spread) == count and spread[0] == 0 and spread[-1] >= count and len(labels) > 1:
        order = _value_map([(value, index) for index, value in enumerate(spread)], task, ignored=False)
        return f"With {task.ignore_index} there are as many values as classes: {order} if it is a class too." + remedies.note("value_map")
    if len(outside) == 1 and (value := next(iter(outside))) in (-1, 255):
        unlabelled = _ignore(value, task, ignored=ignored)
        text = f"If it marks unlabelled pixels, declare it ({unlabelled}); if it is a class, give each value its class (value_map)."
        return text + remedies.note("ignore", "value_map")
    if count == 2 and seen and 0 in seen and len(outside) > 2 * count and min(outside) > 0:
        objects = _value_map([(0, 0), ("*", 1)], task, ignored=ignored)
        return (
            f"If each object has a number of its own (instance ids), all but 0 are one class: {objects}. If the mask was saved as a "
            "photograph or smoothed, export it again, as PNG and without smoothing." + remedies.note("value_map")
        )
    if len(outside) > 2 * count:
        return "So many values point to a mask that was saved as a photograph or smoothed: export it again, as PNG and without smoothing."
    return "Name all classes, or map the values to classes (value_map) or to the ignore index." + remedies.note("value_map")


def _one_too_many(task: Task, *, ignored: bool) -> str:
    """The readings of labels 0 to K where K classes are named; the numbers alone do not tell which is right."""
    count = task.num_classes
    shift = [(value, value - 1) for value in range(1, count + 1)] if count <= _MOST_RULES else [(f"1-{count}", -1)]
    return (
        f"Labels are 0 to {count}, one value more than classes. Either 0 is no class but 'other' or unlabelled, and class 1 is the first: "
        f"{_value_map([(0, 'ignore'), *shift], task, ignored=ignored)}; or one name is lacking in classes (often background, the first); "
        f"or {count} marks unlabelled pixels: {_ignore(count, task, ignored=ignored)}. "
        "Look at some masks (segbench data preview) before you choose."
    )


def _as_many(labels: Sequence[int], outside: Mapping[int, int], task: Task, *, ignored: bool) -> str:
    """The readings of as many values as classes: all are classes, or the last marks unlabelled pixels and a class does not occur."""
    order = _value_map([(value, index) for index, value in enumerate(labels)], task, ignored=ignored)
    last = labels[-1]
    if len(labels) == 2:  # without the last a single class would be left
        return f"There are as many values as classes: {order} if this is their order."
    if len(outside) == 1:
        unlabelled = _ignore(last, task, ignored=ignored)
    elif last == 255:
        rules: list[tuple[int | str, int | str]] = [(value, index) for index, value in enumerate(labels[:-1])]
        unlabelled = _value_map([*rules, (last, "ignore")], task, ignored=ignored)
    else:
        return f"There are as many values as classes: {order} if this is their order."
    return (
        f"There are as many values as classes: {order} if all are classes in this order; {unlabelled} if {last} marks unlabelled pixels. "
        "Look at some masks (segbench data preview) before you choose."
    )


def _value_map(rules: Sequence[tuple[int | str, int | str]], task: Task, *, ignored: bool) -> str:
    """The option ``value_map`` with these rules, and one for the ignore index where it occurs: a map refuses values without a rule."""
    named = {value for value, _ in rules}
    every = [*rules, (task.ignore_index, "ignore")] if ignored and task.ignore_index not in named else rules
    return f'value_map="{",".join(f"{value}:{target}" for value, target in every)}"'


def _ignore(value: int, task: Task, *, ignored: bool) -> str:
    """The option ``ignore`` with this value, beside the present one where that occurs."""
    return f"ignore=({task.ignore_index},{value})" if ignored else f"ignore={value}"
