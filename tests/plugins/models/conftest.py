"""Fixtures shared by the tests of the built-in models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from segbench import Task


@pytest.fixture
def task() -> Callable[..., Task]:
    def make(num_classes: int = 2, inputs: Mapping[str, int] | None = None) -> Task:
        return Task(class_names=tuple(f"c{i}" for i in range(num_classes)), inputs=inputs or {"image": 3})

    return make


@pytest.fixture
def flood_task(task: Callable[..., Task]) -> Task:
    return task(2, {"sar": 2, "optical": 13})


@pytest.fixture
def perturb() -> Callable[[nn.Module], nn.Module]:
    """Open the attention branches (their gammas start at 0 and would hide any fault) and give BatchNorm some statistics."""

    def apply(network: nn.Module) -> nn.Module:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("gamma"):
                    parameter.fill_(0.5)
            for name, buffer in network.named_buffers():
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
        return network

    return apply


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub without network and with an empty cache of its own, whose folder is returned."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache
