"""Against blocks of known size, in processes of their own where what happened earlier in the process would matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segbench.analysis.statistics.memory import LEAST_PROCESSES
from segbench.measure.memory import (
    CPU_CALLS,
    CPU_PROCESSES,
    PeakMemory,
    join_processes,
    measure_inference_memory,
    processes_needed,
)
from segbench.results.records import Memory


def _reset_is_possible() -> bool:
    with PeakMemory("cpu") as memory:
        pass
    return memory.peak_mb is not None


needs_reset = pytest.mark.skipif(not _reset_is_possible(), reason="/proc/self/clear_refs cannot be written here")


def _touch(megabytes: int) -> torch.Tensor:
    return torch.ones(megabytes * 2**20 // 4)


@needs_reset
@pytest.mark.parametrize("megabytes", [16, 64, 256])
def test_a_tensor_of_known_size_is_seen(megabytes: int) -> None:
    with PeakMemory("cpu") as memory:
        del_me = _touch(megabytes)
        del del_me
    assert memory.increase_mb == pytest.approx(megabytes, rel=0.1, abs=2)
    assert memory.peak_mb is not None
    assert memory.peak_mb > megabytes


@needs_reset
def test_an_earlier_peak_of_this_process_is_forgotten() -> None:
    big = _touch(400)
    del big
    with PeakMemory("cpu") as memory:
        small = _touch(32)
        del small
    assert memory.increase_mb == pytest.approx(32, rel=0.1, abs=2)


@needs_reset
def test_small_blocks_that_the_allocator_kept_are_counted_again() -> None:
    """Freed blocks of 100 kB stay in the allocator's heap; a call that reuses them would seem to need nothing."""

    def call() -> None:
        blocks = [torch.ones(25_000) for _ in range(400)]
        del blocks

    memory = measure_inference_memory(call, device="cpu", weights_mb=0.0)
    assert memory.activation_peak == pytest.approx(400 * 1e5 / 2**20, rel=0.15)


@needs_reset
def test_the_peak_of_a_parent_process_is_not_inherited() -> None:
    """``ru_maxrss`` would report the parent's 600 MB in the child."""
    child = """
import resource
from segbench.measure.memory import PeakMemory
with PeakMemory("cpu") as memory:
    block = bytearray(64 * 2**20)
print(memory.peak_mb, memory.increase_mb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    script = f"""
import os, sys
block = bytearray(600 * 2**20)
process = os.fork()
if process == 0:
    os.execv(sys.executable, [sys.executable, "-c", {child!r}])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout
    peak, increase, maxrss = (float(value) for value in answer.split())
    assert increase == pytest.approx(64, abs=3)
    assert peak < 300
    assert maxrss > 600  # why it must not be used


@needs_reset
def test_inference_memory_is_of_a_second_call_and_includes_the_weights() -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        size = 200 if len(calls) == 1 else 64  # the first call allocates workspaces
        _touch(size)

    memory = measure_inference_memory(call, device="cpu", weights_mb=26.06, batch_size=2, input_size=(32, 48))
    assert len(calls) == 1 + CPU_CALLS
    assert memory.calls == CPU_CALLS
    assert memory.activation_peak == pytest.approx(64, abs=4)
    assert memory.inference_peak is not None
    assert memory.inference_peak > 64
    assert (memory.weights, memory.reserved_peak, memory.batch_size, memory.input_size) == (26.06, None, 2, (32, 48))
    assert memory.method is not None
    assert memory.method.startswith("VmHWM")


@needs_reset
def test_a_process_gives_the_median_of_its_calls_less_what_it_holds_for_the_measurement() -> None:
    sizes = iter([8, 24, 32, 200])

    def call() -> None:
        _touch(next(sizes))

    memory = measure_inference_memory(call, device="cpu", weights_mb=0.0)
    assert memory.activation_peak == pytest.approx(32, abs=2)
    both = [measure_inference_memory(lambda: None, device="cpu", weights_mb=0.0, held_mb=held).inference_peak for held in (0.0, 100.0)]
    assert both[0] is not None
    assert both[0] - 100 == pytest.approx(both[1], abs=1)


def _process(peak: float | None, method: str = "VmHWM after a reset") -> Memory:
    return Memory(weights=10.0, inference_peak=peak, activation_peak=None if peak is None else peak - 500, calls=5, method=method)


def test_processes_give_their_median_and_its_interval() -> None:
    memory = join_processes([_process(peak) for peak in (610.0, 600.0, 640.0, 612.0, 611.0, 613.0)])
    assert (memory.inference_peak, memory.activation_peak, memory.weights, memory.calls) == (611.5, 111.5, 10.0, 5)
    assert memory.inference_peaks == [610.0, 600.0, 640.0, 612.0, 611.0, 613.0]
    assert memory.activation_peaks == [110.0, 100.0, 140.0, 112.0, 111.0, 113.0]
    assert (memory.inference_peak_ci95, memory.activation_peak_ci95) == ((600.0, 640.0), (100.0, 140.0))
    assert memory.no_interval == ""


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([_process(600.0)], "memory was read in one process; an interval takes 6"),
        ([_process(600.0), _process(610.0)], "memory was read in 2 processes; an interval takes 6"),
        ([_process(None, "not measured: no reset")], "not measured: no reset"),
    ],
)
def test_too_few_readings_have_no_interval_and_say_why(parts: list[Memory], reason: str) -> None:
    memory = join_processes(parts)
    assert (memory.inference_peak_ci95, memory.activation_peak_ci95, memory.no_interval) == (None, None, reason)


def test_memory_is_read_again_only_where_it_differs_from_process_to_process() -> None:
    assert processes_needed("cpu", _process(600.0)) == CPU_PROCESSES >= LEAST_PROCESSES
    assert processes_needed("cpu", _process(None)) == 1
    assert processes_needed("cuda", _process(600.0)) == 1


def test_where_it_cannot_be_had_it_is_null_with_a_reason() -> None:
    memory = measure_inference_memory(lambda: None, device="mps", weights_mb=1.0)
    assert (memory.inference_peak, memory.activation_peak) == (None, None)
    assert memory.method == "not measured: torch keeps no peak on 'mps'"


def test_a_system_that_refuses_the_reset_gives_null(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with PeakMemory("cpu") as memory:
        pass
    assert memory.peak_mb is None
    assert memory.increase_mb is None
    assert memory.method == "not measured: /proc/self/clear_refs cannot be written (Permission denied)"


@pytest.mark.gpu
def test_on_a_gpu_allocated_and_reserved_are_exact() -> None:
    weights = torch.ones(16 * 2**18, device="cuda")

    def call() -> None:
        torch.ones(64 * 2**18, device="cuda")

    memory = measure_inference_memory(call, device="cuda", weights_mb=16.0)
    assert memory.activation_peak == pytest.approx(64)
    assert memory.inference_peak is not None
    assert memory.reserved_peak is not None
    assert 80 <= memory.inference_peak <= memory.reserved_peak
    assert len(weights) > 0
