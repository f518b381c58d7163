"""Catalogue of the published claims: every figure of the two guides that a benchmark can test, as data.

One module per guide; each says where a figure stands. Where a guide gives two figures for one thing, or wording that can be read in two
ways, each is a claim of its own, with its own verdict in the report.
"""

from __future__ import annotations

from collections.abc import Iterable

from segbench import Claim, hookimpl
from segbench_plugins.claims import deeplab, flood


@hookimpl
def segbench_claims() -> Iterable[Claim]:
    """Every published figure of the DeepLab guide and of the flood guide."""
    return [*deeplab.claims(), *flood.claims()]
