"""Pixels of each class in a cell's training split, counted once for all cells of a run and stored beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from segbench.data.class_pixels import ClassPixels, count_class_pixels
from segbench.execution.cells.job import Setup
from segbench.plugin.class_weights import has_rules
from segbench.plugin.specs import Sample
from segbench.util.files import write_atomic

FILE = "class_pixels.json"


def needed_class_pixels(setup: Setup, samples: Sequence[Sample]) -> ClassPixels | None:
    """The pixels (images, classes) of the training split, where the loss or the sampler asks for them, else None."""
    assert setup.loss is not None
    if setup.settings.train.sampler != "balanced" and not has_rules(setup.loss, setup.task.num_classes):
        return None
    path, key = setup.directory / FILE, _key(setup, len(samples))
    if path.is_file():
        document = json.loads(path.read_text())
        if document["key"] == key:
            return np.asarray(document["pixels"], dtype=np.int64)
    pixels = count_class_pixels(samples, setup.task)
    write_atomic(path, json.dumps({"key": key, "pixels": pixels.tolist()}).encode())
    return pixels


def _key(setup: Setup, count: int) -> list[str | int | None]:
    """What the counts depend on: the data by its digest, the code that reads it, and which samples are taken."""
    data, dataset = setup.settings.data, setup.dataset
    identity = [str(dataset), dataset.code.identity, setup.job.digest, setup.settings.train.split]
    return [*identity, data.fold, data.limit, count, setup.task.num_classes, setup.task.ignore_index]
