"""fvcore's total, as segbench asks for it, against the figures that timm publishes: a second convention, to its two decimals."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from segbench.measure import fvcore_counter
from segbench.verify.counts import in_giga
from segbench.verify.findings import Finding, judged
from segbench.verify.networks import with_zeros
from segbench.verify.published import FVCORE_TOTALS, TIMM, Published


def check() -> Iterator[Finding]:
    """A row per network."""
    for entry in FVCORE_TOTALS:
        yield _count(entry)


def _count(entry: Published) -> Finding:
    found = fvcore_counter.count_fvcore(with_zeros(entry), (torch.zeros(1, 3, entry.size, entry.size),))
    printed = "none" if found.flops is None else in_giga(found.flops, like=entry.macs)
    return judged(
        printed == entry.macs,
        subject=f"{entry.name} at {entry.size}",
        expected=f"{entry.macs} G",
        measured=f"{printed} G",
        reason=found.error or f"fvcore's total is {found.flops:,}",
        source=TIMM,
    )
