"""The rules that every backend keeps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.plugin.options import Options
from segbench.plugin.specs import BackendSpec, Target, Task, resolve
from segbench.testing.check import Check, during, fail, refuse_unfit_defaults
from segbench.testing.plugins.every_layer import every_layer

_TOLERANCES = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.05, "int8": 0.3}
"""Share of the logits' deviation by which a form's mean difference may fall short, by precision; for fp32 the largest difference."""

_CALIBRATION_IMAGES = 8


@dataclass(frozen=True)
class BackendSubject:
    """A backend with its options.

    ``tolerance`` is the largest difference of logits from the eager network's that counts as equal; by default it follows from the
    precision: in fp32 a thousandth of the logits' deviation, in lower ones a bound on the mean difference.
    """

    spec: BackendSpec
    options: Options
    tolerance: float | None = None
    device: str = "cpu"
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def network(self) -> nn.Module:
        """A small network in eval mode, inputs (N, 3, H, W) to logits (N, 5, H, W), the same each time; no layer of it can be left out."""
        return every_layer().to(self.device)

    def image(self, *, seed: int = 0, size: tuple[int, int] = (32, 48)) -> Tensor:
        """Normal noise (1, 3, H, W)."""
        return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def form(self) -> Callable[..., Any]:
        """The deployment of the network for one image, built or exported and loaded; made once."""
        if "form" not in self._cache:
            self.refuse_missing()
            self._cache["network"] = self.network()
            self._cache["form"] = self._built() if self.spec.build is not None else self._exported()
        form: Callable[..., Any] = self._cache["form"]
        return form

    def refuse_missing(self) -> None:
        """Fail where ``spec.check`` says that something is missing here."""
        if self.spec.check is None:
            return
        with during("spec.check"):
            problems = list(resolve(self.spec.check)(Task(class_names=tuple("abcde")), self.options))
        if problems:
            fail(f"spec.check: {'; '.join(problems)}")

    def _built(self) -> Callable[..., Any]:
        assert self.spec.build is not None
        with torch.no_grad(), during("build"):
            run = resolve(self.spec.build)(self._cache["network"], (self.image(),), self.options)
        if not callable(run):
            fail(f"build returned {type(run).__name__}, which cannot be called")
        return run  # type: ignore[no-any-return]

    def _exported(self) -> Callable[..., Any]:
        assert self.spec.export is not None
        assert self.spec.load is not None
        wanted = self.spec.needs_calibration(self.options)
        calibration = [(self.image(seed=2 + i),) for i in range(_CALIBRATION_IMAGES)] if wanted else []
        with tempfile.TemporaryDirectory(prefix="segbench-check-") as place:
            folder, moved = Path(place) / "made", Path(place) / "moved"
            folder.mkdir()
            with torch.no_grad(), during("export"):
                path = Path(resolve(self.spec.export)(self._cache["network"], (self.image(),), folder, self.options, calibration))
            if not path.exists() or folder not in path.parents:
                fail(f"export returned '{path}', which is no file below the folder that it was given")
            if self.spec.annotate is not None:
                with during("annotate"):
                    resolve(self.spec.annotate)(path, {"classes": '["a", "b"]'})
            # a shipped file lies elsewhere, without the folder in which it was exported
            shutil.move(folder, moved)
            with during("load"):
                run = resolve(self.spec.load)(moved / path.relative_to(folder), self.options, Target(self.device, 1))
        if not callable(run):
            fail(f"load returned {type(run).__name__}, which cannot be called")
        return run  # type: ignore[no-any-return]


def spec_is_sound(subject: BackendSubject) -> None:
    """``precisions`` names at least one format, and option defaults keep their own limits."""
    if not subject.spec.precisions:
        fail(f"precisions = {subject.spec.precisions!r} must be a tuple of at least one, such as ('fp32',)")
    refuse_unfit_defaults(subject.spec.options)
    precision = subject.spec.precision_of(subject.options)
    if precision not in subject.spec.precisions:
        fail(f"these options run in '{precision}', which is not among precisions = {subject.spec.precisions!r}")


def logits_are_those_of_the_network(subject: BackendSubject) -> None:
    """The backend's logits equal the network's, also for an image that it was not built with, and again when repeated."""
    run, network = subject.form(), subject.network()
    for seed in (0, 1, 1):
        image = subject.image(seed=seed)
        with torch.no_grad(), during("a call"):
            logits = run(image)
            expected = network(image)
        if not isinstance(logits, Tensor) or logits.shape != expected.shape:
            fail(f"a call gave {getattr(logits, 'shape', type(logits).__name__)} instead of a tensor {tuple(expected.shape)}")
        _refuse_difference(subject, logits, expected, "")


def another_size_gives_no_other_logits(subject: BackendSubject) -> None:
    """For images of another size the backend gives the network's logits too, or raises; it must raise where it is of fixed size."""
    run, network = subject.form(), subject.network()
    any_size = subject.spec.takes_any_size(subject.options)
    for size in ((48, 32), (64, 96)):
        image = subject.image(size=size)
        try:
            with torch.no_grad():
                logits, expected = run(image), network(image)
        except Exception as error:  # a backend may refuse with any exception
            if any_size:
                fail(f"it takes any size, but a call at {size[0]}x{size[1]} raised {type(error).__name__}: {error}")
            continue
        if not isinstance(logits, Tensor) or logits.shape != expected.shape:
            fail(
                f"built for 32x48, a call at {size[0]}x{size[1]} gave {getattr(logits, 'shape', type(logits).__name__)} instead of raising"
            )
        _refuse_difference(subject, logits, expected, f" at {size[0]}x{size[1]}, built for 32x48")


def network_is_left_alone(subject: BackendSubject) -> None:
    """Building and running change neither the network's weights nor its mode nor the image."""
    run, reference, image = subject.form(), subject.network(), subject.image()
    with torch.no_grad(), during("a call"):
        run(image)
    network: nn.Module = subject._cache["network"]
    weights = zip(network.state_dict().items(), reference.state_dict().items(), strict=False)
    if network.training or any(a != b or not torch.equal(x, y) for (a, x), (b, y) in weights):
        fail("the backend changes the network that it is given: work on a copy (copy.deepcopy)")
    if not torch.equal(image, subject.image()):
        fail("the backend writes into the image that it is given")


def _refuse_difference(subject: BackendSubject, logits: Tensor, expected: Tensor, where: str) -> None:
    difference = (logits.float() - expected).abs()
    precision = subject.spec.precision_of(subject.options)
    if subject.tolerance is not None:
        distance, allowed, what = difference.max().item(), subject.tolerance, "up to"
    else:
        exact = precision == "fp32"
        distance, what = (difference.max() if exact else difference.mean()).item(), "up to" if exact else "a mean of"
        allowed = _TOLERANCES.get(precision, 0.3) * expected.std().item()
    if not distance <= allowed:
        fail(f"logits differ from the network's by {what} {distance:.3g}{where}, more than the tolerance {allowed:.3g}")


CHECKS: tuple[Check[BackendSubject], ...] = tuple(
    Check.of(function)
    for function in (
        spec_is_sound,
        logits_are_those_of_the_network,
        another_size_gives_no_other_logits,
        network_is_left_alone,
    )
)
