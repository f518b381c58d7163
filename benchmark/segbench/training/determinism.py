"""Seeds, and deterministic training with the names of operations that have no deterministic implementation."""

from __future__ import annotations

import contextlib
import os
import random
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

_WARNING = re.compile(r"(\S+) does not have a deterministic implementation")


def seed_everything(*parts: int) -> None:
    """Seed python, numpy and torch (all devices) from whole numbers: (seed, epoch, rank).

    Called at the start of every epoch, it makes each epoch's randomness independent of what ran before: a resumed training
    needs no saved random state, and validation leaves no trace.
    """
    words = np.random.SeedSequence([abs(part) for part in parts]).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


@contextlib.contextmanager
def training_mode(*, deterministic: bool) -> Iterator[list[str]]:
    """Set torch's global switches for a training and put them back; yields the non-deterministic operations met, as a growing list.

    Deterministic: torch uses its deterministic kernels and cuDNN no autotuning; an operation without one runs and is named.
    Otherwise cuDNN picks the fastest kernels for the sizes at hand.
    """
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    before_cudnn = (cudnn.deterministic, cudnn.benchmark)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    operations: list[str] = []
    try:
        with _collect_operations(operations):
            yield operations
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark = before_cudnn


@contextlib.contextmanager
def _collect_operations(operations: list[str]) -> Iterator[None]:
    """Append names from torch's warnings about such operations to ``operations``; all other warnings are shown as usual."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, *args: Any, **kwargs: Any) -> None:
            match = _WARNING.match(str(message))
            if match is None:
                usual(message, *args, **kwargs)
            elif match.group(1) not in operations:
                operations.append(match.group(1))

        warnings.showwarning = show
        warnings.filterwarnings("always", message=_WARNING.pattern)
        yield
