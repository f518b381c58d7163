"""Memory of a training step: under the cell's own precision and accumulation, and with a reason where there is none."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

import pytest

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")


def _give_back_freed_memory() -> None:
    """What tests before this one have freed would otherwise hold a step's tensors, and no peak would rise."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@pytest.fixture
def step(bench: Any) -> Any:
    """Measure one cell's training step in this process."""
    from segbench.execution.costs.training_step import training_step_memory
    from segbench.execution.jobs import CostJob, StepMemory, cell_job
    from segbench.execution.plan.plan import make_plan

    def measure(model: str, *sets: str) -> StepMemory:
        (cell,) = make_plan(bench.config(models=model, sets=sets), bench.catalog).cells
        _give_back_freed_memory()
        job = cell_job(cell, root=None, digest="", settings=cell.settings, device="cpu", directory=bench.directory, stages=())
        return training_step_memory(CostJob(cell=job, threads=1), lambda *_: None)

    return measure


@needs_linux
def test_half_precision_needs_less_and_says_so(step: Any) -> None:
    size = "train.image_size=160"
    step("dot[width=96]", size, "train.precision=bf16")
    whole = step("dot[width=96]", size)
    half = step("dot[width=96]", size, "train.precision=bf16")
    assert whole.training_method == "batch 4 at 160 in fp32, cross-entropy whatever the loss, AdamW"
    assert half.training_method == "batch 4 at 160 in bf16, cross-entropy whatever the loss, AdamW"
    feature_map = 4 * 96 * 160 * 160 * 4 / 2**20
    assert whole.training_peak - half.training_peak > 0.5 * feature_map, "a float32 feature map has twice the bytes"
    assert whole.notes == []


def test_a_training_step_that_fails_leaves_its_reason(bench: Any) -> None:
    from segbench.execution.runner import run_stages

    config = bench.config(models="fragile[above=3]", sets=["measure.memory=true", "train.batch_size=4"])
    failed = run_stages(config, ("profile",), catalog=bench.catalog, listener=bench.heard, directory=bench.directory / "profile")
    memory = failed.cells[0].deployments[0].memory_mb
    assert memory is not None
    assert (memory.inference_peak is not None) == (sys.platform == "linux"), "what could be measured was"
    assert memory.training_peak is None
    assert memory.notes == ["training step not measured: CUDA out of memory. Tried to allocate 2.00 GiB"]


def test_what_the_step_depends_on_is_in_the_measurement_s_fingerprint(bench: Any) -> None:
    from segbench.execution.plan.plan import make_plan

    plan = make_plan(bench.config(losses="ce,focal", vary=("train.precision=off,bf16",)), bench.catalog)
    keys = [(cell.settings.train.precision, cell.fingerprints["measure"]) for cell in plan.cells]
    assert len(set(keys)) == len({key for _, key in keys}) == 2, "one per precision, shared by both losses"
