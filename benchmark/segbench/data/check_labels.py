"""Label values outside of a task's classes: their counts, and their likely reasons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from segbench.plugin.specs import Task
from segbench.util.sequences import counted

_WIDEST_COUNTED_BY_POSITION = 1 << 16


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


def advise(outside: Mapping[int, int], seen: set[int], task: Task) -> str:
    """Advice about values outside the classes, judged from all values ``seen`` in the labels."""
    count = task.num_classes
    labels = sorted(seen - {task.ignore_index}) if task.ignore_index not in outside else sorted(seen)
    if labels == list(range(1, count + 1)):
        rules = ",".join(f"{value}:{value - 1}" for value in labels)
        return f'Labels seem to start at 1: value_map="{rules}".'
    if len(labels) == count and labels[0] == 0 and labels[-1] > count:
        rules = ",".join(f"{value}:{index}" for index, value in enumerate(labels))
        return f'There are as many values as classes: value_map="{rules}" if this is their order.'
    if len(outside) == 1 and (value := next(iter(outside))) in (-1, 255, count):
        return f"This is commonly the mark of unlabelled pixels: declare it as the ignore index (ignore={value})."
    if len(outside) > 2 * count:
        return "So many values point to a mask that was saved as a photograph or smoothed: export it again, as PNG and without smoothing."
    return "Name all classes, or map the values to classes (value_map) or to the ignore index."
