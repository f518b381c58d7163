"""One deployed model in a process of its own, waiting to be released: times blocks of calls and measures memory.

A form that ships as a file is loaded from it: no network is built in its process, so that memory is that of its runtime.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.execution.cells.job import Emit, example_inputs, set_up
from segbench.execution.costs.export import race_network
from segbench.execution.costs.memory_layout import randomised_layout
from segbench.execution.plan.cell import measured_size
from segbench.measure.contender import Conditions, Contender, local_contender
from segbench.measure.memory import measure_inference_memory
from segbench.measure.params import count_params
from segbench.networks.network import DeployedNetwork, deploy
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import Target, resolve
from segbench.util.image_size import Size, format_size


class BackendModel:
    """A model through one backend, at whatever size and batch it is asked for."""

    def __init__(self, job: Mapping[str, Any], catalog: Catalog | None = None) -> None:
        catalog = catalog or load_catalog()
        self.setup = set_up(job, lambda *_: None, catalog)
        self.threads = int(job["threads"])
        torch.set_num_threads(self.threads)
        self.size = measured_size(self.setup.settings)
        self.backend = catalog.backend(job.get("backend", "eager"))
        self.files: Mapping[str, str] = job.get("files", {})
        self._network: DeployedNetwork | None = None
        self.weights_mb: float | None = None
        if self.backend.spec.build is not None:
            self._network = deploy(race_network(self.setup).to(self.setup.device))
            self.weights_mb = count_params(self._network, parts={}).size_mb

    def contender(self, name: str, size: Size, batch_size: int) -> Contender:
        """The model at one size and batch, to be raced in this process."""
        return local_contender(
            name,
            self._call(size, batch_size),
            batch_size=batch_size,
            input_size=size,
            device=self.setup.device,
            threads=self.threads if self.setup.device == "cpu" else None,
        )

    def memory(self) -> dict[str, Any]:
        """Peak memory of one image at a time; nothing else can be asked for afterwards."""
        call = self._call(self.size, 1)
        # a form that works on a copy of its own (another number format or layout) ships without the original
        self._network = None
        memory = measure_inference_memory(
            call,
            device=self.setup.device,
            weights_mb=self.weights_mb or 0.0,
            batch_size=1,
            input_size=self.size,
        )
        return memory.model_copy(update={"weights": self.weights_mb}).model_dump()

    def _call(self, size: Size, batch_size: int) -> Callable[[], object]:
        inputs = example_inputs(self.setup.inputs, size, batch_size=batch_size, device=self.setup.device)
        run = self._run(inputs, size, batch_size)

        def call() -> object:
            with torch.inference_mode():
                return run(*inputs)

        return call

    def _run(self, inputs: tuple[Tensor, ...], size: Size, batch_size: int) -> Callable[..., Any]:
        spec, options = self.backend.spec, self.backend.options
        if self._network is not None:
            assert spec.build is not None
            run: Callable[..., Any] = resolve(spec.build)(self._network, inputs, options)
            return run
        assert spec.load is not None
        file = self.files.get(file_key(size, batch_size))
        if file is None:
            raise BackendError(f"nothing was exported for batch {batch_size} at {format_size(size)}")
        loaded: Callable[..., Any] = resolve(spec.load)(Path(file), options, Target(self.setup.device, self.threads))
        return loaded


def file_key(size: Size, batch_size: int) -> str:
    """Under which a job names the file for a size and a batch."""
    return f"{format_size(size)}-b{batch_size}"


class RaceableModel(Protocol):
    """What can be asked for in a contender's process."""

    def contender(self, name: str, size: Size, batch_size: int) -> Contender: ...

    def memory(self) -> dict[str, Any]: ...


def serve(job: Mapping[str, Any], emit: Emit) -> None:
    """Answer a race's commands about the deployment that the job names; ``scatter`` says whether it is to be timed."""
    held = randomised_layout() if job.get("scatter") else []
    attend(BackendModel(job), job, emit)
    held.clear()


def attend(deployment: RaceableModel, job: Mapping[str, Any], emit: Emit) -> None:
    """Answer commands from the pipe until told to stop: ``memory``, ``conditions``, ``block``, ``idle``."""
    pipe = job["_pipe"]
    desk = _CommandLoop(deployment)
    emit("ready", {})
    while True:
        command = desk.waited(pipe.recv)
        if command["do"] == "stop":
            return
        try:
            emit("reply", {"value": desk.answer(command)})
        except Exception as error:  # reported to the race, which drops this contender only
            emit("error", {"message": f"{type(error).__name__}: {error}"})


class _CommandLoop:
    """Answers commands; holds one size and batch at a time, and counts what the process does while it has nothing to do."""

    def __init__(self, deployment: RaceableModel) -> None:
        self.deployment = deployment
        self.lane: Contender | None = None
        self.idle = [0.0, 0.0]

    def waited(self, receive: Callable[[], Any]) -> Any:
        """The next command; CPU and wall seconds until it came are added up."""
        used, start = time.process_time(), time.perf_counter()
        command = receive()
        self.idle[0] += time.process_time() - used
        self.idle[1] += time.perf_counter() - start
        return command

    def answer(self, command: Mapping[str, Any]) -> Any:
        if command["do"] == "memory":
            return self.deployment.memory()
        if command["do"] == "idle":
            return list(self.idle)
        if command["do"] == "conditions":
            self.lane = None  # its network and buffers go before the next ones come
            self.lane = self.deployment.contender("", (command["size"][0], command["size"][1]), int(command["batch_size"]))
            return vars(self.lane.conditions)
        assert self.lane is not None
        return self.lane.block(int(command["calls"]))


class RemoteContender:
    """Our side of a contender in another process, at one size and batch."""

    def __init__(self, name: str, ask: Callable[[Mapping[str, Any]], Any], size: Size, batch_size: int) -> None:
        self.name = name
        self._ask = ask
        self.conditions = Conditions(**ask({"do": "conditions", "size": size, "batch_size": batch_size}))

    def block(self, calls: int) -> list[float]:
        """Milliseconds of each of so many calls, made one after the other in the contender's process."""
        samples: list[float] = self._ask({"do": "block", "calls": calls})
        return samples
