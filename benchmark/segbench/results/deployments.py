"""The two halves of a deployment, and functions that put them together.

What depends on the trained weights (``DEPLOYED``: file, drift, quality) comes from :mod:`segbench.execution.deploy.deploy`; what
depends on the network's shape only (``RACED``: memory, latency) comes from the race, and cells of one model share it. An error with a
kind belongs to the first half, one without a kind to the race.
"""

from __future__ import annotations

from collections.abc import Sequence

from segbench.results.records import CellResult, Deployment

EAGER = "eager"
RACED = ("memory_mb", "latency", "module_latency", "code_notes", "raced", "machine")
DEPLOYED = ("file_mb", "export_seconds", "fixed_size", "artifact", "drift", "quality", "confusions", "fingerprint")

REFUSED = "refused"
"""Kind of an error that only another model, backend or setting can mend."""


def deployment_of(row: CellResult, backend: str) -> Deployment | None:
    """The row's deployment through a backend."""
    return next((deployment for deployment in row.deployments if deployment.backend == backend), None)


def with_costs(old: Sequence[Deployment], raced: Sequence[Deployment]) -> list[Deployment]:
    """The deployments with what a race measured of each, and behind them those that only the race has."""
    raced_by_backend = {deployment.backend: deployment for deployment in raced}
    updated = [_with_costs(deployment, raced_by_backend.pop(deployment.backend, None)) for deployment in old]
    return [*updated, *raced_by_backend.values()]


def with_deployed(old: Sequence[Deployment], form: Deployment) -> list[Deployment]:
    """The deployments with what depends on the weights replaced in the one of that backend."""
    if all(deployment.backend != form.backend for deployment in old):
        return [*old, form]
    return [_with_form(deployment, form) if deployment.backend == form.backend else deployment for deployment in old]


def without(deployment: Deployment, half: Sequence[str]) -> Deployment:
    """A deployment that has lost one of its halves, and the error that belongs to it."""
    blank = Deployment(backend=deployment.backend)
    lost = (deployment.error_kind is not None) == (half is DEPLOYED)
    update = {name: getattr(blank, name) for name in half} | ({"error": None, "error_kind": None} if lost else {})
    return deployment.model_copy(update=update)


def is_empty(deployment: Deployment) -> bool:
    """True where neither half of it has been measured."""
    return deployment.fingerprint is None and deployment.raced is None and not deployment.latency and deployment.error is None


def _with_costs(old: Deployment, raced: Deployment | None) -> Deployment:
    if raced is None:
        return old
    update = {name: getattr(raced, name) for name in RACED}
    # a form that could not be exported cannot be raced either: the first reason explains the second
    return old.model_copy(update={**update, "error": old.error if old.error_kind else raced.error})


def _with_form(old: Deployment, form: Deployment) -> Deployment:
    costs = {name: getattr(old, name) for name in RACED}
    return form.model_copy(update={**costs, "error": form.error or (None if old.error_kind else old.error)})
