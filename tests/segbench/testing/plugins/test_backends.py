"""Each backend here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import BackendSpec, NoOptions, Options, option
from segbench.testing import BackendSubject, checks_for
from segbench.testing.check import run_all

Inputs = tuple[Tensor, ...]


def spec(build: Callable[..., Any], **fields: Any) -> BackendSpec:
    return BackendSpec(name="backend", summary="", build=build, **fields)


def failures(given: BackendSpec, **fields: Any) -> dict[str, str]:
    """Message of each failed check by name."""
    subject = BackendSubject(given, given.options.resolve(), **fields)
    return {r.name: r.message for r in run_all(checks_for("backends"), subject) if not r.passed}


def eager(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return network


def remembers(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    first = network(*inputs)
    return lambda image: first


def half(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return lambda image: network(image) * 1.02


def classes_only(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    return lambda image: network(image).argmax(1)


def casts_in_place(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    same = network.float().eval()
    weight = next(same.parameters()).detach().clone()
    for parameter in network.parameters():
        parameter.zero_()

    def run(image: Tensor) -> Tensor:
        next(network.parameters()).copy_(weight)
        return network(image)  # type: ignore[no-any-return]

    return run


def writes_image(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    def run(image: Tensor) -> Tensor:
        logits: Tensor = network(image)
        image.zero_()
        return logits

    return run


def frozen(network: nn.Module, inputs: Inputs, folder: Path, options: Options, calibration: Any) -> Path:
    torch.save((network, tuple(inputs[0].shape), len(calibration)), folder / "net.pkl")
    return folder / "net.pkl"


def strict(path: Path, options: Options, target: Any) -> Callable[..., Tensor]:
    network, shape, _ = torch.load(path, weights_only=False)

    def run(image: Tensor) -> Tensor:
        if tuple(image.shape) != shape:
            raise ValueError(f"made for {shape}")
        return network(image)  # type: ignore[no-any-return]

    return run


def stretches(path: Path, options: Options, target: Any) -> Callable[..., Tensor]:
    """Of a fixed size, and squeezes whatever comes into it."""
    network, shape, _ = torch.load(path, weights_only=False)

    def run(image: Tensor) -> Tensor:
        logits = network(functional.interpolate(image, shape[-2:]))
        return functional.interpolate(logits, image.shape[-2:])

    return run


def knows_its_place(network: nn.Module, inputs: Inputs, folder: Path, options: Options, calibration: Any) -> Path:
    elsewhere = frozen(network, inputs, folder, options, calibration)
    (folder / "pointer").write_text(str(elsewhere))
    return folder / "pointer"


def follows(path: Path, options: Options, target: Any) -> Callable[..., Tensor]:
    return strict(Path(path.read_text()), options, target)


def on_disk(export: Callable[..., Path] = frozen, load: Callable[..., Any] = strict, **fields: Any) -> BackendSpec:
    return BackendSpec(name="backend", summary="", export=export, load=load, **fields)


def opens_attention(network: nn.Module, inputs: Inputs, options: Options) -> Callable[..., Tensor]:
    """Loses the attention branch, as an exporter might."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.gamma.zero_()  # type: ignore[operator]
    return other


class Dynamic(Options):
    dynamic: bool = option(True)


class OutOfRange(Options):
    opset: int = option(0, minimum=1)


def test_a_backend_that_keeps_the_rules_passes() -> None:
    assert failures(spec(eager)) == {}


def test_a_backend_through_a_file_is_exported_and_loaded() -> None:
    assert failures(on_disk()) == {}
    assert failures(on_disk(options=Dynamic, load=lambda path, options, target: torch.load(path, weights_only=False)[0])) == {}


def test_calibration_images_are_given_where_they_are_asked_for() -> None:
    counts: list[int] = []

    def export(network: nn.Module, inputs: Inputs, folder: Path, options: Options, calibration: Any) -> Path:
        counts.append(len(calibration))
        assert all(images[0].shape == inputs[0].shape for images in calibration)
        return frozen(network, inputs, folder, options, calibration)

    assert failures(on_disk(export)) == {}
    assert failures(on_disk(export, calibrates=lambda options: True)) == {}
    assert counts == [0, 8]


def test_lower_precision_is_held_to_a_bound_of_its_own() -> None:
    """Two per cent more is too much in fp32 and well within bf16."""
    assert set(failures(spec(half))) == {"logits_are_those_of_the_network", "another_size_gives_no_other_logits"}
    assert failures(spec(half, precisions=("bf16",))) == {}


def test_the_tolerance_decides_what_counts_as_equal() -> None:
    assert "logits_are_those_of_the_network" in failures(spec(half), tolerance=1e-3)
    assert failures(spec(half), tolerance=1.0) == {}


@pytest.mark.parametrize(
    ("given", "rule", "message"),
    [
        (spec(eager, precisions=()), "spec_is_sound", "must be a tuple of at least one"),
        (spec(eager, options=OutOfRange), "spec_is_sound", "opset = 0 does not fit"),
        (spec(half), "logits_are_those_of_the_network", "logits differ from the network's by up to"),
        (spec(remembers), "logits_are_those_of_the_network", "logits differ from the network's by up to"),
        (spec(classes_only), "logits_are_those_of_the_network", "a call gave torch.Size([1, 32, 48]) instead of a tensor (1, 5, 32, 48)"),
        (spec(lambda network, inputs, options: 3), "logits_are_those_of_the_network", "build returned int, which cannot be called"),
        (spec(eager, check=lambda task, options: ["pip install it"]), "logits_are_those_of_the_network", "spec.check: pip install it"),
        (spec(opens_attention), "logits_are_those_of_the_network", "logits differ from the network's by up to"),
        (spec(eager, precisions=("int8",), precision=lambda options: "fp32"), "spec_is_sound", "run in 'fp32', which is not among"),
        (on_disk(load=stretches), "another_size_gives_no_other_logits", "at 48x32, built for 32x48"),
        (on_disk(options=Dynamic), "another_size_gives_no_other_logits", "it takes any size, but a call at 48x32 raised ValueError"),
        (on_disk(lambda *_: Path("net.pkl")), "logits_are_those_of_the_network", "which is no file below the folder"),
        (on_disk(knows_its_place, follows), "logits_are_those_of_the_network", "load raised FileNotFoundError"),
        (spec(casts_in_place), "network_is_left_alone", "the backend changes the network that it is given"),
        (spec(writes_image), "network_is_left_alone", "the backend writes into the image"),
    ],
)
def test_a_broken_rule_is_named(given: BackendSpec, rule: str, message: str) -> None:
    assert message in failures(given)[rule]


def test_the_network_under_test_is_the_same_each_time() -> None:
    subject = BackendSubject(spec(eager), NoOptions())
    first, again = subject.network(), subject.network()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
