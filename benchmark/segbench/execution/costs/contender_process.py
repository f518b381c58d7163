"""In a contender's own process: answer commands to time blocks of calls of one deployed model or its modules, or to measure its memory.

A model that ships as a file is loaded from it: no network is built in its process, so that memory is that of its runtime.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from segbench.errors import BackendError
from segbench.execution.cells.job import declared_counts, example_inputs, set_up
from segbench.execution.costs.export import race_network
from segbench.execution.costs.memory_layout import randomised_layout
from segbench.execution.jobs import ContenderJob
from segbench.execution.plan.cell import measured_size
from segbench.measure.contender import Conditions, Contender, local_contender
from segbench.measure.memory import measure_inference_memory
from segbench.measure.module_calls import captured_calls, named_modules
from segbench.measure.params import count_params
from segbench.networks.finite import unordered
from segbench.networks.foreign import ProcessState, collected_remarks, remark, unchanged_process
from segbench.networks.network import DeployedNetwork, deploy
from segbench.plugin.registry import Catalog, load_catalog
from segbench.plugin.specs import Target, resolve
from segbench.results.records import Memory
from segbench.util.files import MB
from segbench.util.image_size import Size, format_size
from segbench.util.processes import Channel
from segbench.util.sequences import counted

Workload = tuple[Size, int]
"""Height and width of the images, and the number of them in a batch."""


@dataclass(frozen=True)
class Command:
    """A question to a contender's process: its memory, its idle seconds, what was noticed, another workload, or times of so many calls."""

    do: Literal["memory", "idle", "observed", "conditions", "block", "stop"]
    workload: Workload | None = None
    calls: int = 0


@dataclass(frozen=True)
class Observed:
    """What was noticed of a model's code while it was timed; ``threads`` is the number in force where it is not the one that was set."""

    notes: tuple[str, ...] = ()
    threads: int | None = None


class ObservedContender:
    """A contender in this process whose plugin code is looked at after each block; single calls are timed as they are.

    Raises :class:`BackendError` where calls change their inputs: later ones would be of other images.
    """

    def __init__(self, contender: Contender, inputs: tuple[Tensor, ...], logits: Callable[[], object], notice: Callable[..., None]) -> None:
        self.name, self.conditions = contender.name, contender.conditions
        self._contender, self._inputs, self._logits, self._notice = contender, inputs, logits, notice
        self._versions = [x._version for x in inputs]
        self._looked_at = False

    def block(self, calls: int) -> list[float]:
        """Milliseconds of each of so many calls, made one after the other."""
        state = ProcessState.now()
        with collected_remarks() as remarks:
            samples = self._contender.block(calls)
            if not self._looked_at:
                self._looked_at = True
                _remark_on_nonfinite(self._logits())
        threads = torch.get_num_threads()
        changes = [f"a timed call changed {change}" for change in state.put_back()]
        self._notice([*remarks, *changes], threads=threads)
        if [x._version for x in self._inputs] != self._versions:
            raise BackendError("its calls change their input in place: each would be timed on another image")
        return samples


def _remark_on_nonfinite(logits: object) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 4:
        return
    bad = int(unordered(logits.float().amax(1)).sum())
    if bad:
        share = f"{bad} of {counted(logits.numel() // logits.shape[1], 'pixel')}"
        remark(f"on the race's noise the logits of {share} are no finite numbers: a call on images may take another time")


class BackendModel:
    """A model through one backend, at any size and batch."""

    def __init__(self, job: ContenderJob, catalog: Catalog | None = None, *, held_mb: float = 0.0) -> None:
        self._remarks: dict[str, None] = {}
        self._threads_in_force: int | None = None
        self.threads = job.threads
        with collected_remarks() as remarks:
            self._open(job, catalog, held_mb)
        self._remarks.update(dict.fromkeys(remarks))

    def _open(self, job: ContenderJob, catalog: Catalog | None, held_mb: float) -> None:
        with unchanged_process("importing plugins"):
            catalog = catalog or load_catalog()
        self.setup = set_up(job.cell, lambda *_: None, catalog)
        torch.set_num_threads(self.threads)
        self.size = measured_size(self.setup.settings)
        self.backend = catalog.backend(job.backend)
        self.files = job.files
        self.held_mb = held_mb
        self._network: DeployedNetwork | None = None
        self.weights_mb: float | None = None
        if self.backend.spec.build is not None:
            self._network = deploy(race_network(self.setup).to(self.setup.device))
            self.weights_mb = self._weights_mb(self._network)

    def _weights_mb(self, network: DeployedNetwork) -> float | None:
        counts = declared_counts(self.setup, self.size)
        return counts.size_mb if counts else count_params(network, parts={}).size_mb

    def contender(self, name: str, size: Size, batch_size: int) -> Contender:
        """The model at one size and batch, to be raced in this process."""
        inputs = example_inputs(self.setup.inputs, size, batch_size=batch_size, device=self.setup.device)
        with collected_remarks() as remarks:  # settings that a backend makes are its own: it is timed under them
            call = self._call(inputs, size, batch_size)
        self._remarks.update(dict.fromkeys(remarks))
        threads = self.threads if self.setup.device == "cpu" else None
        contender = local_contender(name, call, batch_size=batch_size, input_size=size, device=self.setup.device, threads=threads)
        return ObservedContender(contender, inputs, call, self._notice)

    def observed(self) -> Observed:
        """What was noticed of the model's code so far."""
        return Observed(tuple(self._remarks), self._threads_in_force)

    def _notice(self, remarks: Sequence[str], *, threads: int) -> None:
        self._remarks.update(dict.fromkeys(remarks))
        if threads != self.threads and self.setup.device == "cpu":
            self._threads_in_force = threads
            text = f"its own code sets the number of threads: timed calls ran on {threads}, not on the {self.threads} of this race"
            self._remarks[text] = None

    def memory(self) -> Memory:
        """Peak memory in this process of one image at a time; the model cannot be called afterwards."""
        inputs = example_inputs(self.setup.inputs, self.size, batch_size=1, device=self.setup.device)
        call = self._call(inputs, self.size, 1)
        # a deployment that works on a copy of its own (another number format or layout) ships without the original
        self._network = None
        memory = measure_inference_memory(
            call,
            device=self.setup.device,
            weights_mb=self.weights_mb or 0.0,
            batch_size=1,
            input_size=self.size,
            held_mb=self.held_mb,
        )
        return memory.model_copy(update={"weights": self.weights_mb})

    def _call(self, inputs: tuple[Tensor, ...], size: Size, batch_size: int) -> Callable[[], object]:
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
        loaded: Callable[..., Any] = resolve(spec.load)(file, options, Target(self.setup.device, self.threads))
        return loaded


