"""The metrics that the loaded plugins offer, by name: comparisons compute them again of drawn images, and have no catalog."""

from __future__ import annotations

from segbench.plugin.specs import MetricSpec

OFFERED_METRICS: dict[str, MetricSpec] = {}
"""Filled by :class:`segbench.plugin.registry.Catalog`; a metric that is missing here is of a plugin that is not installed."""
