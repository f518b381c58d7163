"""The machine and the packages of a run, fit to be published: no host name, user or path is in it. Needs no torch."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from segbench.results.records import Environment, PluginInfo
from segbench.util.packages import installed_version
from segbench.util.redact import without_folders

PACKAGES = ("torch", "torchvision", "timm", "fvcore", "lightning-fabric", "numpy", "pillow", "segbench")
BUSY = 0.5
"""Share of the cores that other programs may use before a note warns of it."""


class PluginLike(Protocol):
    """The fields that are published of a :class:`segbench.plugin.chosen.Plugin`."""

    @property
    def name(self) -> str: ...
    @property
    def package(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def error(self) -> str | None: ...


def describe_environment(*, catalog_plugins: Iterable[PluginLike] = (), threads: int | None = None) -> Environment:
    """Describe this machine and what is installed. Call it before work starts: ``load_average`` is meant to be that of others.

    ``threads`` is what torch was told to use.
    """
    packages = _packages()
    cores = _usable_cores()
    gpus, driver = _nvidia()
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return Environment(
        segbench=packages.get("segbench"),
        python=platform.python_version(),
        platform=_platform(),
        cpu=_cpu_name(),
        cpu_cores=cores,
        threads=threads,
        memory_gb=_memory_gb(),
        gpu=gpus,
        cuda=_cuda_of_torch(),
        driver=driver,
        packages=packages,
        plugins=[_plugin(plugin) for plugin in catalog_plugins],
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        load_average=load,
        notes=_notes(load, cores),
    )


def _platform() -> str:
    """System, kernel version as numbers (what follows them may name a provider or an owner), and architecture."""
    release = re.match(r"[\d.]*\d", platform.release())
    return " ".join(part for part in (platform.system(), release[0] if release else "", platform.machine()) if part)


def _packages() -> dict[str, str]:
    versions = {name: installed_version(name) for name in PACKAGES}
    return {name: version for name, version in versions.items() if version is not None}


def _plugin(plugin: PluginLike) -> PluginInfo:
    error = without_folders(plugin.error) if plugin.error else plugin.error
    return PluginInfo(name=plugin.name, version=plugin.version or None, origin=plugin.package or None, error=error)


def _usable_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_name() -> str | None:
    """The name that Linux gives at once (not on ARM), else that of py-cpuinfo, which asks several programs."""
    name = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), flags=re.MULTILINE)
    return name[1].strip() if name else _cpu_name_by_programs()


@functools.cache
def _cpu_name_by_programs() -> str | None:
    import cpuinfo

    try:
        name = cpuinfo.get_cpu_info().get("brand_raw")
    except Exception:  # it raises a bare Exception for an architecture that it does not know
        name = None
    return name or platform.processor() or None


def _memory_gb() -> float | None:
    import psutil

    try:
        return round(psutil.virtual_memory().total / 2**30, 1)
    except OSError:  # a sandbox without /proc
        return None


def _nvidia() -> tuple[list[str], str | None]:
    """Names of the GPUs and the driver's version, from the driver's own tool: asking torch would start CUDA in this process."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [], None
    rows = [[part.strip() for part in line.rsplit(",", 1)] for line in answer.splitlines() if "," in line]
    return [row[0] for row in rows], rows[0][1] if rows else None


def _cuda_of_torch() -> str | None:
    """The CUDA version that torch was built for, read from its ``version.py``: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    text = _read(str(Path(spec.origin).with_name("version.py")))
    version = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", text, flags=re.MULTILINE)
    return version[1] if version else None


def _notes(load: list[float] | None, cores: int | None) -> list[str]:
    notes = []
    if load and cores and load[0] > BUSY * cores:
        notes.append(f"other load when the run started: {load[0]:.1f} runnable tasks on {cores} cores")
    # psutil shows neither the governor nor a container's quota
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    if governor and governor != "performance":
        notes.append(f"the CPU's clock is not fixed (governor '{governor}')")
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and cores and int(quota[0]) < cores * int(quota[1]):
        notes.append(f"the container may use {int(quota[0]) / int(quota[1]):.1f} of {cores} cores")
    return notes


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
