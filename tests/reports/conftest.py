"""Small results to render, with made-up numbers, so that a golden file can be checked by eye."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.reports.made_comparisons import with_comparisons

from segbench import CellResult, ReportTarget, RunResult

GOLDEN = Path(__file__).parent / "golden"

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def _history(epochs: int, top: float) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "train_loss": 2.0 / e, "val_loss": 2.2 / e, "val_miou": top * e / epochs, "learning_rate": 0.001}
        for e in range(1, epochs + 1)
    ]


def _latency(batch: int, milliseconds: float) -> dict[str, Any]:
    return {
        "batch_size": batch,
        "input_size": [48, 64],
        "device": "cpu",
        "threads": 2,
        "p50_ms": milliseconds,
        "ci95_ms": [milliseconds * 0.98, milliseconds * 1.02],
        "images_per_second": 1000 * batch / milliseconds,
    }


@pytest.fixture
def make_cell() -> CellMaker:
    """A finished cell; every figure follows from ``miou``, ``millions`` and ``milliseconds``."""

    def make(
        model: str = "big",
        loss: str = "ce",
        seed: int = 0,
        *,
        miou: float = 0.5,
        millions: float = 4.0,
        milliseconds: float = 20.0,
        **changes: Any,
    ) -> CellResult:
        values: dict[str, Any] = {
            "id": f"{model}-{loss}-{seed}",
            "model": model,
            "loss": loss,
            "dataset": "squares",
            "recipe": "smoke",
            "seed": seed,
            "status": "ok",
            "params": int(millions * 1e6),
            "params_trained": int(millions * 1e6),
            "size_mb": millions * 4e6 / 2**20,
            "macs": int(millions * 5e8),
            "flops": int(millions * 1e9),
            "fvcore_flops": int(millions * 5.1e8),
            "input_shape": [[1, 3, 48, 64]],
            "resolved": {
                "model_options": {},
                "train": {
                    "epochs": 4, "batch_size": 8, "image_size": "48x64", "lr": 1e-3, "schedule": "onecycle", "augmentation": "standard",
                    "split": "train", "select_on": "val", "accumulate": 1, "patience": None,
                },
                "eval": {"image_size": None, "resize": "keep-aspect", "tile": None},
            },
            "training": {
                "epochs_run": 4, "best_epoch": 4, "best_score": miou, "select_on": "val", "seconds": 80.0, "images_per_second": 30.0,
                "precision": "bf16", "device": "cpu", "history": _history(4, miou),
                "diagnosis": [{"kind": "healthy", "message": "the loss still falls"}],
            },
            "quality": {
                "split": "test", "images": 20, "miou": miou, "miou_micro": miou + 0.1, "pixel_accuracy": 0.9,
                "class_names": ["ground", "square", "rare"], "iou_per_class": [miou + 0.1, miou - 0.1, None],
                "label_pixels_per_class": [900, 100, 0],
            },
            "deployments": [
                {
                    "backend": "eager", "memory_mb": {"inference_peak": 50 * millions},
                    "latency": [_latency(1, milliseconds), _latency(8, 6 * milliseconds)],
                }
            ],
        }  # fmt: skip
        return CellResult.model_validate(values | changes)

    return make


@pytest.fixture
def make_run() -> RunMaker:
    """A run of the given cells on a made-up machine."""

    def make(cells: Sequence[CellResult], **changes: Any) -> RunResult:
        values: dict[str, Any] = {
            "command": "segbench run --models big,small --dataset squares",
            "config": {"dataset": "squares"},
            "environment": {"segbench": "0.1.0", "cpu": "Fixture CPU", "cpu_cores": 2, "packages": {"torch": "2.0"}},
            "task": {"class_names": ["ground", "square", "rare"], "inputs": {"image": 3}},
            "cells": [cell.model_dump() for cell in cells],
        }
        return RunResult.model_validate(values | changes)

    return make


@pytest.fixture
def comparison(make_cell: CellMaker, make_run: RunMaker) -> RunResult:
    """Two models under two losses, one cell failed, claims of every verdict, a warning."""
    out_of_memory: dict[str, Any] = {
        "status": "failed", "training": None, "quality": None, "deployments": [],
        "params": None, "params_trained": None, "size_mb": None, "macs": None, "flops": None, "fvcore_flops": None, "input_shape": None,
        "error": {"stage": "train", "kind": "out-of-memory", "message": "2.1 GB were asked for", "advice": "Set train.batch_size=4."},
    }  # fmt: skip
    cells = [
        make_cell(miou=0.5),
        make_cell(loss="focal", miou=0.52),
        make_cell("small", miou=0.48, millions=1.0, milliseconds=10.0),
        make_cell("small", "focal", **out_of_memory),
    ]
    claims = [
        {
            "claim": "a",
            "summary": "Quarter of the parameters",
            "claimed": "0.25x",
            "measured": "0.25x",
            "verdict": "kept",
            "source": "p. 1",
        },
        {"claim": "b", "summary": "Three times as fast", "claimed": "3x", "measured": "2x", "verdict": "broken", "source": "p. 2"},
        {
            "claim": "c",
            "summary": "58 % on VOC",
            "claimed": "58 %",
            "verdict": "not tested here",
            "missing": "dataset voc2012",
            "source": "p. 3",
        },
    ]
    return with_comparisons(make_run(cells, claims=claims, warnings=["a plugin was skipped"]))


@pytest.fixture
def target(tmp_path: Path) -> ReportTarget:
    return ReportTarget(tmp_path, run_directory=tmp_path, width=100)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file whole. ``SEGBENCH_UPDATE_GOLDEN=1`` writes the files; read the difference before committing it."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("SEGBENCH_UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of a file; skipped where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install 'segbench[dev]'")
    binary = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is installed (Debian: chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    started.set_page_load_timeout(120)
    started.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    yield started
    started.quit()


def _axe() -> Path | None:
    """The path of axe-core: ``SEGBENCH_AXE``, else below a ``node_modules`` of the working directory or npm's global folder."""
    places = [os.environ.get("SEGBENCH_AXE"), "node_modules/axe-core/axe.min.js", "/usr/local/lib/node_modules/axe-core/axe.min.js"]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


@pytest.fixture
def barriers() -> Callable[[Any], list[tuple[str, ...]]]:
    """The moderate, serious and critical findings of axe-core on the page that a browser shows; skipped where it is not installed."""
    axe = _axe()
    if axe is None:
        pytest.skip("axe-core is not installed: npm install axe-core, or SEGBENCH_AXE=path/to/axe.min.js")
    script = axe.read_text(encoding="utf-8")

    def found(browser: Any) -> list[tuple[str, ...]]:
        browser.execute_script(script)
        violations = browser.execute_async_script("const done = arguments[0]; axe.run().then((result) => done(result.violations))")
        told = [(v["id"], v["impact"], v["nodes"][0]["html"][:160], v["nodes"][0]["failureSummary"]) for v in violations]
        return [entry for entry in told if entry[1] in ("serious", "critical", "moderate")]

    return found
