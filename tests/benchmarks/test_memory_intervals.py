"""Intervals of memory in repeated measurements of one network: ``pytest tests/benchmarks/test_memory_intervals.py --benchmark-only -s``
(seven minutes).

The network with which every race is timed is measured a hundred times as a run does it: in six processes that are started anew, each with
its memory laid out by chance. The median of all readings stands for the truth; at least 93 of the 100 intervals must hold it. The hundred
are spread over several fork servers, as those of different runs would be.

Seen on two cores of a virtual machine that was busy otherwise: 100 of 100, of activations (16.9 MB; readings from 16.7 to 29.6 MB) and of
the whole process (541.4 MB). Single readings lay within 3 MB of the median in 82 %. Student's t over five processes would have held the
mean in 76 % (resampled from 190 such processes): one in five needs 2 to 13 MB more than all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.execution.workers import Workers
from segbench.measure.memory import CPU_PROCESSES, join_processes
from segbench.results.records import Memory

MEASUREMENTS, SERVERS = 100, 5
LEAST_HELD = 93

WORK = """
import torch
from segbench.execution.costs.memory_layout import randomised_layout
from segbench.execution.costs.reference_network import ReferenceNetwork
from segbench.measure.memory import measure_inference_memory

def memory(job, emit):
    blocks = randomised_layout()
    torch.set_num_threads(job["threads"])
    network = ReferenceNetwork().eval()
    image = torch.zeros(1, 3, job["size"], job["size"])

    def call():
        with torch.inference_mode():
            return network(image)

    return measure_inference_memory(call, device="cpu", weights_mb=0.12, held_mb=sum(block.nbytes for block in blocks) / 2**20)
"""


def _measurements(folder: Path) -> Iterator[Memory]:
    job = {"size": 512, "threads": 2}
    for _ in range(SERVERS):
        workers = Workers()
        for _ in range(MEASUREMENTS // SERVERS):
            outcomes = [
                workers.run("segbench_test_memory:memory", job, emit=lambda *_: None, log=folder / "log", timeout=300)
                for _ in range(CPU_PROCESSES)
            ]
            assert all(outcome.error is None for outcome in outcomes), outcomes
            yield join_processes([outcome.value for outcome in outcomes])


@pytest.fixture
def measurements(benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Memory]:
    """A hundred records of memory as a run keeps them."""
    (tmp_path / "segbench_test_memory.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    found: list[Memory] = benchmark.pedantic(lambda: list(_measurements(tmp_path)), rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    if found[0].inference_peak is None:
        pytest.skip(found[0].method or "")
    return found


def _held(truth: float, intervals: Sequence[tuple[float, float] | None]) -> int:
    return sum(interval is not None and interval[0] <= truth <= interval[1] for interval in intervals)


def test_intervals_of_repeated_measurements_hold_their_median(measurements: list[Memory]) -> None:
    for name, values, intervals in (
        ("activations", [m.activation_peaks for m in measurements], [m.activation_peak_ci95 for m in measurements]),
        ("process", [m.inference_peaks for m in measurements], [m.inference_peak_ci95 for m in measurements]),
    ):
        readings, halves = [value for each in values for value in each], _halves(intervals)
        truth, held = median(readings), _held(median(readings), intervals)
        within_3_mb = sum(abs(reading - truth) <= 3 for reading in readings) / len(readings)
        print(
            f"\n{name}: {held} of {len(intervals)} intervals hold the median of {truth:.1f} MB; {len(readings)} readings from "
            f"{min(readings):.1f} to {max(readings):.1f} MB; "
            f"half intervals {min(halves):.1f} to {max(halves):.1f} MB; single readings within 3 MB: {within_3_mb:.0%}"
        )
        assert held >= LEAST_HELD


def _halves(intervals: Sequence[tuple[float, float] | None]) -> list[float]:
    return [(interval[1] - interval[0]) / 2 for interval in intervals if interval is not None]
