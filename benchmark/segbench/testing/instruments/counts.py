"""Parameters and multiply-adds of public networks against the published figures: params exactly, macs to the last printed digit."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from segbench.measure import fvcore as fvcore_counter
from segbench.measure import macs, params
from segbench.testing.check import CheckResult, judged
from segbench.testing.instruments.published import (
    ENCODERS,
    FVCORE_TOTALS,
    SAME_IN_TIMM,
    SEGMENTATION,
    TIMM,
    TORCHVISION,
    PublishedFigure,
    shapes_only,
    with_zeros,
)


def check() -> Iterator[CheckResult]:
    """A row per network."""
    for entry in (*SEGMENTATION, *ENCODERS, *SAME_IN_TIMM):
        yield _count(entry)


def _count(entry: PublishedFigure) -> CheckResult:
    network = shapes_only(entry)
    image = torch.empty(1, 3, entry.size, entry.size, device="meta")
    total = params.count_params(network, parts={}).total
    counted = macs.count_macs(network, (image,))
    printed = in_giga(counted, digits_of=entry.macs)
    return judged(
        total == entry.params and printed == entry.macs,
        subject=_title(entry),
        expected=f"{entry.params:,}; {entry.macs} G",
        measured=f"{total:,}; {printed} G",
        message=f"{total - entry.params:+,} params, {counted / 1e9 - float(entry.macs):+.4f} GMACs",
        source=TORCHVISION,
    )


def _title(entry: PublishedFigure) -> str:
    whose = ", timm" if entry.library == "timm" else ""
    return f"{entry.name} at {entry.size}{whose}"


def in_giga(count: int, *, digits_of: str) -> str:
    """A count in units of 10**9 with as many decimals as ``digits_of`` has.

    >>> in_giga(2_085_716_000, digits_of="2.086")
    '2.086'
    """
    return f"{count / 1e9:.{len(digits_of.partition('.')[2])}f}"


def check_fvcore() -> Iterator[CheckResult]:
    """A row per network."""
    for entry in FVCORE_TOTALS:
        yield _fvcore_total(entry)


def _fvcore_total(entry: PublishedFigure) -> CheckResult:
    total = fvcore_counter.count_fvcore(with_zeros(entry), (torch.zeros(1, 3, entry.size, entry.size),))
    printed = "none" if total.flops is None else in_giga(total.flops, digits_of=entry.macs)
    return judged(
        printed == entry.macs,
        subject=f"{entry.name} at {entry.size}",
        expected=f"{entry.macs} G",
        measured=f"{printed} G",
        message=total.error or f"fvcore's total is {total.flops:,}",
        source=TIMM,
    )
