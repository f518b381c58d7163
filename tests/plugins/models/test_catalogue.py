"""The networks against the catalogue page's statements about the models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from segbench import Task, parse_choice
from segbench_plugins import models
from segbench_plugins.models import deeplab, flood

BUILDERS: dict[str, Callable[[Task, Any], nn.Module]] = {
    "deeplab-original": deeplab.build,
    "deeplab-optimized": deeplab.build,
    "flood-original": flood.build_original,
    "flood-efficient": flood.build_efficient,
}
SPECS = {spec.name: spec for spec in models.segbench_models()}
VARIANTS = [
    "deeplab-original",
    "deeplab-optimized",
    "deeplab-original[mid_channels=16,decoder=separable]",
    "flood-original",
    "flood-efficient",
    "flood-original[encoder=resnet18,dual_decoder=false,fusion=weighted]",
    "flood-efficient[aspp=true,cbam=true,fusion=gate]",
]


def build(text: str, num_classes: int) -> nn.Module:
    choice = parse_choice(text)
    spec = SPECS[choice.name]
    channels = {"image": 3} if spec.inputs == ("image",) else {"sar": 2, "optical": 13}
    task = Task(class_names=tuple(f"c{i}" for i in range(num_classes)), inputs=channels)
    with torch.device("meta"):
        return BUILDERS[choice.name](task, spec.options.resolve(dict(choice.options)))


@pytest.mark.parametrize("text", VARIANTS)
def test_each_parameter_belongs_to_exactly_one_part(text: str) -> None:
    spec = SPECS[parse_choice(text).name]
    for name, _ in build(text, 2).named_parameters():
        assert sum(name.startswith(prefixes) for prefixes in spec.parts.values()) == 1, name


@pytest.mark.parametrize("text", VARIANTS)
def test_all_that_depends_on_the_number_of_classes_is_in_the_head(text: str) -> None:
    spec = SPECS[parse_choice(text).name]
    two, five = (dict(build(text, k).named_parameters()) for k in (2, 5))
    assert two.keys() == five.keys()
    changed = [name for name in two if two[name].shape != five[name].shape]
    assert changed
    assert all(name.startswith(spec.head) for name in changed)


def test_the_builders_named_in_the_specs_are_these() -> None:
    of_libraries = {"smp", "torchvision", "transformers", "timm"}
    named = {name: spec.build for name, spec in SPECS.items() if not spec.given and name not in of_libraries}
    assert {name: f"{b.__module__}:{b.__name__}" for name, b in BUILDERS.items()} == named


def test_presets_differ_in_defaults_only() -> None:
    assert models.DeepLabOptions.resolve().values().keys() == models.DeepLabOptimizedOptions.resolve().values().keys()
    assert models.FloodOptions.resolve().values().keys() == models.FloodEfficientOptions.resolve().values().keys()
    wide = models.DeepLabOptimizedOptions.resolve(models.DeepLabOptions.resolve().values())
    with torch.device("meta"):
        assert sum(p.numel() for p in deeplab.DeepLab(21, 3, wide).parameters()) == 6_831_509


def test_the_catalogue_page_imports_neither_torch_nor_an_adapted_library() -> None:
    heavy = {"torch", "timm", "torchvision", "transformers", "segmentation_models_pytorch", "huggingface_hub"}
    code = f"import sys, segbench_plugins.models, segbench_plugins.backends; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
