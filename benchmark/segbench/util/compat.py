"""Import torch and torchvision, with a one-line error where the two do not work together."""

from __future__ import annotations

from segbench.errors import SegbenchError
from segbench.util.packages import installed_version


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
    """A sentence on the installed pair that does not work together, and the command that repairs it."""
    versions = " and ".join(f"{name} {installed_version(name) or '(not installed)'}" for name in ("torch", "torchvision"))
    fix = "Install a matching pair in one step: pip install --upgrade --force-reinstall torch torchvision"
    return f"{versions} do not work together ({error.strip().splitlines()[0] if error.strip() else 'import failed'}). {fix}"
