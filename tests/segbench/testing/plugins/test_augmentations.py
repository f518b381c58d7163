"""Each augmentation here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from segbench import AugmentationSpec, Options, option
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.testing import AugmentationSubject, checks_for
from segbench.testing.check import run_all
from segbench_plugins.augmentations import segbench_augmentations

_COUNTER = itertools.count()


def failures(spec: AugmentationSpec) -> dict[str, str]:
    """Message of each failed check by name."""
    subject = AugmentationSubject(Chosen(Choice(spec.name), spec, spec.options(), Plugin("mine")))
    return {r.name: r.message for r in run_all(checks_for("augmentations"), subject) if not r.passed}


def spec(transform: Any, **fields: Any) -> AugmentationSpec:
    return AugmentationSpec(**{"name": "mine", "summary": "", "build": lambda task, options, size: transform, **fields})


def rotation(task: Any, options: Any, size: Any) -> Any:
    return v2.RandomRotation(30, fill={tv_tensors.Image: 0, tv_tensors.Mask: task.ignore_index})


def cropped(task: Any, options: Any, size: Any) -> Any:
    return v2.Compose([v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()])


@pytest.mark.parametrize(
    "good",
    [*segbench_augmentations(), spec(None, build=rotation), spec(None, build=cropped, native=True)],
)
def test_good_augmentations_break_no_rule_but_lambdas_do_not_travel(good: AugmentationSpec) -> None:
    assert failures(good) == {}


def each(change: Callable[[Any], Any], *, mask: Callable[[Any], Any] = lambda mask: mask) -> Callable[..., Any]:
    return lambda inputs, labels: ({name: change(image) for name, image in inputs.items()}, mask(labels))


class Unfit(Options):
    size: int = option(0, minimum=1, help="")


@pytest.mark.parametrize(
    ("broken", "rule", "message"),
    [
        (spec(each(lambda image: image), options=Unfit), "option_defaults_fit", "size"),
        (spec(v2.Resize((8, 8))), "samples_come_back_whole", "in the shape 3x8x8: expected 3x32x32"),
        (spec(each(lambda image: image.flip(-1))), "inputs_and_mask_move_together", "apply one draw to all"),
        (spec(v2.RandomRotation(30)), "padding_is_ignored", "fill={tv_tensors.Mask: 255, ..}"),
        (spec(each(lambda i: i, mask=lambda m: m.clamp(0, 2))), "ignored_pixels_stay_ignored", "ignored pixels come back as a class"),
        (spec(each(lambda image: image.roll(next(_COUNTER), -1), mask=lambda mask: mask)), "draws_follow_from_the_seed", "keep nothing"),
        (spec(each(lambda image: image)), "it_travels_to_other_processes", "pickling it raised"),
    ],
)
def test_a_broken_rule_is_named(broken: AugmentationSpec, rule: str, message: str) -> None:
    assert message in failures(broken)[rule]


def test_a_check_that_refuses_every_task_is_named() -> None:
    found = failures(spec(torch.nn.Identity(), check=lambda task, options: ["the package 'augment' is not installed"]))
    assert "spec.check refuses every task that was tried: the package 'augment' is not installed" in found["samples_come_back_whole"]
