"""Cells' scores of a plugin's metric: whether they can be compared, and what is drawn of their images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segbench.analysis.comparisons.confusions import Images
from segbench.analysis.statistics.bootstrap import Statistic
from segbench.analysis.statistics.plugin_scores import columns_and_statistic, from_matrices, same_images_scored
from segbench.plugin.offered_metrics import OFFERED_METRICS
from segbench.results.plugin_metrics import is_plugin_metric
from segbench.results.records import CellResult, MetricScore

_SAME = 1e-6


def of_other_code(name: str, cells: Sequence[CellResult]) -> str:
    """The reason why the cells' values of a plugin's metric are of different code; empty where they are not."""
    codes = list(dict.fromkeys(score.code for cell in cells if (score := _score(name, cell)) is not None)) if is_plugin_metric(name) else []
    return f"{name} was computed by different code ({' and '.join(codes)}): evaluate the cells again" if len(codes) > 1 else ""


def not_drawn(name: str, cell: CellResult, images: Images) -> str:
    """The reason why a cell's plugin metric cannot be taken of drawn images; empty where it can, and for all other metrics."""
    score = _score(name, cell) if is_plugin_metric(name) else None
    if score is None:
        return ""
    if score.images is not None:
        return "" if name in images.metrics else f"the images' values of {name} were not kept: evaluate the cells again"
    spec = OFFERED_METRICS.get(name)
    if spec is None or spec.from_confusions is None:
        return f"the plugin that gives {name} is not installed here, so that it cannot be taken of drawn images"
    again = from_matrices(spec, images.matrices).pooled
    if again is None or score.value is None or not math.isclose(again, score.value, rel_tol=_SAME, abs_tol=1e-9):
        return f"the plugin's {name} gives another value here than in the run ({again} in place of {score.value}): evaluate the cells again"
    return ""


def unlike_images(name: str, cells: Sequence[CellResult], images: Mapping[str, Images | None]) -> str:
    """The reason why means of a plugin's metric are over different images; empty where they are over the same."""
    if not is_plugin_metric(name):
        return ""
    known = [one for one in images.values() if one is not None and name in one.metrics]
    values = [one.in_order_of(known[0].ids).metrics[name] for one in known]
    if values and not same_images_scored(values):
        return f"{name} has values for different images: {' and '.join(_counted(name, cell) for cell in cells)}"
    return ""


def is_per_image(name: str, cell: CellResult) -> bool:
    """True for a plugin's metric that is a mean over images."""
    score = _score(name, cell) if is_plugin_metric(name) else None
    return score is not None and score.images is not None


def columns_of(name: str, images: Images) -> tuple[Any, Statistic]:
    """What is summed over drawn images, and the metric of the sum."""
    return columns_and_statistic(OFFERED_METRICS.get(name), images.matrices, images.metrics.get(name))


def _counted(name: str, cell: CellResult) -> str:
    score = _score(name, cell)
    return f"{score.images if score else 0} of {cell.id}"


def _score(name: str, cell: CellResult) -> MetricScore | None:
    return cell.quality.metrics.get(name) if cell.quality else None
