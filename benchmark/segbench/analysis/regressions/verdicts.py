"""The verdict on an interval: a change is shown, not shown, or cannot be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from segbench.results.run_comparison import Change, Outcome

DEFAULT_MARGIN = 0.05
"""Share by which a time or a memory must be off before it counts: less than that, two starts of one program differ by themselves."""


def judged(row: Change, interval: Mapping[str, Any] | None = None) -> Change:
    """The row with its verdict.

    ``regressed`` and ``improved`` need the whole interval beyond the margin. An interval of ``n`` samples that reaches beyond it on both
    sides says nothing: ``cannot tell``. Everything else is ``no difference shown``, and the reason says what is not excluded.

    >>> ratio = Change(model="a", baseline_model="a", quantity="latency", margin=0.05, n=9)
    >>> [judged(ratio, {"change": 1.1, "low": low, "high": 1.15}).verdict for low in (1.06, 1.01, 0.9)]
    ['regressed', 'no difference shown', 'cannot tell']
    """
    row = row.model_copy(update=dict(interval or {}))
    if row.low is None or row.high is None or not (math.isfinite(row.low) and math.isfinite(row.high)):
        return row.model_copy(update={"verdict": "cannot tell"})
    down, up = bounds_of(row)
    worse = "lower" if row.better == "higher" else "higher"
    if row.high < down or row.low > up:
        shown = "lower" if row.high < down else "higher"
        outcome: Outcome = "regressed" if shown == worse else "improved"
        return row.model_copy(update={"verdict": outcome})
    # more rounds make an interval narrower; what a meter resolves stays what it is
    if row.n is not None and row.margin and row.low < down and row.high > up:
        reason = row.reason or "too few samples: the interval is wider than the margin on both sides"
        return row.model_copy(update={"verdict": "cannot tell", "reason": reason})
    return row.model_copy(update={"verdict": "no difference shown", "reason": row.reason or _not_excluded(row, down, up, worse)})


def bounds_of(row: Change) -> tuple[float, float]:
    """The smallest and largest change that still counts as none.

    >>> [round(x, 3) for x in bounds_of(Change(model="a", baseline_model="a", quantity="latency", margin=0.05))]
    [0.952, 1.05]
    """
    if row.reading == "difference":
        return -row.margin, row.margin
    return 1 / (1 + row.margin), 1 + row.margin


def _not_excluded(row: Change, down: float, up: float, worse: str) -> str:
    assert row.low is not None
    assert row.high is not None
    if row.reading == "difference" or row.exact:
        return ""
    if worse == "higher" and row.high > up:
        return f"up to {row.high - 1:+.1%} is not excluded"
    if worse == "lower" and row.low < down:
        return f"down to {row.low - 1:+.1%} is not excluded"
    none = 1.0
    if row.low > none or row.high < none:
        return f"a change within the margin of {row.margin:.0%}"
    return ""
