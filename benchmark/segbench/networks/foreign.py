"""Guards around a plugin's code: state of the process is put back after it, and remarks on what it did are collected for the row.

The rule: state is compared where a plugin's code is imported, builds a network or makes one of a network's first two calls (in each mode,
at each input size), and once more at the end of each stage and of each block of timed calls. Of other calls nothing is looked at but the
version counters of their inputs, so that a call in a race costs what it costs.
"""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_REMARKS: ContextVar[dict[str, None] | None] = ContextVar("segbench_remarks", default=None)
_THREAD_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_")


@contextlib.contextmanager
def collected_remarks() -> Iterator[list[str]]:
    """Collect the remarks of everything that runs inside, each once; the list is filled at the end. Collections around it get them, too."""
    remarks: list[str] = []
    own: dict[str, None] = {}
    token = _REMARKS.set(own)
    try:
        yield remarks
    finally:
        _REMARKS.reset(token)
        remarks.extend(own)
        for text in own:
            remark(text)


def remark(text: str) -> None:
    """Say something about a plugin's code in the row that is being made; without a row it is dropped."""
    remarks = _REMARKS.get()
    if remarks is not None:
        remarks[text] = None


@dataclass(frozen=True)
class _Setting:
    """A setting of the process that calculations depend on; without ``write`` it cannot be put back."""

    words: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


def _flushes_denormals() -> bool:
    return float(np.float32(1e-40) * np.float32(1.0)) == 0.0


def _thread_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_THREAD_VARIABLES)}


def _set_thread_variables(before: Mapping[str, str]) -> None:
    for name in _thread_variables().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _cudnn() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic


def _set_cudnn(values: tuple[bool, bool, bool]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = values


def _autocast() -> tuple[bool, bool]:
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _set_autocast(values: tuple[bool, bool]) -> None:
    torch.set_autocast_enabled("cpu", values[0])
    torch.set_autocast_enabled("cuda", values[1])


def _cores() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _set_cores(cores: list[int] | None) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _set_mkldnn(enabled: bool) -> None:
    torch.backends.mkldnn.set_flags(enabled)  # type: ignore[no-untyped-call, unused-ignore]


_SETTINGS = (
    _Setting("the number of threads", torch.get_num_threads, torch.set_num_threads),
    _Setting("the number of threads between operators", torch.get_num_interop_threads),
    _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Setting(
        "the default device",
        lambda: str(torch.get_default_device()),
        lambda device: torch.set_default_device(None if device == "cpu" else device),
    ),
    _Setting("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    _Setting("autocast on CPU and CUDA", _autocast, _set_autocast),
    _Setting("deterministic algorithms", _deterministic, lambda flags: torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])),
    _Setting("flushing of denormal numbers to zero", _flushes_denormals, torch.set_flush_denormal),
    _Setting("the precision of float32 products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _Setting("cuDNN's flags (enabled, benchmark, deterministic)", _cudnn, _set_cudnn),
    _Setting("oneDNN", lambda: torch.backends.mkldnn.enabled, _set_mkldnn),
    _Setting("attention's fast path", torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    _Setting("the variables of thread pools", _thread_variables, _set_thread_variables),
    _Setting("the cores that may be used", _cores, _set_cores),
    _Setting("the working directory", os.getcwd, os.chdir),
)


@dataclass(frozen=True)
class ProcessState:
    """Settings of this process as they were at one moment."""

    values: tuple[Any, ...]

    @classmethod
    def now(cls) -> ProcessState:
        """The settings at this moment; None for one that cannot be read."""
        values = []
        for setting in _SETTINGS:
            try:
                values.append(setting.read())
            except (RuntimeError, OSError):  # PyTorch refuses to read settings that were made through its newer functions
                values.append(None)
        return cls(tuple(values))

    def put_back(self) -> list[str]:
        """Give all settings the values of that moment; what had changed, in words ("the number of threads from 2 to 1: put back")."""
        changed = []
        for setting, before, after in zip(_SETTINGS, self.values, ProcessState.now().values, strict=True):
            if before == after:
                continue
            changed.append(f"{setting.words} from {before} to {after}: {_outcome(setting, before)}")
        return changed


def _outcome(setting: _Setting, before: Any) -> str:
    if setting.write is None or before is None:
        return "it cannot be put back"
    try:
        setting.write(before)
    except (RuntimeError, OSError, ValueError):
        return "it cannot be put back"
    return "put back"


@contextlib.contextmanager
def unchanged_process(what: str) -> Iterator[None]:
    """Run a plugin's code; settings of the process that it changes are put back, and a remark says which. ``what`` begins the remark."""
    before = ProcessState.now()
    try:
        yield
    finally:
        for change in before.put_back():
            remark(f"{what} changed {change}")


@dataclass(frozen=True)
class GeneratorStates:
    """The random numbers of this process at one moment: torch's (on CUDA too, once it is in use), numpy's and python's."""

    seed: int
    parts: tuple[Any, ...]

    @classmethod
    def now(cls) -> GeneratorStates:
        """The states at this moment."""
        state: Any = np.random.get_state()
        _, keys, *rest = state
        cuda = torch.cuda.get_rng_state_all() if _uses_cuda() else []
        states = (torch.get_rng_state(), *cuda)
        return cls(torch.initial_seed(), (tuple(state.numpy().tobytes() for state in states), (keys.tobytes(), *rest), random.getstate()))

    def repeats(self, earlier: GeneratorStates | None, before: GeneratorStates) -> bool:
        """Whether a call that left these states, from ``before``, left one of them exactly as an ``earlier`` call did: it seeds it."""
        if earlier is None:
            return False
        return any(own != start and own == then for own, start, then in zip(self.parts, before.parts, earlier.parts, strict=True))

    def put_back(self) -> None:
        """Give all generators the states of that moment."""
        first, *cuda = (torch.frombuffer(bytearray(state), dtype=torch.uint8) for state in self.parts[0])
        torch.set_rng_state(first)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        keys, *rest = self.parts[1]
        np.random.set_state(("MT19937", np.frombuffer(keys, np.uint32), *rest))
        random.setstate(self.parts[2])

    def go_on(self) -> None:
        """Put the states back, torch's one number further: dropout before a network's own seeding must not repeat."""
        self.put_back()
        torch.rand((), device="cpu")
        if _uses_cuda():
            torch.rand((), device="cuda")


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call, unused-ignore]


@contextlib.contextmanager
def seeded(seed: int | None, what: str) -> Iterator[None]:
    """Build with random numbers of this seed (torch, numpy, python; None: as they are); they, settings and warnings are put back."""
    filters, numbers = list(warnings.filters), GeneratorStates.now()
    try:
        with unchanged_process(what):
            if seed is not None:
                torch.manual_seed(seed)
                np.random.seed(seed % 2**32)
                random.seed(seed)
            yield
    finally:
        numbers.put_back()
        _set_filters(filters)


def _set_filters(filters: list[Any]) -> None:
    """Put warning filters back; a new list tells the interpreter, whose cache belongs to the old one."""
    if warnings.filters != filters:
        warnings.filters[:] = filters  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]
