"""Disturbances of a measurement of time, as far as the system shows them: other programs, a throttled or turbo clock, a shared GPU.

CPU times come from psutil, counters of throttling and quotas, which it does not show, from ``/sys`` (Linux), GPUs from ``nvidia-smi``;
what cannot be seen is left out, never taken for absent.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OTHER_LOAD = 0.05
"""Share of all cores that other programs may use before they count as a disturbance."""

LEAST_CPU_SECONDS = 1.0
"""CPU seconds of all cores together below which a share of them cannot be told: CPU times are counted in hundredths of a second."""

STOLEN = 0.01
IDLE_LOAD = 0.05

_SLOWED = {0x4: "power cap", 0x8: "hardware slowdown", 0x20: "heat", 0x40: "heat (hardware)", 0x80: "power brake"}


@dataclass(frozen=True)
class Disturbance:
    """Disturbances in sentences, and the figures behind them."""

    sentences: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reading:
    seconds: float
    busy: float | None
    stolen: float | None
    own: float
    throttled: int | None
    quota: int | None


@dataclass(frozen=True)
class CpuUse:
    """CPU seconds since a watch began: of all cores together, what programs and what the host took of them, and the measurement's own.

    None is what the system does not show.
    """

    capacity: float
    busy: float | None
    stolen: float | None
    own: float

    def share_of_others(self) -> float | None:
        """Share of the machine's CPU that other programs used or its host took away; None where that cannot be seen.

        >>> CpuUse(capacity=20, busy=12, stolen=1, own=11).share_of_others()
        0.1
        >>> CpuUse(capacity=20, busy=1, stolen=0, own=11).share_of_others()
        """
        if self.busy is None or self.capacity < LEAST_CPU_SECONDS or self.own > self.busy + OTHER_LOAD * self.capacity:
            return None  # a system that does not show what we used does not show what others used
        return max(0.0, self.busy - self.own + (self.stolen or 0.0)) / self.capacity


def other_gpu_processes(device: str, ask: Callable[[Sequence[str]], str] | None = None) -> int | None:
    """Processes beside this one that hold its GPU; None on another device, and where the driver does not show even this one."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return None
    listed = (ask or _ask)(["nvidia-smi", f"--id={index or 0}", "--format=csv,noheader,nounits", "--query-compute-apps=pid"])
    # a container may give them other numbers: this process is one of those that are listed
    holders = [line for line in listed.split() if line.isdigit()]
    return len(holders) - 1 if holders else None


