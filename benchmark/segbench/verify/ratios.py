"""The median of paired ratios with an interval, and what it says: two ways of timing one thing should give 1."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from segbench.verify.findings import Finding, Verdict

TOLERANCE = 0.05
CONFIDENCE = 0.95


def compare(ratios: Sequence[float], *, subject: str, source: str) -> Finding:
    """``ok`` where the median's 95 % interval lies within 1 +- 5 %, ``FAILED`` where all of it lies outside, else ``cannot tell``.

    An interval that crosses the bound is a busy machine's, not a broken instrument's.

    >>> compare([1.0] * 25, subject="s", source="w").verdict, compare([1.2] * 25, subject="s", source="w").verdict
    ('ok', 'FAILED')
    >>> compare([0.9, 1.1] * 12, subject="s", source="w").verdict
    'cannot tell'
    """
    low, high = median_interval(ratios)
    verdict, reason = _judge(low, high)
    return Finding(
        subject=subject,
        expected=f"1 +- {TOLERANCE:.0%}",
        measured=f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})",
        verdict=verdict,
        reason=reason,
        source=source,
    )


def _judge(low: float, high: float) -> tuple[Verdict, str]:
    least, most = 1 - TOLERANCE, 1 + TOLERANCE
    if least <= low and high <= most:
        return "ok", ""
    if high < least or low > most:
        return "FAILED", f"the whole 95 % interval lies outside {least:.2f} to {most:.2f}"
    return "cannot tell", f"the 95 % interval crosses {least:.2f} to {most:.2f}: is the machine busy? Try again when it is quiet"


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The order statistics between which the true median lies with at least 95 % confidence, whatever the distribution.

    Conover, Practical Nonparametric Statistics (3rd ed. 1999), section 3.2. Six values are the least; fewer raise ValueError.
    Written here anew: what calibrates an instrument must not be made of it.

    >>> median_interval(range(1, 26))
    (8.0, 18.0)
    """
    n = len(values)
    tail, rank = 0.0, 0
    while tail + math.comb(n, rank) / 2**n <= (1 - CONFIDENCE) / 2:
        tail += math.comb(n, rank) / 2**n
        rank += 1
    if rank == 0:
        raise ValueError(f"{n} values have no 95 % interval of the median: six are the least")
    ordered = sorted(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])
