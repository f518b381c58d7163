"""One deployed model in a process of its own, waiting to be released: times blocks of calls and measures memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from segbench.cells import measured_size
from segbench.execute.cell import Emit, Setup, example_inputs, set_up, trained_network
from segbench.measure.contenders import Conditions, Contender, local_contender
from segbench.measure.memory import measure_inference_memory
from segbench.measure.params import count_params
from segbench.network import Network, build_network, deploy
from segbench.registry import Catalog, load_catalog
from segbench.specs import resolve


class Deployment:
    """A model in its deployed form with example inputs per batch size."""

    def __init__(self, job: Mapping[str, Any], catalog: Catalog | None = None) -> None:
        catalog = catalog or load_catalog()
        self.setup = set_up(job, lambda *_: None, catalog)
        self.threads = int(job["threads"])
        torch.set_num_threads(self.threads)
        self.size = measured_size(self.setup.settings)
        network = _network(self.setup).to(self.setup.device)
        deployed = deploy(network)
        self.weights_mb = count_params(deployed, parts={}).size_mb
        backend = catalog.backend("eager")
        assert backend.spec.build is not None
        self._call: Callable[..., Any] = resolve(backend.spec.build)(deployed, self._inputs(1), backend.options)

    def contender(self, name: str, batch_size: int) -> Contender:
        """The model at one batch size, to be raced in this process."""
        inputs = self._inputs(batch_size)
        return local_contender(
            name,
            lambda: self._infer(inputs),
            batch_size=batch_size,
            input_size=self.size,
            device=self.setup.device,
            threads=self.threads if self.setup.device == "cpu" else None,
        )

    def memory(self) -> dict[str, Any]:
        """Peak memory of one image at a time."""
        inputs = self._inputs(1)
        memory = measure_inference_memory(
            lambda: self._infer(inputs), device=self.setup.device, weights_mb=self.weights_mb, batch_size=1, input_size=self.size
        )
        return memory.model_dump()

    def _infer(self, inputs: tuple[Tensor, ...]) -> object:
        with torch.inference_mode():
            return self._call(*inputs)

    def _inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return example_inputs(self.setup.inputs, self.size, batch_size=batch_size, device=self.setup.device)


def serve(job: Mapping[str, Any], emit: Emit) -> None:
    """Answer commands from the pipe until told to stop: ``memory``, ``prepare``, ``block``."""
    pipe = job["_pipe"]
    deployment = Deployment(job)
    lanes: dict[int, Contender] = {}
    emit("ready", {})
    while True:
        command = pipe.recv()
        if command["do"] == "stop":
            return
        try:
            emit("reply", {"value": _answer(deployment, lanes, command)})
        except Exception as error:  # reported to the race, which drops this contender only
            emit("error", {"message": f"{type(error).__name__}: {error}"})


def _answer(deployment: Deployment, lanes: dict[int, Contender], command: Mapping[str, Any]) -> Any:
    if command["do"] == "memory":
        return deployment.memory()
    batch_size = int(command["batch_size"])
    if batch_size not in lanes:
        lanes[batch_size] = deployment.contender("", batch_size)
    if command["do"] == "conditions":
        return vars(lanes[batch_size].conditions)
    return lanes[batch_size].block(int(command["calls"]))


class RemoteContender:
    """Our side of a contender in another process."""

    def __init__(self, name: str, ask: Callable[[Mapping[str, Any]], Any], batch_size: int) -> None:
        self.name = name
        self._ask = ask
        self._batch_size = batch_size
        self.conditions = Conditions(**ask({"do": "conditions", "batch_size": batch_size}))

    def block(self, calls: int) -> list[float]:
        """Milliseconds of each of so many calls, made one after the other in the contender's process."""
        samples: list[float] = self._ask({"do": "block", "batch_size": self._batch_size, "calls": calls})
        return samples


def _network(setup: Setup) -> Network:
    if setup.checkpoint.exists():
        return trained_network(setup).network
    return build_network(setup.model.spec, setup.model_task, setup.model.options, seed=0)
