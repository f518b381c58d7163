"""The user's folders for segbench: a cache of what can be made again (decoded data, verified instruments), and data to keep."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(chosen: str | None = None) -> Path:
    """``chosen``, else ``$SEGBENCH_CACHE``, else ``segbench`` in ``$XDG_CACHE_HOME`` or the system's folder for caches.

    >>> user_cache("decoded-here").name
    'decoded-here'
    """
    import platformdirs

    default = _below("XDG_CACHE_HOME") or platformdirs.user_cache_path("segbench", appauthor=False)
    return Path(chosen or os.environ.get("SEGBENCH_CACHE") or default).expanduser()


def user_data() -> Path:
    """``segbench`` in ``$XDG_DATA_HOME`` or the system's folder for a user's data."""
    import platformdirs

    return (_below("XDG_DATA_HOME") or platformdirs.user_data_path("segbench", appauthor=False)).expanduser()


def _below(variable: str) -> Path | None:
    """``segbench`` below a folder that the environment names, on every system: platformdirs heeds these names on some only."""
    folder = os.environ.get(variable)
    return Path(folder) / "segbench" if folder else None
