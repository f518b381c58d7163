"""Predictions and labels in the classes of a class map, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from segbench.measure.quality.confusion import require_labels
from segbench.plugin.class_map import ClassMap
from segbench.plugin.specs import Task

IGNORED = -1
"""What labels that do not count become: no class, however many there are."""


class MappedClasses:
    """The classes that are scored: a task's own, or those of a class map.

    A network's class is chosen first (argmax) and mapped then, also where several become one: logits are not added up.
    """

    def __init__(self, task: Task, class_map: ClassMap | None = None) -> None:
        self._task, self._map = task, class_map
        self.count = task.num_classes if class_map is None else len(class_map.class_names)
        self.ignore_index = task.ignore_index if class_map is None else IGNORED
        self.calibrated = class_map is None or not class_map.merges

    def prediction(self, chosen: Tensor) -> Tensor:
        """Scored classes of the network's classes (H, W)."""
        if self._map is None:
            return chosen
        return torch.tensor(self._map.prediction_ids, device=chosen.device)[chosen]

    def labels(self, mask: Tensor) -> Tensor:
        """Labels (H, W) with ``ignore_index`` where they do not count. Raises :class:`DataError` for one that is no class of the task."""
        if self._map is None:
            return mask
        require_labels(mask, num_classes=self._task.num_classes, ignore_index=self._task.ignore_index)
        left_out = torch.tensor([self._task.ignore_index, *self._map.ignored], device=mask.device)
        return mask.long().masked_fill(torch.isin(mask, left_out), IGNORED)
