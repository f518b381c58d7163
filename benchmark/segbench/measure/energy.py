"""Energy per image from counters of the hardware: NVML on NVIDIA GPUs, RAPL on CPUs. Without a counter nothing is made up.

Both count the whole device (a GPU board, a CPU package), idle power and other programs included; a counter is read before and after a
stretch of calls of at least two seconds, since it moves in steps of up to 100 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

SECONDS = 2.0
POWERCAP = Path("/sys/class/powercap")

Read = Callable[[], float]
"""Joules on a counter that only goes up."""


@dataclass(frozen=True)
class Energy:
    """Joules per image, and how they were read; None with ``why`` where there is no counter."""

    joules: float | None
    method: str = ""
    why: str = ""


def energy_per_image(
    call: Callable[[], object],
    *,
    images: int,
    device: str,
    seconds: float = SECONDS,
    counter: tuple[Read, str] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Energy:
    """Energy of one image where each ``call`` takes ``images``; ``counter`` (and what it is) by default the device's own."""
    counter_or_reason = counter or open_counter(device)
    if isinstance(counter_or_reason, str):
        return Energy(None, why=counter_or_reason)
    read, method = counter_or_reason
    _finish(call, device)
    before, begun, calls = read(), clock(), 0
    while calls == 0 or clock() - begun < seconds:
        _finish(call, device)
        calls += 1
    used = read() - before
    if used <= 0:
        return Energy(None, why=f"{method}: the counter did not move")
    return Energy(used / (calls * images), method=method)


def _finish(call: Callable[[], object], device: str) -> None:
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def open_counter(device: str) -> tuple[Read, str] | str:
    """The device's counter with its description, or the reason why there is none."""
    if device.startswith("cuda"):
        return _nvml(torch.device(device))
    return _rapl(POWERCAP) if device == "cpu" else f"no energy counter is known for '{device}'"


def _rapl(folder: Path) -> tuple[Read, str] | str:
    """Sum over CPU packages; counters wrap around at a limit that lies beside them."""
    packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1] if folder.is_dir() else []
    if not packages:
        return "no RAPL counter: the kernel shows none under powercap"
    try:
        counters = [_Package(zone) for zone in packages]
    except (OSError, ValueError):
        return "the RAPL counter cannot be read (it takes root, or read permission on energy_uj)"
    return lambda: sum(counter.joules() for counter in counters), f"RAPL, {len(counters)} CPU package(s), idle power included"


class _Package:
    """One RAPL counter as joules since it was opened, wrap-arounds undone."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._limit = int((zone / "max_energy_range_uj").read_text())
        self._last, self._total = self._read(), 0

    def joules(self) -> float:
        now = self._read()
        self._total += (now - self._last) % (self._limit + 1)
        self._last = now
        return self._total / 1e6

    def _read(self) -> int:
        return int(self._file.read_text())


def _nvml(device: torch.device) -> tuple[Read, str] | str:
    """The board's counter, which its driver reads."""
    import pynvml

    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    why = "NVML cannot be started"
    try:
        pynvml.nvmlInit()
        why = "NVML does not know this device (part of a shared GPU?)"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        why = "NVML: this device has no energy counter"
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError_LibraryNotFound:
        return "no NVML: the driver's library is not there"
    except pynvml.NVMLError as error:
        return f"{why}: {error}"
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000, "NVML, whole board, idle power included"
