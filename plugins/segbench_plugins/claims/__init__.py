"""Catalogue of the published claims: every figure of the two guides that a benchmark can test, as data.

One module per guide; each says where a figure stands. Where a guide gives two figures for one thing, each is a claim of its own. Wording
that can be read in several ways is one claim of several readings (``reading_of``, ``read_as``), which has one verdict in the report.
"""

from __future__ import annotations

from collections.abc import Iterable

from segbench import Claim, hookimpl
from segbench_plugins.claims import deeplab, flood


@hookimpl
def segbench_claims() -> Iterable[Claim]:
    """Every published figure of the DeepLab guide and of the flood guide."""
    return [*deeplab.claims(), *flood.claims()]
