"""Deployed forms of a small network and of the built-in models, each made once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from segbench import BackendSpec, Options, Target, Task, parse_choice
from segbench_plugins.backends import segbench_backends
from segbench_plugins.models import segbench_models

Images = tuple[Tensor, ...]
SIZE = (96, 128)


class Small(nn.Module):
    """A network with the parts of the built-in models in 3 000 parameters: two inputs, BatchNorm, hard swish, attention, two resizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(5, 16, 3, stride=4, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.3))
        self.query, self.value = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 16, 1)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x = self.stem(torch.cat([first, second], 1))
        x = x + interpolate(nn.functional.adaptive_avg_pool2d(x, 1), x.shape[-2:], mode="nearest")
        x = self.body(x)
        rows = [part.flatten(2).transpose(1, 2).unsqueeze(1) for part in (self.query(x), self.query(x), self.value(x))]
        x = x + scaled_dot_product_attention(*rows).squeeze(1).transpose(1, 2).reshape(x.shape)
        return interpolate(self.head(x), first.shape[-2:], mode="bilinear", align_corners=False)


def balanced(network: nn.Module, images: Images) -> nn.Module:
    """The network with classes about equally likely, so that agreement of labels can fail: its last convolution is rescaled.

    What follows that convolution is a resize, which keeps weighted sums and constants.
    """
    with torch.no_grad():
        logits = network(*images)
        mean, std = logits.mean((0, 2, 3)), logits.std((0, 2, 3))
        last = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.out_channels == len(mean)][-1]
        assert last.bias is not None
        last.weight.div_(std.view(-1, 1, 1, 1))
        last.bias.sub_(mean).div_(std)
    return network


def perturbed(network: nn.Module) -> nn.Module:
    """Weights and statistics away from their fresh values, attention's gamma from 0: nothing hides."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            noise = torch.rand(tensor.shape, generator=generator)
            if name.endswith("gamma"):
                tensor.fill_(0.5)
            elif name.endswith("running_var"):
                tensor.mul_(0.7 + 0.6 * noise)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.2 * noise - 0.1)
    return network.eval().requires_grad_(False)


def taught(network: nn.Module, channels: Sequence[int]) -> nn.Module:
    """A few steps towards telling where the first input is positive.

    Two classes of random weights hardly differ: their logits rise and fall together, and which of them is above says nothing.
    """
    trained = network.train().requires_grad_(True)
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-3)
    for step in range(16):
        images = smooth_images(channels, 2, seed=100 + step)
        loss = nn.functional.cross_entropy(trained(*images), (images[0][:, 0] > 0).long())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return trained.eval().requires_grad_(False)


def smooth_images(channels: Sequence[int], count: int = 1, *, seed: int = 0) -> Images:
    """Blobs with some noise (N, C, 96, 128)."""
    generator = torch.Generator().manual_seed(seed)

    def image(number: int) -> Tensor:
        blobs = torch.randn(count, number, SIZE[0] // 8, SIZE[1] // 8, generator=generator)
        noise = torch.randn(count, number, *SIZE, generator=generator)
        return interpolate(blobs, SIZE, mode="bicubic", align_corners=False) + 0.2 * noise

    return tuple(image(number) for number in channels)


@dataclass(frozen=True)
class Subject:
    """An eager network with images for it."""

    network: nn.Module
    channels: tuple[int, ...]

    def images(self, seed: int = 0) -> Images:
        return smooth_images(self.channels, seed=seed)

    def calibration(self) -> list[Images]:
        return [self.images(seed) for seed in range(50, 66)]


@dataclass(frozen=True)
class Form:
    """A deployed network, with its file where it has one."""

    run: Callable[..., Tensor]
    file: Path | None = None

    @property
    def file_bytes(self) -> int:
        assert self.file is not None
        return sum(file.stat().st_size for file in self.file.parent.iterdir())


def backend(text: str) -> tuple[BackendSpec, Any]:
    choice = parse_choice(text)
    spec = next(spec for spec in segbench_backends() if spec.name == choice.name)
    return spec, spec.options.resolve(dict(choice.options))


def called(reference: Any) -> Callable[..., Any]:
    import importlib

    module, _, name = str(reference).partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def deploy(subject: Subject, text: str, folder: Path, *, threads: int = 1) -> Form:
    spec, options = backend(text)
    if spec.build is not None:
        return Form(called(spec.build)(subject.network, subject.images(), options))
    folder.mkdir(parents=True)
    calibration = subject.calibration() if spec.needs_calibration(options) else ()
    file = called(spec.export)(subject.network, subject.images(), folder, options, calibration)
    return Form(called(spec.load)(file, options, Target("cpu", threads)), file)


@pytest.fixture(scope="session")
def small() -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = perturbed(Small())
    return Subject(balanced(network, smooth_images((2, 3), 4)), (2, 3))


@pytest.fixture(scope="session")
def forms(small: Subject, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Form]:
    """The small network through a backend, made at its first use."""
    made: dict[str, Form] = {}

    def form(text: str) -> Form:
        if text not in made:
            made[text] = deploy(small, text, tmp_path_factory.mktemp("form") / "file")
        return made[text]

    return form


@pytest.fixture
def deployed(tmp_path: Path) -> Callable[..., Form]:
    """Any network through a backend."""

    def make(subject: Subject, text: str, *, threads: int = 1) -> Form:
        return deploy(subject, text, tmp_path / "file", threads=threads)

    return make


@pytest.fixture(scope="session")
def builtin_models() -> Callable[[str], Subject]:
    """A built-in model, perturbed: at 11 classes on images, or at 2 on radar and optical and a little trained."""
    made: dict[str, Subject] = {}

    def model(name: str) -> Subject:
        if name not in made:
            flood = name.startswith("flood")
            inputs = {"sar": 2, "optical": 13} if flood else {"image": 3}
            task = Task(class_names=tuple(f"c{i}" for i in range(2 if flood else 11)), inputs=inputs)
            spec = next(spec for spec in segbench_models() if spec.name == name)
            options: Options = spec.options()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                network = perturbed(called(spec.build)(task, options))
                channels = tuple(inputs.values())
                network = taught(network, channels) if flood else balanced(network, smooth_images(channels, 4))
            made[name] = Subject(network, channels)
        return made[name]

    return model
