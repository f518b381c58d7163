"""A plugin of networks that change what is not theirs: their input, random numbers, the process; or that keep hold of their original."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import ModelSpec, Options, Task, hookimpl


class Plain(nn.Module):
    """A convolution, a normalisation and a head."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(task.inputs["image"], 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Conv2d(6, task.num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))  # type: ignore[no-any-return]


class InPlace(Plain):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.sub_(0.5).div_(0.25))


class HiddenInPlace(Plain):
    """Without a trace in the version counter."""

    def forward(self, image: Tensor) -> Tensor:
        image.data.mul_(2.0)
        return super().forward(image)


class LateInPlace(Plain):
    """From its fifth call on."""

    calls = 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(image.mul_(2.0) if self.calls > 4 else image)


class NotANumber(Plain):
    """NaN in every fourth column in eval mode."""

    def forward(self, image: Tensor) -> Tensor:
        logits = super().forward(image).clone()
        if not self.training:
            logits[..., ::4] = torch.nan
        return logits


class Dropout(Plain):
    def forward(self, image: Tensor) -> Tensor:
        return functional.dropout(super().forward(image), 0.5, training=True)


class Seeds(Plain):
    def forward(self, image: Tensor) -> Tensor:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return super().forward(image)


class ThreadsInForward(Plain):
    def forward(self, image: Tensor) -> Tensor:
        torch.set_num_threads(2)
        return super().forward(image)


class Lazy(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyConv2d(6, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(task.num_classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)  # type: ignore[no-any-return]


class StaleFeatures(Plain):
    """A hook holds on to the network that registered it: a copy reads features of its original's last image."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.features: list[Tensor] = []
        self.body.register_forward_hook(lambda _module, _inputs, output: self.features.append(output))

    def forward(self, image: Tensor) -> Tensor:
        self.body(image)
        del self.features[:-1]
        return self.head(self.features[0].expand(image.shape[0], -1, -1, -1))  # type: ignore[no-any-return]


class BorrowedBody(Plain):
    """A plain function calls the modules of the network that made it: a copy computes with its original's weights."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)

        def extract(image: Tensor) -> Tensor:
            return self.body(image)  # type: ignore[no-any-return]

        self.extract = extract

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.extract(image))  # type: ignore[no-any-return]


def build_settings(task: Task, _: Options) -> nn.Module:
    """Change all that a library's initialisation may change."""
    torch.set_num_threads(3)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    os.environ["OMP_SCHEDULE"] = "static"
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    return Plain(task)


def build_frozen(task: Task, _: Options) -> nn.Module:
    return Plain(task).requires_grad_(False)


def deployed_anew(model: nn.Module) -> nn.Module:
    """Another network, in place of this one without its auxiliary heads."""
    return Plain(Task(class_names=("a", "b")))


NETWORKS: dict[str, Callable[[Task], nn.Module]] = {
    "plain": Plain,
    "in-place": InPlace,
    "not-a-number": NotANumber,
    "dropout": Dropout,
    "seeds": Seeds,
    "threads": ThreadsInForward,
    "lazy": Lazy,
    "stale": StaleFeatures,
    "borrowed": BorrowedBody,
}


@hookimpl
def segbench_models() -> Iterable[ModelSpec]:
    specs = [ModelSpec(name=f"foreign-{name}", summary=name, build=lambda t, o, c=c: c(t)) for name, c in NETWORKS.items()]
    return [
        *specs,
        ModelSpec(name="foreign-settings", summary="settings", build=build_settings),
        ModelSpec(name="foreign-frozen", summary="frozen", build=build_frozen),
        ModelSpec(name="foreign-anew", summary="deployed as another", build=lambda t, o: Plain(t), deployed=deployed_anew),
    ]
