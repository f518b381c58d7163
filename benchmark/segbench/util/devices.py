"""The device of a run, its usable cores, and errors that mean out of memory."""

from __future__ import annotations

import errno
import os

from segbench.errors import DeviceError


def resolve_device(name: str) -> str:
    """``auto`` becomes ``cuda`` where there is a usable GPU, else ``cpu``; raises :class:`DeviceError` for what is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return "cpu"
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceError(f"Unknown device '{name}'. Choose auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available():
        built = "this torch was built without CUDA" if torch.version.cuda is None else "no usable NVIDIA GPU or driver was found"
        raise DeviceError(f"--device {name}: CUDA is not available here ({built}). Use --device cpu or auto.")
    if index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: there are only {torch.cuda.device_count()} CUDA devices (cuda:0 is the first).")
    return name


def usable_cores() -> int:
    """Cores that the process is allowed to run on, which in a container or under ``taskset`` are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error that means out of memory, on a GPU or on the host.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("no"))
    (True, False)
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # by name: a process that only waits for a worker need not import torch; and not every allocator has an exception of its own
    is_torch_error = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return is_torch_error or (isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY_MESSAGES))
