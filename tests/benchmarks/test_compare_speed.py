"""What comparing large runs costs: run with ``pytest tests/benchmarks --benchmark-enable --benchmark-only``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.results.records import CellResult, Deployment, Latency, Memory, Quality, RunResult
from segbench.results.store import RunStore

MODELS, LOSSES, IMAGES, CLASSES = 20, 10, 100, 12


def _cell(folder: Path, model: int, loss: int, share: float) -> CellResult:
    random = np.random.default_rng(1000 * model + loss)
    pixels = np.random.default_rng(1).integers(50, 400, size=(IMAGES, CLASSES))
    matrices = np.zeros((IMAGES, CLASSES, CLASSES), dtype=np.int64)
    for k in range(CLASSES):
        hit = random.binomial(pixels[:, k], share)
        matrices[:, k, k], matrices[:, k, (k + 1) % CLASSES] = hit, pixels[:, k] - hit
    identity = f"model-{model}--loss-{loss}"
    np.savez_compressed(folder / "confusions" / f"{identity}.npz", ids=[f"image-{n}" for n in range(IMAGES)], matrices=matrices)
    rounds = [list(random.normal(10, 0.1, 10)) for _ in range(10)]
    samples = [x for block in rounds for x in block]
    latency = [
        Latency(batch_size=n, input_size=(64, 64), device="cpu", threads=1, p50_ms=10.0, rounds_ms=rounds, samples_ms=samples)
        for n in (1, 8)
    ]
    machine = {"cpu": "a", "torch": "2", "device": "cpu"}
    memory = Memory(weights=3, activation_peak=200)
    return CellResult(
        id=identity,
        model=f"model-{model}",
        loss=f"loss-{loss}",
        recipe="camvid",
        seed=0,
        status="ok",
        params=1000,
        macs=10**9,
        size_mb=3.0,
        fingerprints={"measure": f"model-{model}"},
        resolved={"train": {"lr": 1e-3}, "eval": {"resize": "warp"}},
        quality=Quality(
            split="test",
            images=IMAGES,
            miou=share / (2 - share),
            headline_class="class-3",
            headline_iou=share / (2 - share),
            class_names=[f"class-{k}" for k in range(CLASSES)],
            label_pixels_per_class=[int(x) for x in pixels.sum(axis=0)],
        ),
        deployments=[Deployment(backend="eager", raced=str(share), machine=machine, memory_mb=memory, latency=latency)],
    )


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of 200 cells, scored on 100 images of 12 classes, and raced."""
    for name, share in (("old", 0.70), ("new", 0.69)):
        (tmp_path / name / "confusions").mkdir(parents=True)
        cells = [_cell(tmp_path / name, model, loss, share) for model in range(MODELS) for loss in range(LOSSES)]
        RunStore(tmp_path / name).write_run(RunResult(cells=cells))
    return tmp_path / "old", tmp_path / "new"


def test_two_runs_of_200_cells_are_compared_in_two_seconds(benchmark: BenchmarkFixture, runs: tuple[Path, Path]) -> None:
    """From the start of the process to its end."""
    command = [sys.executable, "-m", "segbench", "compare", *map(str, runs), "--format", "markdown"]

    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started

    taken = [seconds() for _ in range(5)]
    benchmark.pedantic(seconds, rounds=1)  # type: ignore[no-untyped-call]
    print(f"\n{min(taken):.2f} s at best, {sorted(taken)[2]:.2f} s in the median of five")
    assert min(taken) < 2
