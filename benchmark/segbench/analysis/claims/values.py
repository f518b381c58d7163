"""The figures of a claim: from two measured values to the one that was claimed, its bounds, and both in print."""

from __future__ import annotations

import math
from typing import Any, Literal

from segbench.plugin.specs import Claim
from segbench.results.metrics import Metric

Outcome = Literal["kept", "kept (exceeded)", "broken"]

_ROUNDING = 1e-9
_LOOSE = 0.01
"""From this tolerance on a figure is called "about"; below, it is exact to its last printed digit."""


def read(claim: Claim, metric: Metric, subject: float, baseline: float) -> float:
    """The claim's reading of two measured values; ``baseline`` counts only where the reading is relative."""
    if claim.reading == "ratio":
        return subject / baseline
    if claim.reading == "speedup":
        return subject / baseline if metric.is_rate else baseline / subject
    if claim.reading == "reduction":
        return 1 - subject / baseline
    return subject - baseline if claim.reading == "points" else subject


def bounds(claim: Claim) -> tuple[float, float]:
    """Lowest and highest value that keep the claim. The tolerance, relative, widens every comparator: it is what printing rounded off."""
    high = claim.high if claim.high is not None else claim.value
    low, high = (claim.value - abs(claim.value) * claim.tolerance, high + abs(high) * claim.tolerance)
    if claim.comparator == "at least":
        return low, math.inf
    if claim.comparator == "at most":
        return -math.inf, high
    return low, high


def outcome(claim: Claim, value: float) -> Outcome:
    """Kept inside the bounds; beyond a range in the good direction kept (exceeded); else broken."""
    low, high = bounds(claim)
    slack = _ROUNDING * max(1.0, abs(value))
    if low - slack <= value <= high + slack:
        return "kept"
    better = value > high if claim.good == "higher" else value < low
    return "kept (exceeded)" if better and claim.comparator == "range" else "broken"


def claimed(claim: Claim, metric: Metric) -> str:
    """The claimed figure in print: ``6.83 M``, ``at least 2.5x``, ``-30 to -40 %``."""
    text = _figure(claim.value, claim, metric)
    if claim.comparator == "range":
        assert claim.high is not None
        # a unit behind a space is said once: "95 to 98 %", but "1.3x to 1.4x"
        return f"{text.partition(' ')[0]} to {_figure(claim.high, claim, metric)}"
    if claim.comparator == "about":
        return f"about {text}" if claim.tolerance >= _LOOSE else text
    return f"{claim.comparator} {text}"


def rendered(value: float, claim: Claim, metric: Metric) -> str:
    """A measured value in the claim's reading."""
    if claim.reading == "value":
        return _counted(value) if _is_exact_count(claim, metric) else printed(value, metric)
    number, unit = _reading(value, claim, metric)
    return f"{number:{_sign(claim)}.{1 if unit == ' %' else 2}f}{unit}"


def rendered_interval(low: float, high: float, claim: Claim, metric: Metric) -> str:
    """Both ends as :func:`rendered` prints them, the smaller number first, without the unit: ``[1.80, 1.88]``."""
    # a reduction of 0.3 to 0.4 is printed as -30 %, -40 %
    ends = (high, low) if claim.reading == "reduction" else (low, high)
    return f"[{', '.join(rendered(end, claim, metric).partition(' ')[0].removesuffix('x') for end in ends)}]"


def printed(value: float, metric: Metric) -> str:
    """A measured value with its unit.

    >>> from segbench.results.metrics import metric
    >>> printed(2_517_493, metric("params")), printed(0.7123, metric("miou"))
    ('2.52 M', '71.23 %')
    """
    if metric.digits == 0:
        return f"{_counted(value * metric.scale)} {metric.unit}".rstrip()
    return f"{value * metric.scale:.{metric.digits}f} {metric.unit}".rstrip()


def circumstance(key: str, value: Any) -> str:
    """A circumstance of a measured value, as it stands in brackets behind it.

    >>> circumstance("batch_size", 1), circumstance("device", "cpu"), circumstance("images", 51), circumstance("epoch", 20)
    ('batch 1', 'cpu', '51 images', 'epoch 20')
    """
    if key in ("device", "input_size", "image_size", "precision", "split", "backend"):
        return str(value)
    return {"batch_size": f"batch {value}", "epoch": f"epoch {value}"}.get(key, f"{value} {key}")


def _figure(value: float, claim: Claim, metric: Metric) -> str:
    if claim.reading == "value":
        if _is_exact_count(claim, metric):
            return _counted(value)
        number = value * metric.scale
        # 18 stays 18, and 9.6 becomes 9.60 where two decimals are the custom
        return f"{number:.{0 if math.isclose(number, round(number)) else metric.digits}f} {metric.unit}".rstrip()
    number, unit = _reading(value, claim, metric)
    return f"{number:{_sign(claim)}.{_decimals(number)}f}{unit}"


def _is_exact_count(claim: Claim, metric: Metric) -> bool:
    """A count that is claimed to its last unit, which millions would hide."""
    return (metric.scale < 1 or metric.digits == 0) and claim.comparator == "about" and claim.tolerance == 0


def _counted(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def _reading(value: float, claim: Claim, metric: Metric) -> tuple[float, str]:
    """A relative value as it is printed, and the unit behind it."""
    if claim.reading == "reduction":
        return -100 * value, " %"
    if claim.reading == "points":
        return value * metric.scale, " points" if metric.unit == "%" else f" {metric.unit}".rstrip()
    return (100 * value, " %") if claim.unit == "%" else (value, "x")


def _sign(claim: Claim) -> str:
    return "+" if claim.reading in ("reduction", "points") else ""


def _decimals(number: float) -> int:
    return next((d for d in range(3) if math.isclose(number, round(number, d), abs_tol=1e-9)), 3)
