"""Scenes to score losses on, and a way to build a loss as the harness does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from segbench import LossBatch, LossSpec, Progress, Task, parse_choice
from segbench_plugins.losses import segbench_losses

IGNORE = 255
Build = Callable[..., Callable[[Tensor, Tensor], Tensor]]


@dataclass(frozen=True)
class Scene:
    """Logits (N, K, H, W), mask (N, H, W), and the same as float64 rows of valid pixels (V, K) and (V,)."""

    logits: Tensor
    mask: Tensor

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        valid = self.mask != IGNORE
        picked: npt.NDArray[np.float64] = self.logits.permute(0, 2, 3, 1)[valid].double().numpy()
        return picked

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        picked: npt.NDArray[np.int64] = self.mask[self.mask != IGNORE].numpy()
        return picked

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        raised = np.exp(self.rows - self.rows.max(1, keepdims=True))
        shares: npt.NDArray[np.float64] = raised / raised.sum(1, keepdims=True)
        return shares

    @property
    def cross_entropies(self) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = -np.log(self.probabilities[np.arange(len(self.labels)), self.labels])
        return values


def make_scene(classes: int = 5, *, images: int = 3, size: tuple[int, int] = (7, 6), ignored: float = 0.3, seed: int = 0) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, classes, *size, generator=generator)
    # the last class never occurs where there are more than two, so that absent classes are always part of the test
    mask = torch.randint(0, max(2, classes - 1), (images, *size), generator=generator)
    return Scene(logits, mask.masked_fill(torch.rand(mask.shape, generator=generator) < ignored, IGNORE))


def make_loss(text: str, classes: int = 5, ignore_index: int = IGNORE) -> Callable[[Tensor, Tensor], Tensor]:
    choice = parse_choice(text)
    spec = spec_of(choice.name)
    task = Task(class_names=tuple(f"class {i}" for i in range(classes)), ignore_index=ignore_index)
    module, _, function = str(spec.build).partition(":")
    built: Any = getattr(importlib.import_module(module), function)(task, spec.options.resolve(dict(choice.options)))
    assert isinstance(built, nn.Module)
    if spec.takes == "logits":
        return built

    def plain(logits: Tensor, mask: Tensor) -> Tensor:
        value: Tensor = built({"logits": logits}, LossBatch(inputs=(), mask=mask), Progress(epoch=0, epochs=1, step=0, steps=10))
        return value

    return plain


def spec_of(name: str) -> LossSpec:
    return {spec.name: spec for spec in segbench_losses()}[name]


@pytest.fixture
def scene() -> Scene:
    return make_scene()


@pytest.fixture
def two_class_scene() -> Scene:
    return make_scene(2)


@pytest.fixture(name="make_scene", scope="session")
def _make_scene() -> Callable[..., Scene]:
    return make_scene


@pytest.fixture(name="make_loss", scope="session")
def _make_loss() -> Build:
    return make_loss
