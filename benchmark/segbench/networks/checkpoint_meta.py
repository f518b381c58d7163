"""The ``meta`` of a checkpoint, read without its weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.errors import CheckpointError


def read_meta(path: Path) -> Mapping[str, Any]:
    """The ``meta`` of a checkpoint of segbench. Raises :class:`CheckpointError` for any other file."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read(path: Path, modified: int) -> Mapping[str, Any]:
    from segbench.util.compat import require_torch

    require_torch()
    import torch

    try:
        # weights stay on disk
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        meta: Mapping[str, Any] = content["meta"]
    except Exception as error:  # torch.load may raise anything for a file that is no checkpoint
        raise CheckpointError(f"'{path.name}' is no checkpoint of segbench, or damaged.") from error
    if "model_name" not in meta:
        raise CheckpointError(f"'{path.name}' does not say which model it is of: it was not written by segbench.")
    return meta
