"""The section on IoU per class."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from segbench import CellResult, Quality, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import grid
from segbench_reports.view.cells import cell_name, finite, group_key
from segbench_reports.view.main_table import Table


def per_class(result: RunResult, table: Table) -> str:
    """A table with one row per class and one column per cell (transposed where cells are many); means where there are several seeds.

    Scores on images that were trained on are named as such. None is marked best: differences per class have no verdict.
    """
    groups = _groups(result)
    first = groups[0][0].quality if groups else None
    if first is None or not first.class_names:
        return ""
    axes = [axis for axis in table.axes if axis != "seed"]
    ranked = [not any(cell.quality and cell.quality.training_score is not None for cell in group) for group in groups]
    names = [
        markdown(cell_name(group[0], axes)) + ("" if is_ranked else " (training score)")
        for group, is_ranked in zip(groups, ranked, strict=True)
    ]
    scores = [_scores(group) for group in groups]
    classes, shares = [markdown(name) for name in first.class_names], _pixel_shares(first)
    marked = [[numbers.NOT_MEASURED if value is None else numbers.percent(value) for value in row[: len(classes)]] for row in scores]
    marked = [row + [numbers.NOT_MEASURED] * (len(classes) - len(row)) for row in marked]
    if len(groups) > max(6, len(classes)):
        return grid(["cell", *classes], [[name, *row] for name, row in zip(names, marked, strict=True)])
    shares_or_none = [[share] for share in shares] or [[] for _ in classes]
    body = [[name, *shares_or_none[i], *(row[i] for row in marked)] for i, name in enumerate(classes)]
    return grid(["class", *(["share of pixels<br>%"] if shares else []), *names], body)


def _groups(result: RunResult) -> list[list[CellResult]]:
    groups: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        if cell.quality and any(value is not None for value in cell.quality.iou_per_class):
            groups.setdefault(group_key(cell), []).append(cell)
    return list(groups.values())


def _scores(group: Sequence[CellResult]) -> list[float | None]:
    lists = [cell.quality.iou_per_class for cell in group if cell.quality]
    columns = [[value for value in column if value is not None and finite(value) is not None] for column in zip(*lists, strict=False)]
    return [statistics.fmean(column) if column else None for column in columns]


def _pixel_shares(quality: Quality) -> list[str]:
    total = sum(quality.label_pixels_per_class)
    if not total or len(quality.label_pixels_per_class) != len(quality.class_names):
        return []
    return [numbers.significant(100 * pixels / total, 2) for pixels in quality.label_pixels_per_class]
