"""Peak memory of a stretch of work: on CUDA what torch allocated, on Linux what the process had resident. Never ``ru_maxrss``.

``ru_maxrss`` starts at the peak of the process that forked this one. The kernel's own high-water mark can be reset instead (write 5 to
``/proc/self/clear_refs``; proc(5)), so that it means this stretch only.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from segbench.results.records import Memory
from segbench.util.files import MB

if TYPE_CHECKING:
    import torch

_CUDA_METHOD = "CUDA caching allocator of this process: peak allocated and reserved after a reset"
_LINUX_METHOD = "VmHWM after a reset through /proc/self/clear_refs: resident memory of this process, interpreter and libraries included"


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
) -> Memory:
    """Peak memory of one ``call`` after a discarded one (which loads kernels and fills caches).

    ``inference_peak`` includes the weights, ``activation_peak`` is what the call added. ``weights_mb`` is the size of the
    parameters (:func:`segbench.measure.params.float32_mb`).
    """
    call()
    with PeakMemory(device) as memory:
        call()
    return Memory(
        weights=weights_mb,
        inference_peak=memory.peak_mb,
        activation_peak=memory.increase_mb,
        reserved_peak=memory.reserved_mb,
        batch_size=batch_size,
        input_size=input_size,
        method=memory.method,
    )


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
