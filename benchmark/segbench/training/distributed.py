"""Training of one cell in several processes, spawned here or started by torchrun. The command line is never run again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from torch import distributed

from segbench.errors import ConfigError, DeviceError
from segbench.util.distributed import ProcessRank
from segbench.util.processes import end_with_parent, hidden_main, server_context

Emit = Callable[[str, Mapping[str, Any]], None]
JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

_TIMEOUT = timedelta(minutes=10)


def run_in_processes(work: Callable[[JobT, ProcessRank, Emit], ResultT], job: JobT, emit: Emit, *, world_size: int, device: str) -> ResultT:
    """Run ``work(job, process, emit)`` in ``world_size`` processes and return the first one's result.

    ``work`` is a module-level function. This process is the first; the others are spawned and get ``job`` pickled. Under torchrun
    every process calls this function by itself. Only the first process's events are emitted. A failure in any process is raised
    here, and ends the others.
    """
    torchrun_place = _torchrun_process(world_size, device)
    if torchrun_place is not None:
        with _process_group(torchrun_place, "env://"):
            return work(job, torchrun_place, emit if torchrun_place.first else _emit_nothing)
    if world_size == 1:
        return work(job, ProcessRank(0, 1, device), emit)
    _require_devices(world_size, device)
    return _run_spawned(work, job, emit, world_size, device)


def make_fabric(process: ProcessRank, precision: Precision) -> Fabric:
    """Fabric on this process's device. Processes exchange data through :mod:`segbench.util.distributed`, where the loop says so."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision that segbench chose and records
    kind, _, index = process.device.partition(":")
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, strategy="auto", precision=FABRIC[precision])


def _run_spawned(work: Callable[[JobT, ProcessRank, Emit], ResultT], job: JobT, emit: Emit, world_size: int, device: str) -> ResultT:
    context = server_context(work.__module__)
    followers: list[_Follower] = []
    with tempfile.TemporaryDirectory() as folder, _share_cores(world_size):
        rendezvous = (Path(folder) / "rendezvous").as_uri()
        try:
            for rank in range(1, world_size):
                ours, theirs = context.Pipe()
                arguments = (work, job, ProcessRank(rank, world_size, _device_of(device, rank)), rendezvous, theirs)
                process = context.Process(target=_run_follower, args=arguments)
                with hidden_main():
                    process.start()
                theirs.close()
                followers.append(_Follower(process, ours))
            for follower in followers:
                follower.wait_until_ready()
            process = ProcessRank(0, world_size, _device_of(device, 0))
            with _process_group(process, rendezvous):
                result = work(job, process, emit)
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
        """True where this process failed by itself, and not because another one ended."""
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


def _run_follower(
    work: Callable[[JobT, ProcessRank, Emit], Any], job: JobT, process: ProcessRank, rendezvous: str, connection: Connection
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first process, which ends this one
    end_with_parent()
    connection.send("ready")
    try:
        with _share_cores(process.world_size), _process_group(process, rendezvous):
            work(job, process, _emit_nothing)
    except Exception as error:
        try:
            connection.send(error)
        except Exception:  # what plugins raise need not be picklable
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def _process_group(process: ProcessRank, rendezvous: str) -> Iterator[None]:
    if process.device.startswith("cuda"):
        torch.cuda.set_device(torch.device(process.device))
    distributed.init_process_group(
        _collective_backend(process.device), init_method=rendezvous, rank=process.rank, world_size=process.world_size, timeout=_TIMEOUT
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def _share_cores(world_size: int) -> Iterator[None]:
    """Each process takes its share of the cores: more threads than cores make every one of them slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world_size if hasattr(os, "sched_getaffinity") else before // world_size))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _torchrun_process(world_size: int, device: str) -> ProcessRank | None:
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or distributed.is_initialized():
        return None
    started = int(os.environ["WORLD_SIZE"])
    if started == 1 == world_size:
        return None
    if started != world_size:
        raise ConfigError(f"torchrun started {started} processes, but execute.devices is {world_size}. Set both to the same number.")
    return ProcessRank(int(os.environ["RANK"]), world_size, _device_of(device, int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))))


def _require_devices(world_size: int, device: str) -> None:
    if device.startswith("cuda") and torch.cuda.device_count() < world_size:
        raise DeviceError(f"execute.devices = {world_size}, but this machine has {torch.cuda.device_count()} CUDA devices. Lower it.")


def _device_of(device: str, rank: int) -> str:
    kind = device.partition(":")[0]
    return f"{kind}:{rank}" if kind == "cuda" else kind


def _collective_backend(device: str) -> str:
    return "nccl" if device.startswith("cuda") else "gloo"


def _emit_nothing(event: str, fields: Mapping[str, Any]) -> None:
    pass


Precision = Literal["bf16", "fp16", "off"]


FabricPrecision = Literal["bf16-mixed", "16-mixed", "32-true"]


FABRIC: dict[Precision, FabricPrecision] = {"bf16": "bf16-mixed", "fp16": "16-mixed", "off": "32-true"}


def choose_precision(setting: Literal["auto", "bf16", "fp16", "off"], device: torch.device) -> Precision:
    """``auto``: bf16 where the device computes in it natively, else fp16 with a gradient scaler on CUDA, else off.

    Raises :class:`ConfigError` for fp16 on anything but CUDA.
    """
    if setting == "fp16" and device.type != "cuda":
        raise ConfigError(f"train.precision = fp16 needs a CUDA device, but the device is {device.type}. Use bf16, off or auto.")
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _fast_bf16_cpu() else "off"


def _fast_bf16_cpu() -> bool:
    """True with AMX or AVX512-BF16, where a training step takes 0.6 to 0.95 of its time in float32; elsewhere up to 1.7 of it."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in checks)
