"""Pixels of the training split: counted where something asks for them, once for all cells of the same data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segbench.data.class_pixels import ClassPixels
from segbench.errors import DataError
from segbench.execution.cells.class_pixels import FILE, needed_class_pixels
from segbench.execution.cells.job import Setup, set_up
from segbench.execution.jobs import cell_job
from segbench.execution.plan.plan import make_plan
from segbench.plugin.specs import Sample


class Unread(Sequence[Sample]):
    """A split that may not be read."""

    def __init__(self, count: int) -> None:
        self.length = count

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        raise AssertionError("the split is read again")


def setup(bench: Any, *, digest: str = "", **flags: Any) -> Setup:
    cell = make_plan(bench.config(models="dot", **flags), bench.catalog).cells[0]
    job = cell_job(cell, root=None, digest=digest, settings=cell.settings, device="cpu", directory=bench.directory, stages=())
    return set_up(job, lambda *_: None, bench.catalog)


def needed(made: Setup, samples: Sequence[Sample]) -> ClassPixels | None:
    assert made.loss is not None
    return needed_class_pixels(made.job, samples, loss=made.loss, dataset=made.dataset, task=made.task)


def test_nobody_asks_and_nothing_is_counted(bench: Any) -> None:
    assert needed(setup(bench, losses="focal"), Unread(3)) is None


def test_counts_are_stored_for_the_other_cells_and_belong_to_the_data(bench: Any) -> None:
    first = setup(bench, losses="ce[weights=auto]")
    samples = first.samples("train")
    pixels = needed(first, samples)
    assert pixels is not None
    valid = [int((sample.mask != first.task.ignore_index).sum()) for sample in samples]
    assert pixels.sum(axis=1).tolist() == valid
    again = needed(setup(bench, losses="focal", sets=["train.sampler=balanced"]), Unread(len(samples)))
    assert again is not None
    assert np.array_equal(pixels, again)
    for changed in (setup(bench, losses="ce[weights=auto]", digest="other"), replace(first, task=replace(first.task, ignore_index=254))):
        with pytest.raises(DataError, match="read again"):
            needed(changed, Unread(len(samples)))
    assert json.loads((bench.directory / FILE).read_text())["pixels"] == pixels.tolist()


def test_a_run_records_the_weights_that_it_used(bench: Any) -> None:
    sets = ["execute.where=inline", "measure.latency=false", "measure.memory=false"]
    (cell,) = bench.run(models="dot", losses="ce[weights=inverse]", sets=sets).cells
    (used,) = cell.training.class_weights
    counted = np.asarray(json.loads((bench.directory / FILE).read_text())["pixels"]).sum(axis=0)
    present = counted > 0
    assert used.pixels == counted.tolist()
    assert np.asarray(used.weights)[present] == pytest.approx(counted.sum() / present.sum() / counted[present])
    assert cell.loss == "ce[weights=inverse]"
