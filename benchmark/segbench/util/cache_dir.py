"""The folder where segbench keeps what can be made again: decoded data, and the outcome of ``segbench verify``."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(chosen: str | None = None) -> Path:
    """``chosen``, else ``$SEGBENCH_CACHE``, else ``segbench`` in the user's cache folder.

    >>> user_cache("decoded-here").name
    'decoded-here'
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen or os.environ.get("SEGBENCH_CACHE") or Path(base) / "segbench").expanduser()
