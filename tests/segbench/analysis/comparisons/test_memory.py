"""Memory of a run's models against each other: only what was read in several processes, and alike, passes a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from segbench.analysis.comparisons.judging import judged
from segbench.analysis.comparisons.memory import memory_candidates
from segbench.measure.memory import join_processes
from segbench.results.records import CellResult, Comparison, Deployment, Memory, RunResult

SPREAD = [-4.0, -2.0, 0.0, 0.0, 2.0, 4.0]


def cell(model: str, peaks: Sequence[float], *, size: int = 64, device: str = "cpu", backend: str = "eager", seed: int = 0) -> CellResult:
    parts = [
        Memory(weights=10.0, inference_peak=peak, activation_peak=peak - 500.0, batch_size=1, input_size=(size, size)) for peak in peaks
    ]
    memory = join_processes(parts)
    deployment = Deployment(backend=backend, memory_mb=memory, machine={"device": device, "torch": "2.9"})
    return CellResult(id=f"{model}-{size}-{seed}", model=model, seed=seed, status="ok", deployments=[deployment])


def compared(*cells: CellResult) -> list[Comparison]:
    return judged(memory_candidates(RunResult(cells=list(cells))))


def around(mb: float) -> list[float]:
    return [mb + each for each in SPREAD]


@pytest.mark.parametrize(("mb", "verdict"), [(560.0, "less"), (601.0, "no difference shown"), (640.0, "more")])
def test_a_verdict_rests_on_the_processes_of_both(mb: float, verdict: str) -> None:
    (found,) = compared(cell("large", around(600.0)), cell("small", around(mb)))
    assert (found.subject, found.baseline, found.verdict, found.headline) == ("small", "large", verdict, True)
    assert (found.quantity, found.n, found.reason) == ("inference_memory_mb", 6, "")
    assert found.value == pytest.approx(mb / 600)
    # the greatest reading of one beside the least of the other
    reach = math.hypot(math.log((mb + 4) / mb), math.log(600 / 596))
    assert found.high == pytest.approx(mb / 600 * math.exp(reach))
    assert "whole process" in found.method


@pytest.mark.parametrize(
    ("large", "small", "read"),
    [
        (around(600.0), around(560.0), "ratio of the median peaks {}, over 6 processes each; interval from the intervals of both medians"),
        (around(600.0), [560.0], "ratio of the median peaks {}, over 1 process and 6"),
        ([600.0], [560.0, 561.0], "ratio of the median peaks {}, over 2 processes and 1"),
        ([600.0], [560.0], "ratio of the peaks {}, read in one process each"),
    ],
)
def test_the_method_is_that_of_the_readings(large: list[float], small: list[float], read: str) -> None:
    (found,) = compared(cell("large", large), cell("small", small))
    method, _, resolution = found.method.partition(", never narrower")
    assert method == read.format("of the whole process, interpreter and libraries included")
    assert bool(resolution) == (found.low is not None)


def test_the_ratio_is_that_of_the_figures_in_tables() -> None:
    cells = cell("large", around(600.0)), cell("small", around(560.0))
    (found,) = compared(*cells)
    large, small = (each.deployments[0].memory_mb for each in cells)
    assert large is not None
    assert small is not None
    assert found.value == pytest.approx((small.inference_peak or 0) / (large.inference_peak or 1))


@pytest.mark.parametrize(
    ("peaks", "reason"),
    [
        ([560.0], "memory was read in one process; an interval takes 6"),
        ([560.0, 562.0], "memory was read in 2 processes; an interval takes 6"),
    ],
)
def test_too_few_readings_support_no_verdict(peaks: list[float], reason: str) -> None:
    (found,) = compared(cell("large", around(600.0)), cell("small", peaks))
    assert (found.verdict, found.low, found.reason) == ("cannot tell", None, reason)
    assert found.value is not None


def test_a_result_of_a_single_reading_without_a_list_supports_no_verdict() -> None:
    old = cell("small", [560.0])
    memory = old.deployments[0].memory_mb
    assert memory is not None
    memory.inference_peaks, memory.activation_peaks = [], []
    (found,) = compared(cell("large", around(600.0)), old)
    assert (found.verdict, found.reason) == ("cannot tell", "memory was read in one process; an interval takes 6")


@pytest.mark.parametrize(
    "other",
    [
        {"size": 128},
        {"device": "cuda:0"},
        {"backend": "onnxruntime"},
    ],
)
def test_only_what_was_measured_alike_is_compared(other: dict[str, Any]) -> None:
    assert compared(cell("large", around(600.0)), cell("small", around(560.0), **other)) == []


def test_seeds_of_one_network_are_one_side_and_every_pair_of_models_has_one_record() -> None:
    cells = [cell(model, around(mb), seed=seed) for model, mb in (("a", 600.0), ("b", 610.0), ("c", 620.0)) for seed in (0, 1)]
    found = compared(*cells)
    assert [(each.subject, each.baseline, each.headline) for each in found] == [("b", "a", True), ("c", "a", True), ("c", "b", False)]
    assert found[0].subject_cells == ["b-64-0", "b-64-1"]


def test_what_the_allocator_counts_is_exact() -> None:
    less, equal = compared(cell("a", [600.0], device="cuda:0"), cell("b", [599.9], device="cuda:0"), cell("c", [600.0], device="cuda:0"))[
        :2
    ]
    assert (less.low, less.high) == pytest.approx((599.9 / 600, 599.9 / 600))
    assert less.verdict == "less"
    assert equal.verdict == "no difference shown"


def test_two_networks_under_one_name_are_not_taken_for_one() -> None:
    cells = []
    for setting, small, large in ((16, 560.0, 640.0), (64, 700.0, 700.0)):
        for model, mb in (("a", small), ("b", large)):
            made = cell(model, around(mb))
            cells.append(made.model_copy(update={"id": f"{model}-{setting}", "fingerprints": {"measure": f"{model}-{setting}"}}))
    (found,) = compared(*cells)
    assert (found.baseline_cells, found.subject_cells) == (["a-16"], ["b-16"])
