"""Two runs to hold against each other: made up, with matrices whose scores follow from how many pixels were hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench.analysis.regressions.compare import Run
from segbench.results.records import RunResult

CLASSES = ("ground", "crack")
PIXELS = 1000
MACHINE = {"cpu": "a processor", "torch": "2.15.0", "device": "cpu"}

MakeRun = Callable[..., Run]


def matrices(shares: Sequence[float], *, classes: int = 2) -> Any:
    """One image per share: so many of each class's pixels were hit, the others taken for the next class."""
    found = np.zeros((len(shares), classes, classes), dtype=np.int64)
    for image, share in enumerate(shares):
        hit = round(PIXELS * share)
        for k in range(classes):
            found[image, k, k] = hit
            found[image, k, (k + 1) % classes] = PIXELS - hit
    return found


def miou(counts: Any) -> float:
    total = counts.sum(axis=0)
    hits = np.diag(total)
    return float((hits / (total.sum(axis=0) + total.sum(axis=1) - hits)).mean())


def rounds(milliseconds: float, seed: int, *, count: int = 20, noise: float = 0.01) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [[float(x) for x in milliseconds * np.exp(random.normal(0, noise, 5))] for _ in range(count)]


def timing(milliseconds: float, seed: int, **changes: Any) -> dict[str, Any]:
    """Single calls of about so long."""
    return {
        "batch_size": 1,
        "input_size": [64, 64],
        "device": "cpu",
        "threads": 1,
        "p50_ms": milliseconds,
        "rounds_ms": rounds(milliseconds, seed),
    } | changes


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A run in a folder of its own; ``cells`` are dictionaries of what differs from a plain good cell."""

    def make(name: str = "old", cells: Sequence[dict[str, Any]] = ({},), *, anchor: float | None = 5.0, **changes: Any) -> Run:
        directory = tmp_path / name
        (directory / "confusions").mkdir(parents=True)
        rows = [_cell(directory, name, n, dict(given)) for n, given in enumerate(cells)]
        entry = {"raced": name, **timing(anchor, 7)} if anchor else None
        race = {"anchor": {"name": "anchor-1", "error": None, "latency": [entry]}} if entry else {}
        result = RunResult.model_validate({"cells": rows, "task": {"dataset": "squares"}, "race": race} | changes)
        (directory / "run.json").write_text(result.model_dump_json())
        return Run(name, result, directory)

    return make


def _cell(directory: Path, run: str, number: int, given: dict[str, Any]) -> dict[str, Any]:
    model, loss, seed = given.pop("model", "unet"), given.pop("loss", "ce"), given.pop("seed", 0)
    identity = f"{model}--{loss}--s{seed}"
    shares = given.pop("shares", [0.8 + 0.001 * (i % 7) for i in range(30)])
    values: dict[str, Any] = {
        "id": identity,
        "model": model,
        "loss": loss,
        "recipe": "smoke",
        "dataset": "squares",
        "seed": seed,
        "status": "ok",
        "params": 1000,
        "macs": 500_000_000,
        "size_mb": 4.0,
        "input_shape": [[1, 3, 64, 64]],
        "fingerprints": {"measure": model},
        "machine": MACHINE,
        "resolved": {"train": {"epochs": 5, "lr": 1e-3}, "eval": {"resize": "keep-aspect"}, "device": "cpu"},
        "deployments": [
            {
                "backend": "eager",
                "raced": run,
                "machine": MACHINE,
                "memory_mb": {"weights": 10.0, "activation_peak": 90.0, "batch_size": 1, "input_size": [64, 64], "method": "process"},
                "latency": [timing(given.pop("milliseconds", 10.0), number + 100)],
            }
        ],
    }
    if shares:
        counts = matrices(shares)
        ids = given.pop("ids", [f"image-{n}" for n in range(len(shares))])
        if given.pop("kept", True):
            np.savez_compressed(directory / "confusions" / f"{identity}.npz", ids=np.asarray(ids), matrices=counts)
        values["quality"] = {
            "split": "test",
            "images": len(shares),
            "miou": miou(counts),
            "headline_class": "crack",
            "headline_iou": miou(counts),
            "class_names": CLASSES,
            "iou_per_class": [miou(counts)] * 2,
            "label_pixels_per_class": [PIXELS * len(shares)] * 2,
        }
    return values | given
