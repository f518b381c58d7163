"""Peak memory of a stretch of work: on CUDA what torch allocated, on Linux what the process had resident. Never ``ru_maxrss``.

``ru_maxrss`` starts at the peak of the process that forked this one. The kernel's own high-water mark can be reset instead (write 5 to
``/proc/self/clear_refs``; proc(5)), so that it means this stretch only.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING

from segbench.analysis.statistics.memory import LEAST_PROCESSES, memory_interval, why_no_interval
from segbench.results.records import Memory
from segbench.util.files import MB

if TYPE_CHECKING:
    import torch

_CUDA_METHOD = "CUDA caching allocator of this process: peak allocated and reserved after a reset"
_LINUX_METHOD = "VmHWM after a reset through /proc/self/clear_refs: resident memory of this process, interpreter and libraries included"


CPU_PROCESSES = LEAST_PROCESSES
"""Fresh processes in which memory is read on a CPU."""
CPU_CALLS = 3
"""Measured calls in each of them: two threads that allocate side by side do not always meet at their peaks."""


class PeakMemory:
    """The peak between entering and leaving, in MB: ``before_mb``, ``peak_mb``, ``reserved_mb`` (CUDA only), and ``method`` in words.

    None where it cannot be had; ``method`` then says why. Children of the process (loader workers) are not counted.

    >>> with PeakMemory("cpu") as memory:
    ...     block = bytearray(8 * 2**20)
    >>> memory.peak_mb is None or memory.peak_mb > 8
    True
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = str(device)
        self.before_mb: float | None = None
        self.peak_mb: float | None = None
        self.reserved_mb: float | None = None
        self.method = ""

    @property
    def increase_mb(self) -> float | None:
        """Peak less what was in use before."""
        if self.peak_mb is None or self.before_mb is None:
            return None
        return max(self.peak_mb - self.before_mb, 0.0)

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self.device.startswith("cuda"):
            self._enter_cuda()
        elif self.device == "cpu":
            self._enter_linux()
        else:
            self.method = f"not measured: torch keeps no peak on '{self.device}'"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.before_mb is None:
            return
        if self.device.startswith("cuda"):
            self._exit_cuda()
        else:
            self.peak_mb = _status_mb("VmHWM")

    def _enter_cuda(self) -> None:
        import torch

        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # so that what was reserved earlier is not counted as reserved by this stretch
        torch.cuda.reset_peak_memory_stats(self.device)
        self.before_mb = torch.cuda.memory_allocated(self.device) / MB
        self.method = _CUDA_METHOD

    def _exit_cuda(self) -> None:
        import torch

        torch.cuda.synchronize(self.device)
        self.peak_mb = torch.cuda.max_memory_allocated(self.device) / MB
        self.reserved_mb = torch.cuda.max_memory_reserved(self.device) / MB

    def _enter_linux(self) -> None:
        _return_free_memory()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError as error:
            self.method = f"not measured: /proc/self/clear_refs cannot be written ({error.strerror})"
            return
        self.before_mb = _status_mb("VmRSS")
        self.method = _LINUX_METHOD if self.before_mb is not None else "not measured: /proc/self/status has no VmRSS"


def measure_inference_memory(
    call: Callable[[], object],
    *,
    device: str | torch.device,
    weights_mb: float,
    batch_size: int | None = None,
    input_size: tuple[int, int] | None = None,
    held_mb: float = 0.0,
) -> Memory:
    """Peak memory of one ``call`` in this process after a discarded one (which loads kernels and fills caches).

    ``inference_peak`` includes the weights, ``activation_peak`` is what the call added; on a CPU both are medians over several calls.
    ``weights_mb`` is the size of the parameters (:func:`segbench.measure.params.float32_mb`), ``held_mb`` what the process holds for
    the measurement only, which is taken off the peak on a CPU.
    """
    call()
    on_cpu = str(device) == "cpu"
    readings = _read_repeatedly(call, device, times=CPU_CALLS if on_cpu else 1)
    peaks = [reading.peak_mb for reading in readings if reading.peak_mb is not None]
    increases = [reading.increase_mb for reading in readings if reading.increase_mb is not None]
    return Memory(
        weights=weights_mb,
        inference_peak=median(peaks) - (held_mb if on_cpu else 0.0) if peaks else None,
        activation_peak=median(increases) if increases else None,
        reserved_peak=readings[-1].reserved_mb,
        calls=len(peaks) or None,
        batch_size=batch_size,
        input_size=input_size,
        method=readings[-1].method,
    )


def processes_needed(device: str | torch.device, first: Memory) -> int:
    """Fresh processes in which memory is read: one where the allocator counts bytes, or where the ``first`` could not read it."""
    return CPU_PROCESSES if str(device) == "cpu" and first.inference_peak is not None else 1


def join_processes(parts: Sequence[Memory]) -> Memory:
    """One record of what was read in several processes: medians with their 95 % intervals, or the reason why there are none."""
    peaks = [part.inference_peak for part in parts if part.inference_peak is not None]
    increases = [part.activation_peak for part in parts if part.activation_peak is not None]
    joined = parts[0].model_copy(update={"inference_peaks": peaks, "activation_peaks": increases})
    if not peaks or not increases:
        return joined.model_copy(update={"no_interval": joined.method or ""})
    figures = {"inference_peak": median(peaks), "activation_peak": median(increases)}
    if joined.method == _CUDA_METHOD:
        return joined.model_copy(update=figures | {"no_interval": "the allocator counts bytes"})
    intervals = {"inference_peak_ci95": memory_interval(peaks), "activation_peak_ci95": memory_interval(increases)}
    few = why_no_interval(peaks) if intervals["inference_peak_ci95"] is None else ""
    return joined.model_copy(update=figures | intervals | {"no_interval": few})


def _read_repeatedly(call: Callable[[], object], device: str | torch.device, *, times: int) -> list[PeakMemory]:
    readings = []
    gc.collect()
    gc.freeze()  # each reading begins with a collection, which takes 0.3 s where torch and its libraries are looked through
    try:
        for _ in range(times):
            with PeakMemory(device) as memory:
                call()
            readings.append(memory)
    finally:
        gc.unfreeze()
    return readings


def _status_mb(key: str) -> float | None:
    """A figure of ``/proc/self/status``, which the kernel gives in units of 1024 bytes."""
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), flags=re.MULTILINE)
    return int(match[1]) / 1024 if match else None


def _return_free_memory() -> None:
    """Return freed blocks to the system (glibc only); a call that reused them would seem to need no memory."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
