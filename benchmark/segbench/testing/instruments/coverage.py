"""How often each kind of 95 % interval holds the truth, on data whose truth is known.

Seeds are fixed, so that a verdict is of the method and not of luck. The band of 0.92 to 0.98 is what an honest nominal 95 % may show; a
share is ``FAILED`` where it lies outside by more than what 99 % of so many simulations would scatter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from segbench.testing.instruments.findings import Finding, judged
from segbench.testing.instruments.intervals import KINDS, IntervalKind

NOMINAL = 0.95
Z99 = 2.576


def check(kinds: Sequence[IntervalKind] | None = None) -> Iterator[Finding]:
    """A row per kind of interval."""
    for kind in KINDS if kinds is None else kinds:
        yield _cover(kind)


def _cover(kind: IntervalKind) -> Finding:
    random = np.random.default_rng(20_100)
    found = [kind.draw(random, seed) for seed in range(kind.simulations)]
    there = [interval for interval in found if interval is not None]
    if len(there) < kind.simulations:
        missing = kind.simulations - len(there)
        return judged(False, subject=kind.name, expected="an interval", measured=f"none in {missing} of {kind.simulations}")
    truth = kind.truth()
    share = sum(low <= truth <= high for low, high in there) / len(there)
    scatter = Z99 * math.sqrt(NOMINAL * (1 - NOMINAL) / len(there))
    width = float(np.median([high - low for low, high in there]))
    return judged(
        kind.low - scatter <= share <= min(kind.high + scatter, 1.0 - 1e-9),
        subject=kind.name,
        expected=f"{kind.low:.2f} to {kind.high:.2f} +- {scatter:.3f}",
        measured=f"{share:.3f} of {kind.simulations}, width {width:.3g}",
        reason="; ".join(filter(None, ("too narrow" if share < NOMINAL else "too wide", kind.why))),
        source="simulated data of known truth",
    )
