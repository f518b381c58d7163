"""Import torch and torchvision, or say in one line why they do not go together."""

from __future__ import annotations

import importlib.metadata

from segbench.errors import SegbenchError


class InstallationError(SegbenchError):
    """The installed packages do not fit together."""


def require_torch() -> None:
    """Import torch and torchvision; raises :class:`InstallationError` in one line where the pair is broken or missing."""
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise InstallationError(explain(str(error))) from None
    del torch, torchvision


def explain(error: str) -> str:
    """What is wrong with the installed pair, and the command that mends it."""
    found = f"torch {_version('torch')} and torchvision {_version('torchvision')}"
    fix = "Install a matching pair in one step: pip install --upgrade --force-reinstall torch torchvision"
    return f"{found} do not work together ({error.strip().splitlines()[0] if error.strip() else 'import failed'}). {fix}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