class Watch:
    """Looks at the machine when made and again at :meth:`stop`; ``pids`` gives the processes whose CPU time is the measurement's own.

    ``root`` (of ``/sys``) and ``ask`` (a command's output) are there for tests.
    """

    def __init__(
        self,
        pids: Callable[[], Iterable[int]],
        *,
        device: str = "cpu",
        root: Path = Path("/"),
        ask: Callable[[Sequence[str]], str] | None = None,
    ) -> None:
        self._pids, self._device, self._root = pids, device, root
        self._ask = ask or _ask
        self._own: dict[int, float] = {}
        self._before = self._read()

    def look(self) -> None:
        """Take down what the processes have used so far; to be called before some of them end."""
        self._read()

    def used(self) -> CpuUse:
        """What was used of the CPU so far."""
        before, after = self._before, self._read()
        return CpuUse(
            capacity=(after.seconds - before.seconds) * self._cores(),
            busy=None if before.busy is None or after.busy is None else after.busy - before.busy,
            stolen=None if before.stolen is None or after.stolen is None else after.stolen - before.stolen,
            own=after.own - before.own,
        )

    def stop(self, *, idle: Mapping[str, float] = {}) -> Disturbance:
        """``idle``: CPU seconds per second that each contender used while it had nothing to do, by its name."""
        before, after = self._before, self._read()
        seconds, cores = max(after.seconds - before.seconds, 1e-9), self._cores()
        figures = {"seconds": round(seconds, 3)}
        sentences = []
        if before.busy is not None and after.busy is not None:
            other = max(0.0, (after.busy - before.busy) - (after.own - before.own)) / seconds
            figures["other_load_cores"] = round(other, 3)
            if other > OTHER_LOAD * cores:
                sentences.append(f"Other programs used {other:.1f} of {cores} cores while the models were timed.")
        if before.stolen is not None and after.stolen is not None:
            stolen = (after.stolen - before.stolen) / seconds / cores
            figures["stolen_share"] = round(stolen, 4)
            if stolen > STOLEN:
                sentences.append(f"The host of this virtual machine took away {stolen:.0%} of its CPU time.")
        for name, text in (
            ("throttled", "The CPU was throttled for heat or power {} times."),
            ("quota", "The container's CPU quota stopped the race {} times."),
        ):
            then, now = getattr(before, name), getattr(after, name)
            if then is not None and now is not None:
                figures[f"{name}_events"] = now - then
                sentences += [text.format(now - then)] if now > then else []
        sentences += [
            f"{name} kept {share:.0%} of a core busy while it waited for its turn: idle threads of its runtime spin."
            for name, share in idle.items()
            if share > IDLE_LOAD
        ]
        return Disturbance((*sentences, *self._clock(), *self._gpu()), figures)

    def _read(self) -> _Reading:
        busy, stolen = self._cpu_seconds()
        # a process that has ended keeps what it was last seen to have used
        self._own |= {pid: used for pid in {os.getpid(), *self._pids()} if (used := self._used(pid)) is not None}
        return _Reading(time.monotonic(), busy, stolen, sum(self._own.values()), self._throttle_events(), self._quota_events())

    def _cpu_seconds(self) -> tuple[float | None, float | None]:
        import psutil

        try:
            times = psutil.cpu_times()
        except OSError:  # a sandbox without /proc
            return None, None
        return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq")), getattr(times, "steal", None)

    def _used(self, pid: int) -> float | None:
        import psutil

        try:
            times = psutil.Process(pid).cpu_times()
        except (psutil.Error, OSError):
            return None
        return times.user + times.system

    def _throttle_events(self) -> int | None:
        files = list((self._root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_throttle_count"))
        return sum(int(file.read_text()) for file in files) if files else None

    def _quota_events(self) -> int | None:
        events = re.search(r"^nr_throttled (\d+)", self._text("sys/fs/cgroup/cpu.stat"), flags=re.MULTILINE)
        return int(events[1]) if events else None

    def _clock(self) -> Iterable[str]:
        cpu = "sys/devices/system/cpu"
        if self._text(f"{cpu}/intel_pstate/no_turbo").strip() == "0" or self._text(f"{cpu}/cpufreq/boost").strip() == "1":
            yield "Turbo is on: the CPU's clock depends on its heat and on how many cores work."
        governor = self._text(f"{cpu}/cpu0/cpufreq/scaling_governor").strip()
        if governor and governor != "performance":
            yield f"The CPU's clock is not fixed (governor '{governor}')."

    def _gpu(self) -> Iterable[str]:
        kind, _, index = self._device.partition(":")
        if kind != "cuda":
            return
        base = ["nvidia-smi", f"--id={index or 0}", "--format=csv,noheader,nounits"]
        holders = [int(line) for line in self._ask([*base, "--query-compute-apps=pid"]).split() if line.isdigit()]
        strangers = [pid for pid in holders if pid not in self._own]
        # behind a container's walls a process has another number: then only their count can tell
        if len(holders) > len(self._own) or (strangers and len(strangers) < len(holders)):
            yield f"The GPU was not exclusive: {len(holders)} processes held it."
        reasons = self._ask([*base, "--query-gpu=clocks_throttle_reasons.active"]).strip()
        if reasons.startswith("0x"):
            slowed = [text for bit, text in _SLOWED.items() if int(reasons, 16) & bit]
            if slowed:
                yield f"The GPU's clock was lowered: {', '.join(slowed)}."

    def _cores(self) -> int:
        return os.cpu_count() or 1

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _ask(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
