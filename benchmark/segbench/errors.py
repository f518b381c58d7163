"""Errors caused by the user's input: each message says what happened and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SegbenchError(Exception):
    """Base of all errors that are printed bare, without a traceback (exit code 2)."""

    exit_code = 2


class ConfigError(SegbenchError):
    """A setting, flag or configuration file is wrong."""


class OptionError(ConfigError):
    """An option in brackets (or in ``[model]``) is unknown or has a value that does not fit."""


class UnknownNameError(SegbenchError):
    """A model, loss, dataset, recipe, reporter or backend of that name is not installed."""


class PluginError(SegbenchError):
    """A plugin handed over something that is not what its hook promises."""


class DataError(SegbenchError):
    """Data on disk is missing, unreadable or does not fit the declared task."""


class CheckpointError(SegbenchError):
    """A checkpoint or weights file cannot be used."""


class StoreError(SegbenchError):
    """A run directory cannot be read or written."""


class DeviceError(SegbenchError):
    """The requested device is not available."""


class BackendError(SegbenchError):
    """A backend cannot take a model (which operator, which shape), or is not installed (how to install it)."""

    kind = "refused"


class TrainingError(SegbenchError):
    """Training cannot go on (for example, the loss is not a finite number)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known names, or an empty string.

    >>> did_you_mean("unte", ["unet", "fpn"])
    " Did you mean 'unet'?"
    >>> did_you_mean("zzz", ["unet", "fpn"])
    ''
    >>> did_you_mean("UNet", ["unet", "fpn"])
    " Did you mean 'unet'?"
    """
    spelled = {k.lower(): k for k in known}
    close = [spelled[k] for k in difflib.get_close_matches(name.lower(), list(spelled), n=2, cutoff=0.6)]
    if not close:
        return ""
    return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
