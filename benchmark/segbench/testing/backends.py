"""The rules that every backend keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segbench.options import Options
from segbench.specs import BackendSpec, Task, resolve
from segbench.testing.check import Check, during, fail, refuse_unfit_defaults


@dataclass(frozen=True)
class BackendSubject:
    """A backend with its options; ``tolerance`` is the largest difference of logits from the eager network's that counts as equal."""

    spec: BackendSpec
    options: Options
    tolerance: float = 1e-3

    def network(self) -> nn.Module:
        """A small network in eval mode, inputs (N, 3, H, W) to logits (N, 5, H, W), the same each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1))
        return layers.eval().requires_grad_(False)

    def image(self, *, seed: int = 0) -> Tensor:
        """Normal noise (1, 3, 32, 48)."""
        return torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(seed))

    def built(self, network: nn.Module) -> Callable[..., Any]:
        """What ``build`` makes of the network."""
        self.refuse_missing()
        assert self.spec.build is not None
        with torch.no_grad(), during("build"):
            run = resolve(self.spec.build)(network, (self.image(),), self.options)
        if not callable(run):
            fail(f"build returned {type(run).__name__}, which cannot be called")
        return run  # type: ignore[no-any-return]

    def refuse_missing(self) -> None:
        """Fail where ``spec.check`` says that something is missing here."""
        if self.spec.check is None:
            return
        with during("spec.check"):
            problems = list(resolve(self.spec.check)(Task(class_names=tuple("abcde")), self.options))
        if problems:
            fail(f"spec.check: {'; '.join(problems)}")


def spec_is_sound(subject: BackendSubject) -> None:
    """``precisions`` names at least one format, and option defaults keep their own limits."""
    if not subject.spec.precisions or isinstance(subject.spec.precisions, str):
        fail(f"precisions = {subject.spec.precisions!r} must be a tuple of at least one, such as ('fp32',)")
    refuse_unfit_defaults(subject.spec.options)


def logits_are_those_of_the_network(subject: BackendSubject) -> None:
    """The backend's logits equal the network's, also for an image that it was not built with, and again when repeated."""
    network = subject.network()
    run = subject.built(network)
    for seed in (0, 1, 1):
        image = subject.image(seed=seed)
        with torch.no_grad(), during("a call"):
            logits = run(image)
            expected = network(image)
        if not isinstance(logits, Tensor) or logits.shape != expected.shape:
            fail(f"a call gave {getattr(logits, 'shape', type(logits).__name__)} instead of a tensor {tuple(expected.shape)}")
        drift = (logits.float() - expected).abs().max().item()
        if not drift <= subject.tolerance:
            fail(f"logits differ from the network's by up to {drift:.3g}, more than the tolerance {subject.tolerance:g}")


def network_is_left_alone(subject: BackendSubject) -> None:
    """Building and running change neither the network's weights nor its mode nor the image."""
    network, reference, image = subject.network(), subject.network(), subject.image()
    run = subject.built(network)
    with torch.no_grad(), during("a call"):
        run(image)
    weights = zip(network.state_dict().items(), reference.state_dict().items(), strict=False)
    if network.training or any(a != b or not torch.equal(x, y) for (a, x), (b, y) in weights):
        fail("the backend changes the network that it is given: work on a copy (copy.deepcopy)")
    if not torch.equal(image, subject.image()):
        fail("the backend writes into the image that it is given")


CHECKS: tuple[Check[BackendSubject], ...] = tuple(
    Check.of(function) for function in (spec_is_sound, logits_are_those_of_the_network, network_is_left_alone)
)
