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

    The probabilities of classes that become one are summed before the highest is chosen: a car at 0.3 and a bus at 0.3 are a vehicle at
    0.6, above a road at 0.4. Classes without counterpart are not one class, and compete each by itself.
    """

    def __init__(self, task: Task, class_map: ClassMap | None = None) -> None:
        self._task, self._map = task, class_map
        self.count = task.num_classes if class_map is None else len(class_map.class_names)
        self.ignore_index = task.ignore_index if class_map is None else IGNORED

    def logits(self, logits: Tensor) -> Tensor:
        """Logits (.., G, H, W) whose softmax is the sum of merged classes' probabilities, of a network's logits (.., K, H, W).

        The logarithm of summed exponentials: the softmax over groups then is the sum of the softmax over classes.
        """
        if self._map is None or not self._map.merges:
            return logits
        parts = (logits[..., group, :, :] for group in map(list, self._map.groups))
        return torch.cat([part if part.shape[-3] == 1 else part.logsumexp(dim=-3, keepdim=True) for part in parts], dim=-3)

    def prediction(self, chosen: Tensor) -> Tensor:
        """Scored classes of the channels (H, W) that are highest in :meth:`logits`."""
        if self._map is None:
            return chosen
        ids = self._map.prediction_ids
        return torch.tensor([ids[group[0]] for group in self._map.groups], device=chosen.device)[chosen]

    def labels(self, mask: Tensor) -> Tensor:
        """Labels (H, W) with ``ignore_index`` where they do not count. Raises :class:`DataError` for one that is no class of the task."""
        if self._map is None:
            return mask
        require_labels(mask, num_classes=self._task.num_classes, ignore_index=self._task.ignore_index)
        left_out = torch.tensor([self._task.ignore_index, *self._map.ignored], device=mask.device)
        return mask.long().masked_fill(torch.isin(mask, left_out), IGNORED)
