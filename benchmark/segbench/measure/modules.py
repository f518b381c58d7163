"""Costs of each module of a network by itself: parameters, multiply-adds and measured time.

Time is *own* time: what passes inside a module but not inside one of its children, so that all of it adds up to the whole; what a network
does between modules (additions, concatenations, resizing) is own time of the module whose ``forward`` does it. Ticks are taken where
each module begins and ends: of the host clock on a CPU, events in the device's queue on CUDA. On a CPU the time that a tick itself costs is
measured on empty modules and subtracted; on CUDA ticks run beside the device's work and nothing is subtracted.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segbench.measure.macs import trace_macs
from segbench.measure.meta_device import evaluating
from segbench.measure.params import part_of
from segbench.results.records import ModuleCost, ModuleCosts

LEAST_REPEATS, MOST_REPEATS = 7, 50
SECONDS = 1.0

UNEXPLAINED = "memory-bound or unfused"
LEAST_SHARE, TIMES_MACS = 0.02, 3.0
"""A module is marked from this share of the time on, where that is so many times its share of the multiply-adds."""

RULE = (
    f"marked {UNEXPLAINED}: at least {LEAST_SHARE:.0%} of the time, and at least {TIMES_MACS:g} times as large a share of the time "
    "as of the multiply-adds"
)

Tick = Callable[[], Any]


@dataclass(frozen=True)
class _Mark:
    """The moment at which a module was entered or left, and the name of the module that computes from then on."""

    tick: Any
    owner: str


def measure_modules(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    parts: Mapping[str, tuple[str, ...]] | None = None,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> ModuleCosts:
    """Costs of every module that has parameters, multiply-adds or time of its own, the slowest first.

    ``network`` is called on ``inputs`` (tensors (N, C, H, W)) in eval mode, in turns with and without ticks, for about ``seconds`` and at
    least seven times each; times are medians. ``parts`` maps a part's name to prefixes of module names.
    """
    device = inputs[0].device
    macs = _own_macs(network, inputs)
    with evaluating(network), torch.inference_mode():
        network(*inputs)
        plain, own, ticks = _time_modules(network, inputs, device, seconds, clock)
        per_tick = _measure_tick_ms(clock) if device.type != "cuda" else 0.0
    total = statistics.median(plain)
    rows = [
        ModuleCost(
            name=name,
            kind=type(module).__name__,
            part=part_of(name, parts) if parts else None,
            params=sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters(recurse=False)),
            macs=macs.get(name, 0) if macs is not None else None,
            ms=max(0.0, statistics.median(own[name]) - per_tick * ticks[name]) if name in own else 0.0,
        )
        for name, module in network.named_modules()
    ]
    rows = _mark_unexplained([row for row in rows if row.params or row.macs or row.ms or (macs and row.macs is None)])
    return ModuleCosts(
        input_shape=[list(tensor.shape) for tensor in inputs],
        device=str(device),
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        total_ms=total,
        repeats=len(plain),
        tick_overhead=per_tick * sum(ticks.values()) / total if device.type != "cuda" and total > 0 else None,
        rule=RULE,
        modules=sorted(rows, key=lambda row: -(row.ms or 0.0)),
    )


def _time_modules(
    network: nn.Module, inputs: tuple[Tensor, ...], device: torch.device, seconds: float, clock: Callable[[], float]
) -> tuple[list[float], dict[str, list[float]], dict[str, int]]:
    """Milliseconds of whole calls without ticks, own milliseconds of each module in each call with them, and its ticks per call."""
    plain: list[float] = []
    own: dict[str, list[float]] = {}
    ticks: dict[str, int] = {}
    tick, between = _device_clock(device, clock)
    begun = clock()
    while len(plain) < LEAST_REPEATS or (len(plain) < MOST_REPEATS and clock() - begun < seconds):
        first, last = tick(), (network(*inputs), tick())[1]
        plain.append(between(first, last))
        marks: list[_Mark] = []
        with _watch_modules(network, lambda owner, marks=marks: marks.append(_Mark(tick(), owner))):  # type: ignore[misc]
            network(*inputs)
        ticks = dict.fromkeys(ticks, 0)
        spent: dict[str, float] = {}
        for mark, following in itertools.pairwise(marks):
            spent[mark.owner] = spent.get(mark.owner, 0.0) + between(mark.tick, following.tick)
            ticks[mark.owner] = ticks.get(mark.owner, 0) + 1
        for name, milliseconds in spent.items():
            own.setdefault(name, []).append(milliseconds)
    return plain, own, ticks


def _measure_tick_ms(clock: Callable[[], float]) -> float:
    """Milliseconds that one tick costs on the host: the least difference that ticks make to a chain of empty modules."""
    empty, nothing = nn.Sequential(*(nn.Identity() for _ in range(50))), torch.zeros(1)
    plain, ticked, count = [], [], 1
    for _ in range(30):
        begun = clock()
        empty(nothing)
        plain.append(clock() - begun)
        marks: list[float] = []
        with _watch_modules(empty, lambda owner, marks=marks: marks.append(clock())):  # type: ignore[misc]
            empty(nothing)
        ticked.append(marks[-1] - marks[0])
        count = len(marks)
    return 1000 * max(0.0, min(ticked) - min(plain)) / count


def _device_clock(device: torch.device, clock: Callable[[], float]) -> tuple[Tick, Callable[[Any, Any], float]]:
    """A function that marks a moment on this device, and one that gives the milliseconds between two marks."""
    if device.type != "cuda":
        return clock, lambda first, last: 1000 * (last - first)

    def event() -> Any:
        mark: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        mark.record()
        return mark

    def between(first: Any, last: Any) -> float:
        last.synchronize()
        return float(first.elapsed_time(last))

    return event, between


@contextlib.contextmanager
def _watch_modules(network: nn.Module, mark: Callable[[str], None]) -> Iterator[None]:
    """Call ``mark`` with the name of the module that computes from now on, whenever that changes; "" before and after the whole."""
    inside: list[str] = []
    handles = []

    def enter(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            inside.append(name)
            mark(name)

        return hook

    def leave(*_: Any) -> None:
        inside.pop()
        mark(inside[-1] if inside else "")

    try:
        for name, module in network.named_modules():
            handles += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
        yield
    finally:
        for handle in handles:
            handle.remove()


def _own_macs(network: nn.Module, inputs: tuple[Tensor, ...]) -> Mapping[str, int | None] | None:
    """Multiply-adds of each module by itself; None where the pass cannot be watched."""
    try:
        return trace_macs(network, inputs).per_module or None
    except Exception:  # foreign code may raise anything; its time can still be measured
        return None


def _mark_unexplained(rows: list[ModuleCost]) -> list[ModuleCost]:
    """The same rows, those marked whose time their multiply-adds do not explain."""
    time_total = sum(row.ms or 0.0 for row in rows)
    macs_total = sum(row.macs or 0 for row in rows)
    if time_total <= 0 or macs_total <= 0:
        return rows
    return [
        row if row.macs is None else row.model_copy(update={"mark": _mark_of((row.ms or 0.0) / time_total, row.macs / macs_total)})
        for row in rows
    ]


def _mark_of(time_share: float, macs_share: float) -> str | None:
    return UNEXPLAINED if time_share >= LEAST_SHARE and time_share >= TIMES_MACS * macs_share else None
