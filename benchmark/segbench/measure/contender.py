"""Contenders of a latency race: they make a number of calls and return the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

Clock = Callable[[], float]
"""Seconds since any fixed moment."""

_QUIET_ENVIRONMENT: Mapping[str, str] = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


@dataclass(frozen=True)
class Conditions:
    """The conditions under which a contender is timed: batch size, (height, width) of the images, device, threads, and clock."""

    batch_size: int
    input_size: tuple[int, int]
    device: str
    threads: int | None = None
    clock: str = "perf_counter"


@runtime_checkable
class Contender(Protocol):
    """One of several deployed models to be timed. In a run each has its own process, which ``block`` calls."""

    @property
    def name(self) -> str: ...

    @property
    def conditions(self) -> Conditions: ...

    def block(self, calls: int) -> list[float]:
        """Make so many calls, one after the other, and return the milliseconds of each; wait until the device is done."""


class LocalContender:
    """A call in this process, timed by the host's clock. On a device that works asynchronously use :class:`CudaContender`."""

    def __init__(self, name: str, call: Callable[[], object], conditions: Conditions, *, clock: Clock = time.perf_counter) -> None:
        self.name = name
        self.conditions = conditions
        self._call = call
        self._clock = clock

    def block(self, calls: int) -> list[float]:
        samples = []
        for _ in range(calls):
            start = self._clock()
            self._call()
            samples.append((self._clock() - start) * 1e3)
        return samples


class CudaContender:
    """A call in this process whose work runs on a GPU: CUDA events around each call, one synchronise at the end of the block.

    Waiting after every call would add the launch to each sample and make short networks look slower than they are.
    """

    def __init__(self, name: str, call: Callable[[], object], conditions: Conditions) -> None:
        self.name = name
        self.conditions = conditions
        self._call = call

    def block(self, calls: int) -> list[float]:
        import torch

        device = torch.device(self.conditions.device)
        with torch.cuda.device(device):
            pairs = [(_timing_event(), _timing_event()) for _ in range(calls)]
            torch.cuda.synchronize(device)
            for start, end in pairs:
                start.record()
                self._call()
                end.record()
            torch.cuda.synchronize(device)
        return [start.elapsed_time(end) for start, end in pairs]


def _timing_event() -> torch.cuda.Event:
    import torch

    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call, unused-ignore]


def local_contender(
    name: str,
    call: Callable[[], object],
    *,
    batch_size: int,
    input_size: tuple[int, int],
    device: str,
    threads: int | None = None,
) -> Contender:
    """The contender that fits the device: CUDA events on a GPU, the host's clock on a CPU."""
    if device.split(":", maxsplit=1)[0] == "cuda":
        return CudaContender(name, call, Conditions(batch_size, input_size, device, threads, clock="cuda_event"))
    return LocalContender(name, call, Conditions(batch_size, input_size, device, threads))


def quiet_environment() -> dict[str, str]:
    """Variables that keep idle threads from spinning; set them before torch is loaded in a process that times or waits.

    An idle thread pool that spins takes the cores of the process that is timed next.
    """
    return dict(_QUIET_ENVIRONMENT)
