"""Pixels of each class in a cell's training split, counted once for all cells of a run and stored beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from segbench.data.class_pixels import ClassPixels, count_class_pixels
from segbench.execution.jobs import CellJob
from segbench.plugin.chosen import Chosen
from segbench.plugin.class_weights import has_rules
from segbench.plugin.specs import DatasetSpec, LossSpec, Sample, Task
from segbench.util.files import write_atomic

FILE = "class_pixels.json"


def needed_class_pixels(
    job: CellJob, samples: Sequence[Sample], *, loss: Chosen[LossSpec], dataset: Chosen[DatasetSpec], task: Task
) -> ClassPixels | None:
    """The pixels (images, classes) of the training split, where the loss or the sampler asks for them, else None."""
    if job.settings.train.sampler != "balanced" and not has_rules(loss, task.num_classes):
        return None
    path, key = job.directory / FILE, _key(job, dataset, task, len(samples))
    if path.is_file():
        document = json.loads(path.read_text())
        if document["key"] == key:
            return np.asarray(document["pixels"], dtype=np.int64)
    pixels = count_class_pixels(samples, task)
    write_atomic(path, json.dumps({"key": key, "pixels": pixels.tolist()}).encode())
    return pixels


def _key(job: CellJob, dataset: Chosen[DatasetSpec], task: Task, count: int) -> list[str | int | None]:
    """What the counts depend on: the data by its digest, the code that reads it, and which samples are taken."""
    data = job.settings.data
    identity = [str(dataset), dataset.code.identity, job.digest, job.settings.train.split]
    return [*identity, data.fold, data.limit, count, task.num_classes, task.ignore_index]
