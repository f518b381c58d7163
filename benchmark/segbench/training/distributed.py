"""Several processes train one cell: they are spawned here, or were started by torchrun. The command line is never run again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from segbench.children import end_with_parent, hidden_main, server_context
from segbench.errors import ConfigError, DeviceError
from segbench.training.precision import FABRIC, Precision

Emit = Callable[[str, Mapping[str, Any]], None]
JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Place:
    """One process among those that train together."""

    rank: int
    world_size: int
    device: str

    @property
    def first(self) -> bool:
        return self.rank == 0


def run_in_processes(work: Callable[[JobT, Place, Emit], ResultT], job: JobT, emit: Emit, *, world_size: int, device: str) -> ResultT:
    """Run ``work(job, place, emit)`` in ``world_size`` processes and return the first one's result.

    ``work`` is a module-level function. This process is the first; the others are spawned and get ``job`` pickled. Under torchrun
    every process comes here by itself.
    Only the first process's events are emitted. A failure in any process is raised here, and ends the others.
    """
    given = _torchrun_place(world_size, device)
    if given is not None:
        with _group(given, "env://"):
            return work(job, given, emit if given.first else _silent)
    if world_size == 1:
        return work(job, Place(0, 1, device), emit)
    _require_devices(world_size, device)
    return _spawned(work, job, emit, world_size, device)


def make_fabric(place: Place, precision: Precision) -> Fabric:
    """Fabric on this process's device. What processes share goes through the functions below, at points that the loop names."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision that segbench chose and records
    kind, _, index = place.device.partition(":")
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, strategy="auto", precision=FABRIC[precision])


def total(tensor: Tensor, place: Place) -> Tensor:
    """The sum of a tensor over all processes, on the tensor's own device."""
    if place.world_size == 1:
        return tensor
    shared = tensor.to(place.device, copy=True)
    distributed.all_reduce(shared)
    return shared.to(tensor.device)


def gathered(values: dict[KeyT, ValueT], place: Place) -> dict[KeyT, ValueT]:
    """The union of every process's mapping."""
    if place.world_size == 1:
        return values
    parts: list[Any] = [None] * place.world_size
    distributed.all_gather_object(parts, values)
    return {key: value for part in parts for key, value in part.items()}


def average_gradients(parameters: Sequence[nn.Parameter], place: Place) -> None:
    """Give all processes the mean gradient of each parameter, in one message.

    Not by DistributedDataParallel: its hooks would need to know which outputs a loss looks at, and when a group of batches ends.
    A parameter that no process has a gradient for keeps none.
    """
    if place.world_size == 1:
        return
    has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=place.device)
    flat = torch.cat([has, *(torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters)])
    distributed.all_reduce(flat)
    somewhere, *means = torch.split(flat, [len(parameters), *(p.numel() for p in parameters)])
    for parameter, known, mean in zip(parameters, somewhere.tolist(), means, strict=True):
        if known:
            parameter.grad = (mean / place.world_size).view_as(parameter)


def share_state(module: nn.Module, place: Place) -> None:
    """Give all processes the first one's parameters and buffers."""
    if place.world_size > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, src=0)


def average_buffers(module: nn.Module, place: Place) -> None:
    """Give all processes the mean of their running statistics, so that each image of the epoch has counted."""
    if place.world_size > 1:
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.copy_(total(buffer, place) / place.world_size)


def barrier(place: Place) -> None:
    """Wait until every process is here."""
    if place.world_size > 1:
        total(torch.zeros(1), place)


def _spawned(work: Callable[[JobT, Place, Emit], ResultT], job: JobT, emit: Emit, world_size: int, device: str) -> ResultT:
    context = server_context("segbench.training.fit")
    followers: list[_Follower] = []
    with tempfile.TemporaryDirectory() as folder, _threads_shared(world_size):
        rendezvous = (Path(folder) / "rendezvous").as_uri()
        try:
            for rank in range(1, world_size):
                ours, theirs = context.Pipe()
                arguments = (work, job, Place(rank, world_size, _device_of(device, rank)), rendezvous, theirs)
                process = context.Process(target=_follow, args=arguments)
                with hidden_main():
                    process.start()
                theirs.close()
                followers.append(_Follower(process, ours))
            for follower in followers:
                follower.wait_until_ready()
            place = Place(0, world_size, _device_of(device, 0))
            with _group(place, rendezvous):
                result = work(job, place, emit)
            for follower in followers:
                follower.process.join(timeout=30.0)
            return result
        except Exception as error:
            failure = next((f.failure for f in followers if f.failed()), None)
            if failure is None:
                raise
            raise failure from error
        finally:
            for follower in followers:
                follower.end()


@dataclass
class _Follower:
    """A spawned process, seen from the first one."""

    process: Any
    connection: Connection
    failure: Exception | None = None

    def wait_until_ready(self) -> None:
        wait([self.connection, self.process.sentinel])
        if not self.connection.poll() or self.connection.recv() != "ready":
            raise RuntimeError(
                "a training process ended before it could start; models, losses and datasets must live in importable modules, "
                "not in the script that is run"
            )

    def failed(self) -> bool:
        """Whether this process failed by itself, and not because another one left."""
        with contextlib.suppress(EOFError, OSError):
            if self.connection.poll(1.0):
                self.failure = self.connection.recv()
        return self.failure is not None and not isinstance(self.failure, distributed.DistError) and "gloo" not in str(self.failure).lower()

    def end(self) -> None:
        self.process.join(timeout=1.0)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.connection.close()


def _follow(work: Callable[[JobT, Place, Emit], Any], job: JobT, place: Place, rendezvous: str, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first process, which ends this one
    end_with_parent()
    connection.send("ready")
    try:
        with _threads_shared(place.world_size), _group(place, rendezvous):
            work(job, place, _silent)
    except Exception as error:
        try:
            connection.send(error)
        except Exception:  # what plugins raise need not be picklable
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def _group(place: Place, rendezvous: str) -> Iterator[None]:
    if place.device.startswith("cuda"):
        torch.cuda.set_device(torch.device(place.device))
    distributed.init_process_group(
        _backend(place.device), init_method=rendezvous, rank=place.rank, world_size=place.world_size, timeout=_TIMEOUT
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def _threads_shared(world_size: int) -> Iterator[None]:
    """Each process takes its share of the cores: more threads than cores make every one of them slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world_size if hasattr(os, "sched_getaffinity") else before // world_size))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _torchrun_place(world_size: int, device: str) -> Place | None:
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or distributed.is_initialized():
        return None
    started = int(os.environ["WORLD_SIZE"])
    if started == 1 == world_size:
        return None
    if started != world_size:
        raise ConfigError(f"torchrun started {started} processes, but execute.devices is {world_size}. Set both to the same number.")
    return Place(int(os.environ["RANK"]), world_size, _device_of(device, int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))))


def _require_devices(world_size: int, device: str) -> None:
    if device.startswith("cuda") and torch.cuda.device_count() < world_size:
        raise DeviceError(f"execute.devices = {world_size}, but this machine has {torch.cuda.device_count()} CUDA devices. Lower it.")


def _device_of(device: str, rank: int) -> str:
    kind = device.partition(":")[0]
    return f"{kind}:{rank}" if kind == "cuda" else kind


def _backend(device: str) -> str:
    return "nccl" if device.startswith("cuda") else "gloo"


def _silent(event: str, fields: Mapping[str, Any]) -> None:
    pass
