"""Runs with all contents of a page: pictures, matrices, comparisons, sweeps, hostile names."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segbench import CellResult, ReportTarget, RunResult

pytest.importorskip("jinja2")
pytest.importorskip("altair")
pytest.importorskip("vl_convert")

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)" x=\'',
    "a\u202ereversed\u2066",
    "line\u2028separators\u2029and\nbreaks",
    "n" * 10_000,
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "<!-- <b>&amp;&lt;",
    "https://example.org/x.png",
    "__proto__",
]


class Page(HTMLParser):
    """A page as a browser's parser sees it: tags with attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"
        if tag == "script":
            self._open = dict(attrs)
            self.scripts.append((self._open, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._open = None
        if tag == "style":
            self._style = False

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)
        elif not self._style:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def hostile_names() -> list[str]:
    return HOSTILE


def _panel(file: Path, shade: int) -> None:
    """Four tiles of 48x32 with captions, as a run writes them: input, label, prediction, errors."""
    tile, gap, caption = (48, 32), 4, 16
    canvas = Image.new("RGB", (4 * tile[0] + 3 * gap, tile[1] + caption), "white")
    for place, colour in enumerate([(10, 120, 200), (20, 20, 20), (shade, 60, 60), (220, 50, 47)]):
        canvas.paste(colour, (place * (tile[0] + gap), caption, place * (tile[0] + gap) + tile[0], caption + tile[1]))
    file.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(file)


@pytest.fixture
def draw_panel() -> Callable[[Path, int], None]:
    return _panel


def _matrices(right: list[float]) -> Any:
    """One 3x3 matrix per image; ``right`` is the share of right pixels of two classes."""
    matrices = np.zeros((len(right), 3, 3), np.int64)
    for place, share in enumerate(right):
        hit = round(100 * share)
        matrices[place, 0] = [hit, 100 - hit, 0]
        matrices[place, 1] = [100 - hit, hit, 0]
    return matrices


def _detail(cell: dict[str, Any], directory: Path, right: list[float], shade: int) -> dict[str, Any]:
    ids = [f"scene {n}" for n in range(len(right))]
    (directory / "confusions").mkdir(exist_ok=True)
    np.savez_compressed(directory / "confusions" / f"{shade}.npz", ids=np.asarray(ids), matrices=_matrices(right))
    pictures = []
    for place in range(len(right)):
        from segbench import slug

        name = f"predictions/{shade}/{slug(ids[place])}.png"
        _panel(directory / name, shade)
        pictures.append(name)
    cell["artifacts"] = {"confusions": f"confusions/{shade}.npz", "predictions": pictures}
    cell["params_per_part"] = {"encoder": 3_000_000, "head": 1_000_000}
    cell["modules"] = {"total_ms": 20.0, "modules": [{"name": "a.b", "kind": "Conv2d", "part": "encoder", "macs": 10**9, "ms": 9.0}]}
    cell["macs_at_sizes"] = {"48x64": 10**9, "96x128": 4 * 10**9}
    cell["quality"] |= {
        "miou_ci95": [cell["quality"]["miou"] - 0.02, cell["quality"]["miou"] + 0.02],
        "ece": 0.05,
        "reliability": [{"count": 50, "confidence": 0.5, "accuracy": 0.4}, {"count": 150, "confidence": 0.9, "accuracy": 0.85}],
    }
    entry = cell["deployments"][0]["latency"][0]
    entry["samples_ms"] = [entry["p50_ms"] * (1 + 0.01 * (n % 7)) for n in range(60)]
    larger = {**entry, "input_size": [96, 128], "p50_ms": 4 * entry["p50_ms"], "ci95_ms": None, "samples_ms": []}
    cell["deployments"][0]["latency"].insert(1, larger)
    return cell


@pytest.fixture
def rich(make_cell: CellMaker, make_run: RunMaker, tmp_path: Path) -> RunResult:
    """Three variants with pictures, matrices, sweeps and measured comparisons; the files lie in ``tmp_path``."""
    parts = [
        (make_cell(miou=0.5), [0.9, 0.6, 0.3], 80),
        (make_cell(loss="focal", miou=0.52), [0.8, 0.7, 0.4], 120),
        (make_cell("small", miou=0.48, millions=1.0, milliseconds=10.0), [0.85, 0.1, 0.35], 160),
    ]
    cells = [CellResult.model_validate(_detail(cell.model_dump(), tmp_path, right, shade)) for cell, right, shade in parts]
    comparison = {
        "quantity": "miou", "subject": "small", "baseline": "big", "subject_cells": [cells[2].id], "baseline_cells": [cells[0].id],
        "value": -0.02, "low": -0.035, "high": -0.005, "verdict": "worse", "scope": "these two checkpoints", "method": "bootstrap", "n": 20,
    }  # fmt: skip
    task = {"class_names": ["ground", "square", "rare"], "inputs": {"image": 3}, "palette": [[20, 20, 20], [200, 60, 60], [0, 0, 250]]}
    return make_run(cells, comparisons=[comparison], task=task)


@pytest.fixture
def hostile(make_cell: CellMaker, make_run: RunMaker, hostile_names: list[str]) -> RunResult:
    """A run in which every text that users or plugins choose is one of the hostile names."""
    cells = []
    for place, name in enumerate(hostile_names):
        cell = make_cell(name, loss=name, id=str(place), miou=0.3 + place / 50).model_dump()
        cell["quality"]["class_names"] = [name, name, name]
        cell["notes"], cell["settings"] = [name], {name: name}
        cell["training"]["diagnosis"] = [{"kind": name, "message": name, "remedy": name, "source": name}]
        cell["artifacts"] = {"predictions": [name], "confusions": name}
        cells.append(CellResult.model_validate(cell))
    claims = [{"claim": n, "summary": n, "claimed": n, "measured": n, "verdict": "kept", "source": n} for n in hostile_names]
    first = hostile_names[0]
    task = {"class_names": [first] * 3, "inputs": {first: 3}, "palette": [[1, 2, 3], [first, 0, 0], [1, 2]]}
    error = {"stage": "train", "kind": first, "message": hostile_names[1], "advice": first}
    cells.append(make_cell(first, id="failed", status="failed", error=error, quality=None, training=None))
    return make_run(cells, claims=claims, warnings=hostile_names, task=task, command=f"segbench run {first}", complete=False)


@pytest.fixture
def run_target(tmp_path: Path) -> ReportTarget:
    return ReportTarget(tmp_path, run_directory=tmp_path)