class ModuleModel(BackendModel):
    """Some modules of an eager network, each called on the inputs that it gets in one forward pass."""

    def __init__(self, job: ContenderJob, catalog: Catalog | None = None) -> None:
        super().__init__(job, catalog)
        if self._network is None:
            raise BackendError(f"{job.backend} runs no modules that could be timed by themselves")
        self.modules = named_modules(self._network.network.model, job.modules)

    def memory(self) -> Memory:
        """Not measured for modules."""
        raise BackendError("the memory of modules is not measured")

    def _call(self, inputs: tuple[Tensor, ...], size: Size, batch_size: int) -> Callable[[], object]:
        assert self._network is not None
        with torch.inference_mode():
            calls = captured_calls(self._network, self.modules, inputs)

        def call() -> None:
            with torch.inference_mode():
                for captured in calls:
                    captured()

        return call


def contender_model(job: ContenderJob, catalog: Catalog | None = None, *, held_mb: float = 0.0) -> BackendModel:
    """What the job asks to time: a model, or modules of it."""
    return ModuleModel(job, catalog) if job.modules else BackendModel(job, catalog, held_mb=held_mb)


def file_key(size: Size, batch_size: int) -> str:
    """The key of the file for a size and a batch in a job's ``files``."""
    return f"{format_size(size)}-b{batch_size}"


class RaceableModel(Protocol):
    """A model that a contender's process can time and measure."""

    def contender(self, name: str, size: Size, batch_size: int) -> Contender: ...

    def memory(self) -> Memory: ...

    def observed(self) -> Observed: ...


def serve(job: ContenderJob, channel: Channel) -> None:
    """Answer a race's commands about the deployment that the job names."""
    blocks = randomised_layout() if job.randomised_layout else []
    answer_commands(contender_model(job, held_mb=sum(block.nbytes for block in blocks) / MB), channel)
    blocks.clear()


def answer_commands(model: RaceableModel, channel: Channel) -> None:
    """Answer each :class:`Command` that comes through the channel, until one says stop."""
    loop = _CommandLoop(model)
    channel("ready", {})
    while True:
        command = loop.next_command(channel.receive)
        if command.do == "stop":
            return
        try:
            channel("reply", {"value": loop.answer(command)})
        except Exception as error:  # reported to the race, which drops this contender only
            channel("error", {"message": f"{type(error).__name__}: {error}"})


class _CommandLoop:
    """Answers commands; holds one workload at a time, and counts what the process does while it has nothing to do."""

    def __init__(self, model: RaceableModel) -> None:
        self.model = model
        self.contender: Contender | None = None
        self.idle = [0.0, 0.0]

    def next_command(self, receive: Callable[[], Command]) -> Command:
        """The next command; CPU and wall seconds until it came are added up."""
        used, start = time.process_time(), time.perf_counter()
        command = receive()
        self.idle[0] += time.process_time() - used
        self.idle[1] += time.perf_counter() - start
        return command

    def answer(self, command: Command) -> Any:
        """The value that the command asks for."""
        if command.do == "memory":
            return self.model.memory()
        if command.do == "idle":
            return tuple(self.idle)
        if command.do == "observed":
            return self.model.observed()
        if command.do == "conditions":
            assert command.workload is not None
            self.contender = None  # its network and buffers go before the next ones come
            self.contender = self.model.contender("", *command.workload)
            return self.contender.conditions
        assert self.contender is not None
        return self.contender.block(command.calls)


class RemoteContender:
    """The race's side of a contender in another process, at one size and batch."""

    def __init__(self, name: str, ask: Callable[[Command], Any], size: Size, batch_size: int) -> None:
        self.name = name
        self._ask = ask
        self.conditions: Conditions = ask(Command("conditions", (size, batch_size)))

    def block(self, calls: int) -> list[float]:
        """Milliseconds of each of so many calls, made one after the other in the contender's process."""
        samples: list[float] = self._ask(Command("block", calls=calls))
        return samples
