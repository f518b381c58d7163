"""Confusion matrices from the run's files: per image, and summed over the split."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from segbench import CellResult, RunResult
from segbench_reports.html.chart import Drawing, column_width
from segbench_reports.html.embed import printable
from segbench_reports.view.cells import cell_name, varying_axes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrices = npt.NDArray[np.int64]

_MOST_NUMBERS = 40_000


def run_file(run_directory: Path | None, path: str | None) -> Path | None:
    """A file of the run; None where it is missing or outside the run's directory."""
    if run_directory is None or not path:
        return None
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        return None
    file = run_directory / Path(*parts.parts)
    try:
        return file if file.is_file() else None
    except (OSError, ValueError):  # no system would take such a name
        return None


def confusion_matrices(cell: CellResult, run_directory: Path | None) -> tuple[list[str], Matrices] | None:
    """Ids (n) and matrices (n, K, K), label by prediction; None where they are missing or damaged."""
    import numpy as np

    file = run_file(run_directory, cell.artifacts.confusions)
    if file is None:
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            ids, matrices = [str(name) for name in arrays["ids"]], arrays["matrices"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    square = matrices.ndim == 3 and matrices.shape[1] == matrices.shape[2] and len(matrices) == len(ids)
    return (ids, matrices) if square else None


def image_scores(cell: CellResult, run_directory: Path | None) -> dict[str, float]:
    """IoU of each image, averaged over the classes that its label or prediction has."""
    import numpy as np

    loaded = confusion_matrices(cell, run_directory)
    if loaded is None:
        return {}
    ids, matrices = loaded
    hit = matrices.diagonal(axis1=1, axis2=2).astype(float)
    label, predicted = matrices.sum(2), matrices.sum(1)
    union = label + predicted - hit
    labelled = label > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=union > 0)
    count = labelled.sum(1)
    scores = np.divide((iou * labelled).sum(1), count, out=np.full(len(ids), np.nan), where=count > 0)
    return {name: float(score) for name, score in zip(ids, scores, strict=True) if np.isfinite(score)}


def confusion(result: RunResult, run_directory: Path | None) -> Drawing | None:
    """The confusion matrix of each cell, as shares of the label's pixels, with one shown at a time."""
    axes = varying_axes(result.cells)
    matrices: list[dict[str, Any]] = []
    left_out = numbers = 0
    classes: Sequence[str] = []
    for cell in result.cells:
        loaded = confusion_matrices(cell, run_directory) if cell.quality else None
        if loaded is None:
            continue
        total = loaded[1].sum(0)
        numbers += total.size
        if numbers > _MOST_NUMBERS:
            left_out += 1
            continue
        classes = classes or _classes(result, cell, len(total))
        matrices.append({"name": printable(cell_name(cell, axes), 80), "pixels": total.tolist()})
    if not matrices:
        return None
    drawing = column_width(
        "confusion",
        _chart(classes),
        "Each row is a class of the label; the shade is the share of its pixels that got the class of the column.",
    )
    note = f"{left_out} further cells are left out of the page for its size." if left_out else ""
    extra = {"classes": list(classes), "matrices": matrices}
    return Drawing(drawing.key, drawing.alt, drawing.spec, {}, note=note, wide=True, extra=extra)


def _classes(result: RunResult, cell: CellResult, count: int) -> list[str]:
    names = (cell.quality.class_names if cell.quality else []) or result.task.class_names
    named = [printable(name, 32) for name in names][:count]
    return [*named, *(f"class {place}" for place in range(len(named), count))]


def _chart(classes: Sequence[str]) -> Any:
    import altair as alt

    few = len(classes) <= 14
    base = alt.Chart(alt.NamedData(name="pixels")).encode(
        x=alt.X("predicted:N", sort=list(classes), title="predicted", axis=alt.Axis(labelAngle=-40, orient="top")),
        y=alt.Y("label:N", sort=list(classes), title="label"),
        tooltip=[
            "label:N",
            "predicted:N",
            alt.Tooltip("share:Q", format=".2f", title="% of the label's pixels"),
            alt.Tooltip("pixels:Q", format=","),
        ],
    )
    scale = alt.Scale(domain=[0, 100], range=["#fefefe", "#0b4f8a"])
    tiles = base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=None))
    ink = alt.condition("datum.share > 55", alt.value("#fdfdfd"), alt.value("#1a1d21"))
    words = base.mark_text(fontSize=11).encode(text=alt.Text("share:Q", format=".0f"), color=ink).transform_filter("datum.share >= 0.5")
    return alt.layer(tiles, *([words] if few else [])).properties(height=alt.Step(28 if few else 16))
