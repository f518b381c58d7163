"""Catalogue of the built-in backends: ways to deploy a trained network."""

from __future__ import annotations

from collections.abc import Iterable

from segbench import BackendSpec, hookimpl


@hookimpl
def segbench_backends() -> Iterable[BackendSpec]:
    """The network as PyTorch runs it."""
    return [
        BackendSpec(
            name="eager",
            summary="the network as it is, in PyTorch's eager mode under inference mode",
            build="segbench_plugins.backends.eager:build",
        )
    ]
