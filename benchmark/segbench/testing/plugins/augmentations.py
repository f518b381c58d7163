"""The rules that every augmentation keeps."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from segbench.data.augmentation import PluginAugmentation, seeded
from segbench.data.samples import Fields
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import AugmentationSpec, Task, resolve
from segbench.testing.check import Check, during, fail, refuse_unfit_defaults

_SIZES = ((32, 32), (24, 40))
_NATIVE = (48, 36)
_DRAWS = 6
_AGREE = 0.85
"""Share of pixels in which images and mask must agree on where an object is; resampling blurs its outline."""


@dataclass(frozen=True)
class AugmentationSubject:
    """An augmentation with its options, tried on tasks of one RGB input, and of an RGB and a float input of two channels."""

    chosen: Chosen[AugmentationSpec]

    @property
    def spec(self) -> AugmentationSpec:
        """The augmentation's spec."""
        return self.chosen.spec

    def tasks(self) -> list[Task]:
        """The tasks that ``spec.check`` accepts, one at least."""
        names = ("background", "object", "other")
        tasks = [Task(class_names=names), Task(class_names=names, inputs={"image": 3, "depth": 2}, ignore_index=-1)]
        if self.spec.check is None:
            return tasks
        with during("spec.check"):
            missing = [list(resolve(self.spec.check)(task, self.chosen.options) or ()) for task in tasks]
        able = [task for task, problems in zip(tasks, missing, strict=True) if not problems]
        return able or fail(f"spec.check refuses every task that was tried: {'; '.join(missing[0])}")

    def cases(self) -> Iterator[tuple[Task, tuple[int, int], PluginAugmentation]]:
        """Each task at each size, with a fresh augmentation."""
        for task in self.tasks():
            for size in _SIZES:
                yield task, size, PluginAugmentation(self.chosen, task)

    def sample(self, task: Task, size: tuple[int, int], *, label: int | None = None) -> Fields:
        """An object in the upper left quarter, bright in all inputs and class 1 in the mask; or all of it ``label``."""
        height, width = _NATIVE if self.spec.native else size
        mask = torch.zeros(height, width, dtype=torch.int64)
        mask[: height // 2, : width // 2] = 1
        inputs: dict[str, Tensor] = {}
        for name, channels in task.inputs.items():
            bright = (mask * 200 + 20).expand(channels, -1, -1)
            inputs[name] = bright.to(torch.uint8) if name in task.rgb else bright.to(torch.float32) / 255
        return Fields(inputs, mask if label is None else torch.full_like(mask, label), "a sample of the check")


def option_defaults_fit(subject: AugmentationSubject) -> None:
    """Option defaults keep their own limits."""
    refuse_unfit_defaults(subject.spec.options)


def samples_come_back_whole(subject: AugmentationSubject) -> None:
    """Names, channels, dtypes and the training size come back, square or not, with labels of the task."""
    for task, size, augmentation in subject.cases():
        for seed in range(_DRAWS):
            _apply(augmentation, subject.sample(task, size), size, seed)


def inputs_and_mask_move_together(subject: AugmentationSubject) -> None:
    """An object is at the same place in the mask and in every input."""
    for task, size, augmentation in subject.cases():
        for seed in range(_DRAWS):
            moved = _apply(augmentation, subject.sample(task, size), size, seed)
            valid = moved.mask != task.ignore_index
            for name, image in moved.inputs.items():
                agree = _agreement(image, moved.mask.to(torch.int64), valid)
                if 1 - _AGREE < agree < _AGREE:  # a picture in negative agrees nowhere
                    fail(
                        f"input '{name}' and the mask agree on an object in {agree:.0%} of the pixels: apply one draw to all, as "
                        "transforms v2 do when they get (inputs, mask) in one call"
                    )


def padding_is_ignored(subject: AugmentationSubject) -> None:
    """What lies outside of the image is ignored in the mask, and no label is interpolated."""
    for task, size, augmentation in subject.cases():
        augmentation.try_padding(subject.sample(task, size), size)


def ignored_pixels_stay_ignored(subject: AugmentationSubject) -> None:
    """A sample without any label has none afterwards."""
    if subject.spec.adds_labels:
        return
    for task, size, augmentation in subject.cases():
        for seed in range(_DRAWS):
            moved = _apply(augmentation, subject.sample(task, size, label=task.ignore_index), size, seed)
            if bool((moved.mask != task.ignore_index).any()):
                fail("ignored pixels come back as a class: tv_tensors.Mask is moved by nearest neighbour; leave its values as they are")


def draws_follow_from_the_seed(subject: AugmentationSubject) -> None:
    """The same seed gives the same sample, whatever was drawn before and by which object."""
    task, size = subject.tasks()[0], _SIZES[0]
    used = PluginAugmentation(subject.chosen, task)
    for seed in range(_DRAWS):
        _apply(used, subject.sample(task, size), size, seed)
    for seed in range(_DRAWS):
        one = _apply(used, subject.sample(task, size), size, seed)
        other = _apply(PluginAugmentation(subject.chosen, task), subject.sample(task, size), size, seed)
        if not torch.equal(one.mask, other.mask) or not all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs):
            fail("the same seed gives another sample: draw from torch, random or numpy.random, and keep nothing between samples")


def samples_are_left_alone(subject: AugmentationSubject) -> None:
    """The sample that it gets is as it was afterwards."""
    task, size = subject.tasks()[0], _SIZES[0]
    sample = subject.sample(task, size)
    before = {name: image.clone() for name, image in sample.inputs.items()}
    for seed in range(_DRAWS):
        _apply(PluginAugmentation(subject.chosen, task), sample, size, seed)
    if not all(torch.equal(image, before[name]) for name, image in sample.inputs.items()):
        fail("it writes into the images that it was given: work on a copy")


def it_travels_to_other_processes(subject: AugmentationSubject) -> None:
    """The spec can be pickled: several devices train in processes of their own."""
    with during("pickling it"):
        pickle.dumps(subject.spec)


def _apply(augmentation: PluginAugmentation, sample: Fields, size: tuple[int, int], seed: int) -> Fields:
    with seeded(seed):
        return augmentation(sample, size)


def _agreement(image: Tensor, mask: Tensor, valid: Tensor) -> float:
    """Share of the valid pixels in which a pixel is brighter than the middle of the image's range where the mask has the object."""
    if not bool(valid.any()) or not bool((mask[valid] == 1).any()) or bool((mask[valid] == 1).all()):
        return 1.0
    brightness = image.to(torch.float32).mean(dim=0)
    middle = (brightness[valid].min() + brightness[valid].max()) / 2
    return float(((brightness > middle) == (mask == 1))[valid].float().mean())


_WHOLE = "samples_come_back_whole"
CHECKS: tuple[Check[AugmentationSubject], ...] = (
    Check.of(option_defaults_fit),
    Check.of(samples_come_back_whole, "option_defaults_fit"),
    Check.of(inputs_and_mask_move_together, _WHOLE),
    Check.of(padding_is_ignored, _WHOLE),
    Check.of(ignored_pixels_stay_ignored, _WHOLE),
    Check.of(draws_follow_from_the_seed, _WHOLE),
    Check.of(samples_are_left_alone, _WHOLE),
    Check.of(it_travels_to_other_processes),
)
