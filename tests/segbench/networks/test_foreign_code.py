"""Guards around a plugin's network: its calls, its process, its copies."""

from __future__ import annotations

import importlib
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import ModelSpec, NoOptions, PluginError, Task
from segbench.networks.copies import copy_fault, was_copied
from segbench.networks.foreign import collected_remarks, remark, seeded, unchanged_process
from segbench.networks.network import Network, build_network, deploy
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation
from segbench.training.teacher import Teacher

TASK = Task(class_names=("a", "b"))
Build = Callable[[Task], nn.Module]


@pytest.fixture(scope="module")
def foreign() -> Iterator[Any]:
    """The plugin of such networks."""
    folder = str(Path(__file__).parents[2] / "plugins_under_test")
    sys.path.insert(0, folder)
    yield importlib.import_module("segbench_foreign")
    sys.path.remove(folder)


def network_of(build: Build, **fields: Any) -> Network:
    spec = ModelSpec(name="net", summary="", build=lambda task, _: build(task), **fields)
    return build_network(spec, TASK, NoOptions(), seed=0)


def images(count: int = 1, side: int = 16) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["InPlace", "HiddenInPlace"])
@pytest.mark.parametrize("mode", ["train", "no_grad", "inference"])
def test_a_callers_input_is_never_changed(foreign: Any, name: str, mode: str) -> None:
    network = network_of(getattr(foreign, name)).train(mode == "train")
    with collected_remarks() as remarks, torch.inference_mode(mode == "inference"), torch.set_grad_enabled(mode == "train"):
        image = images()
        before = image.clone()
        logits = [network(image)["logits"] for _ in range(4)]
    assert torch.equal(image, before)
    assert mode == "train" or all(torch.equal(each, logits[0]) for each in logits)
    assert remarks == ["forward of model 'net' works on its input in place: it is given copies"]


def test_an_input_that_is_changed_late_is_an_error(foreign: Any) -> None:
    network, image = network_of(foreign.LateInPlace).eval(), images()
    for _ in range(4):
        network(image)
    with torch.no_grad(), pytest.raises(PluginError, match="changed its input in place, which its first calls at this size had left alone"):
        network(image)


def test_the_compiled_graph_of_a_network_that_works_in_place_holds_the_copy(foreign: Any) -> None:
    network, image = network_of(foreign.InPlace).eval(), images()
    with torch.no_grad():
        expected = network(image)["logits"]
        graph = torch.export.export(deploy(network), (image,)).module()
        before = image.clone()
        found = graph(image)
    torch.testing.assert_close(found, expected)
    assert torch.equal(image, before)


def test_a_teacher_leaves_the_students_images_alone(foreign: Any) -> None:
    plan = InputPlan((("image",),), (3,), {"image": Normalisation((0.0,) * 3, (1.0,) * 3)})
    teacher, batch = Teacher(network_of(foreign.InPlace), own=plan, student=plan, device="cpu"), images(2)
    before = batch.clone()
    first, second = (teacher([batch], (16, 16)) for _ in range(2))
    assert torch.equal(batch, before)
    assert torch.equal(first, second)


def test_a_network_that_seeds_repeats_nothing_else(foreign: Any) -> None:
    network = network_of(foreign.Seeds).train()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        np.random.seed(7)
        random.seed(7)
        drawn = []
        for _ in range(4):
            network(images(2))
            drawn.append((float(torch.rand(())), float(np.random.random()), random.random()))
    for numbers in zip(*drawn[1:], strict=True):  # numpy's and python's show in the second call
        assert len(set(numbers)) == 3


def test_a_network_that_draws_is_not_taken_for_one_that_seeds() -> None:
    class Draws(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            np.random.random()
            random.random()
            return functional.dropout(image[:, :2], 0.5, training=True)

    network = network_of(lambda task: Draws())
    with collected_remarks() as remarks:
        first, second = (network(images())["logits"] for _ in range(2))
    assert remarks == []
    assert not torch.equal(first, second)


def test_a_build_follows_its_seed_in_all_generators_and_leaves_them_alone() -> None:
    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            values = [float(np.random.random()), random.random(), float(torch.rand(()))]
            self.values = nn.Parameter(torch.tensor(values))
            warnings.simplefilter("ignore")

    def state() -> Any:
        numbers: Any = np.random.get_state()
        return numbers[1].tolist(), random.getstate(), torch.get_rng_state().tolist(), list(warnings.filters)

    before = state()
    first, second = (network_of(lambda task: Noise()).model.state_dict()["values"] for _ in range(2))
    assert torch.equal(first, second)
    assert state() == before


def test_settings_are_put_back_also_where_the_code_fails() -> None:
    folder, dtype = os.getcwd(), torch.get_default_dtype()

    def fail() -> None:
        torch.set_default_dtype(torch.float64)
        os.chdir("/")
        torch.set_default_device("meta")
        raise ValueError("x")

    with collected_remarks() as remarks, pytest.raises(ValueError, match="x"), unchanged_process("it"):
        fail()
    assert (os.getcwd(), torch.get_default_dtype(), str(torch.get_default_device())) == (folder, dtype, "cpu")
    assert remarks[0] == "it changed the default dtype from torch.float32 to torch.float64: put back"
    assert len(remarks) == 3


def test_remarks_reach_every_collection_around_them_once() -> None:
    with collected_remarks() as outer:
        with collected_remarks() as inner:
            remark("one")
            remark("one")
        with seeded(None, "it"):
            remark("two")
    remark("nobody collects")
    assert (outer, inner) == (["one", "two"], ["one"])


def test_lazy_layers_get_their_shapes_from_the_seed(foreign: Any) -> None:
    first, second = (network_of(foreign.Lazy).model.state_dict() for _ in range(2))
    assert first["net.0.weight"].shape == (6, 3, 3, 3)
    assert torch.equal(first["net.3.weight"], second["net.3.weight"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.LazyConv2d(4, 3), nn.Linear(7, 2)), "has lazy layers (0.weight, 0.bias), and the pass over 64x64 pixels"),
        (
            nn.ModuleDict({"used": nn.Conv2d(3, 2, 1), "unused": nn.LazyConv2d(4, 3)}),
            "that forward does not call in eval mode (unused.weight",
        ),
    ],
)
def test_lazy_layers_that_get_no_shape_are_refused(network: nn.Module, message: str) -> None:
    if isinstance(network, nn.ModuleDict):
        network.forward = network["used"].forward
    with pytest.raises(PluginError) as raised:
        network_of(lambda task: network)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Plain", ""),
        ("Dropout", ""),
        ("StaleFeatures", "computes something else"),
        ("BorrowedBody", "still computes with the original's weights"),
    ],
)
def test_a_copy_that_is_no_network_of_its_own_is_noticed(foreign: Any, name: str, fault: str) -> None:
    network = deploy(network_of(getattr(foreign, name)))
    assert not was_copied(network)
    found = copy_fault(network, (images(),))
    assert was_copied(network)
    assert fault in found
    assert bool(found) == bool(fault)
