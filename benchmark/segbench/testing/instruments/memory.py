"""The memory meter against a tensor of known size, in a process of its own, and after a parent that used far more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segbench.analysis.statistics.memory import MEMORY_RESOLUTION_MB
from segbench.measure import memory
from segbench.testing.check import CheckResult, judged, skipped
from segbench.util.files import MB

TENSOR_MB = 200
PARENT_MB = 1536
_SOURCE = "the tensor's own size"


def check() -> Iterator[CheckResult]:
    """A row for a fresh process, one for the child of a parent that used 1.5 GB, one for CUDA."""
    yield _fresh("a fresh process", [TENSOR_MB])
    child = f"a child of a process with {PARENT_MB / 1024:.1f} GB"
    free = _available_mb()
    if free is not None and free < PARENT_MB + 1024:
        yield skipped(child, f"only {free / 1024:.1f} GB of memory are free")
    else:
        yield _fresh(child, [TENSOR_MB, PARENT_MB])
    yield _cuda() if torch.cuda.is_available() else skipped(f"{TENSOR_MB} MB tensor on CUDA", "no usable CUDA device")


def _fresh(where: str, sizes: list[int]) -> CheckResult:
    """The memory meter's reading in a new process; its peak must not include the parent's memory."""
    subject = f"{TENSOR_MB} MB tensor in {where}"
    command = [sys.executable, "-m", "segbench.testing.instruments.memory_probe", *map(str, sizes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["the process gave no reason"])[-1])
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    increase, peak = report["increase"], report["peak"]
    if increase is None or peak is None:
        return skipped(subject, str(report["method"]))
    right = abs(increase - TENSOR_MB) <= MEMORY_RESOLUTION_MB
    own = peak < PARENT_MB
    return judged(
        right and own,
        subject=subject,
        expected=f"{TENSOR_MB} +- {MEMORY_RESOLUTION_MB:g} MB, peak < {PARENT_MB}",
        measured=f"{increase:.1f} MB, peak {peak:.0f}",
        message=f"the increase is off by {increase - TENSOR_MB:+.1f} MB" if own else "the peak holds the parent's memory",
        source=_SOURCE,
    )


def _cuda() -> CheckResult:
    with memory.PeakMemory("cuda") as meter:
        tensor = torch.ones(TENSOR_MB * MB // 4, device="cuda")
        del tensor
    increase = meter.increase_mb
    return judged(
        increase is not None and abs(increase - TENSOR_MB) <= MEMORY_RESOLUTION_MB,
        subject=f"{TENSOR_MB} MB tensor on CUDA",
        expected=f"{TENSOR_MB} +- {MEMORY_RESOLUTION_MB:g} MB",
        measured="none" if increase is None else f"{increase:.1f} MB",
        source=_SOURCE,
    )


def _available_mb() -> float | None:
    """Free memory in MB where the system says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kilobytes is None else int(kilobytes) / 1024
