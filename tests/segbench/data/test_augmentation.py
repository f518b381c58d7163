"""Augmentations of plugins: what goes in, what comes back, and from which seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from segbench.config.settings import TrainSettings
from segbench.data.augmentation import PluginAugmentation, seeded
from segbench.data.loaders import train_loader
from segbench.data.samples import Fields
from segbench.data.transforms import POLICIES
from segbench.errors import ConfigError, PluginError
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Chosen, Plugin
from segbench.plugin.inputs import InputPlan
from segbench.plugin.options import NoOptions
from segbench.plugin.specs import BUILT_IN_AUGMENTATIONS, AugmentationSpec, Normalisation, Sample, Task

NORMS = {"image": Normalisation((0.5,) * 3, (0.25,) * 3, scale=1 / 255), "depth": Normalisation((0.0,), (1.0,))}
TASK = Task(class_names=("a", "b", "c"), inputs={"image": 3, "depth": 1}, normalisation=NORMS)
PLAN = InputPlan((("image",), ("depth",)), (3, 1), NORMS)
SIZE = (12, 16)


def chosen(transform: Callable[..., Any], **fields: Any) -> Chosen[AugmentationSpec]:
    spec = AugmentationSpec(**{"name": "mine", "summary": "", "build": lambda task, options, size: transform, **fields})
    return Chosen(Choice("mine"), spec, NoOptions(), Plugin("pack:mine"))


def fields(size: tuple[int, int] = SIZE) -> Fields:
    mask = torch.arange(size[0] * size[1]).reshape(size) % 3
    mask[0] = 255
    return Fields({"image": (mask * 50).to(torch.uint8).expand(3, -1, -1), "depth": mask[None].float()}, mask.to(torch.uint8), "sample 7")


def samples(count: int = 8) -> list[Sample]:
    one = fields((18, 24))
    return [Sample(one.inputs, one.mask.to(torch.int64).roll(index), f"s{index}") for index in range(count)]


FLIP = v2.RandomHorizontalFlip()


def test_the_names_that_need_no_plugin_are_the_loaders_policies() -> None:
    assert BUILT_IN_AUGMENTATIONS == POLICIES


def test_inputs_and_mask_move_together_as_whole_numbers_and_keep_their_dtypes() -> None:
    crop = v2.RandomResizedCrop(SIZE, scale=(0.3, 0.9), antialias=True)
    augmentation = PluginAugmentation(chosen(crop, native=True), TASK)
    with seeded(3):
        moved = augmentation(fields((40, 30)), SIZE)
    assert (moved.inputs["image"].dtype, moved.inputs["depth"].dtype, moved.mask.dtype) == (torch.uint8, torch.float32, torch.uint8)
    assert type(moved.inputs["image"]) is type(moved.mask) is torch.Tensor
    assert set(moved.mask.ravel().tolist()) <= {0, 1, 2, 255}

    nearest = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0)])
    turned = PluginAugmentation(chosen(nearest), TASK)(fields(), SIZE)
    assert torch.equal(turned.mask, fields().mask.flip(0, 1))
    assert torch.equal(turned.inputs["depth"][0].to(torch.uint8), turned.mask)
    assert torch.equal(turned.inputs["image"][0], (turned.mask.to(torch.int64) * 50).to(torch.uint8))


def test_the_sample_is_no_longer_the_cache_s() -> None:
    def spoils(inputs: Any, mask: Any) -> Any:
        for value in (*inputs.values(), mask):
            value.zero_()
        return inputs, mask

    before = fields()
    PluginAugmentation(chosen(spoils), TASK)(before, SIZE)
    assert torch.equal(before.mask, fields().mask)
    assert torch.equal(before.inputs["depth"], fields().inputs["depth"])


def draws(inputs: Any, mask: Any) -> Any:
    """All three sources of random numbers, in the first input."""
    mask[0, :3] = torch.tensor([int(torch.randint(3, ())), random.randrange(3), int(np.random.randint(3))])
    inputs["depth"][0, 0, :3] = torch.tensor([float(torch.rand(())), random.random(), float(np.random.rand())])
    return inputs, mask


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_from_the_seed_with_workers_or_without_and_others_draws_go_on(workers: int) -> None:
    def epoch(workers: int) -> list[torch.Tensor]:
        settings = TrainSettings(batch_size=4, image_size="12x16", workers=workers, augmentation="mine")
        loader = train_loader(samples(), task=TASK, plan=PLAN, settings=settings, seed=7, augmentation=chosen(draws, adds_labels=True))
        batches = [batch.inputs[1] for batch in loader]
        loader.close()
        return batches

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), np.random.rand(), float(torch.rand(())))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    found = epoch(workers)
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected
    assert all(map(torch.equal, found, epoch(0)))
    assert len({float(value) for batch in found for value in batch[:, 0, 0, :3].ravel()}) == 24


def test_a_transform_at_native_size_gets_the_whole_sample() -> None:
    sizes = set()

    def crop(inputs: Any, mask: Any) -> Any:
        sizes.add(tuple(mask.shape))
        return {name: image[..., :12, :16] for name, image in inputs.items()}, mask[:12, :16]

    settings = TrainSettings(batch_size=4, image_size="12x16", workers=0, augmentation="mine")
    loader = train_loader(samples(), task=TASK, plan=PLAN, settings=settings, seed=7, augmentation=chosen(crop, native=True))
    assert [tuple(batch.mask.shape) for batch in loader] == [(4, 12, 16)] * 2
    assert sizes == {(18, 24)}


def test_a_plugin_s_name_without_the_plugin_is_refused() -> None:
    settings = TrainSettings(batch_size=4, image_size="12x16", workers=0, augmentation="mine")
    with pytest.raises(ConfigError, match=r"train\.augmentation=mine is a plugin's"):
        train_loader(samples(), task=TASK, plan=PLAN, settings=settings, seed=7)


def with_input(image: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda inputs, mask: ({**inputs, "image": image(inputs["image"])}, mask)


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (lambda inputs, mask: mask, r"returned Mask: expected \(inputs, mask\)"),
        (lambda inputs, mask: ({"image": inputs["image"]}, mask), "returned the inputs image: expected image, depth"),
        (with_input(lambda image: image[:, :8]), r"input 'image' in the shape 3x8x16: expected 3x12x16, the size 12x16 that it was given"),
        (with_input(lambda image: image[:1]), "in the shape 1x12x16: expected 3x12x16"),
        (with_input(lambda image: image.float() / 255), "as float32 where uint8 came in: leave out conversions such as ToDtype"),
        (with_input(lambda image: image.numpy()), "input 'image' as ndarray: expected a tensor"),
        (lambda inputs, mask: ({**inputs, "depth": inputs["depth"] / 0}, mask), "values in input 'depth' that are not finite"),
        (lambda inputs, mask: (inputs, mask[None]), "the mask as 1x12x16: expected the shape 12x16"),
        (lambda inputs, mask: (inputs, mask.float()), "the mask as float32: expected whole numbers"),
        (lambda inputs, mask: (inputs, mask + 1), r"the label 256: expected 0 to 2, or 255 for ignored"),
        (lambda inputs: inputs, "raised TypeError"),
    ],
)
def test_what_comes_back_wrong_is_refused_by_the_plugins_name(transform: Callable[..., Any], reason: str) -> None:
    with pytest.raises(PluginError, match=rf"Augmentation 'mine' \(plugin pack:mine\) .*{reason}.*Sample: sample 7"):
        PluginAugmentation(chosen(transform), TASK)(fields(), SIZE)


def test_a_build_that_fails_is_named() -> None:
    def build(task: Task, options: Any, size: Any) -> Any:
        raise ValueError("no such policy")

    with pytest.raises(PluginError, match=r"Augmentation 'mine' \(plugin pack:mine\): build raised ValueError: no such policy"):
        PluginAugmentation(chosen(FLIP, build=build), TASK)(fields(), SIZE)


def test_padding_with_a_class_is_refused_before_training() -> None:
    settings = TrainSettings(batch_size=4, image_size="12x16", workers=0, augmentation="mine")

    def loader(transform: Any, **fields: Any) -> Any:
        return train_loader(samples(), task=TASK, plan=PLAN, settings=settings, seed=7, augmentation=chosen(transform, **fields))

    with pytest.raises(PluginError, match=r"class 2 alone as class 0: give the transforms that pad fill=\{tv_tensors.Mask: 255, ..\}"):
        loader(v2.RandomRotation(30))
    loader(v2.RandomRotation(30, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}))
    loader(v2.RandomRotation(30), adds_labels=True)
