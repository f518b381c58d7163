"""The functions of the public API: objects as models and data, without a plugin."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import segbench
from segbench import ConfigError, DataError, Sample, Task
from segbench.execution.objects import dataset_object, digest_of, model_object
from segbench.plugin import objects
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import resolve


@pytest.fixture(autouse=True)
def _no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_OBJECTS", objects._Objects())


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, classes, 1)

    def forward(self, image: torch.Tensor) -> Any:
        return self.layer(image)


class Squares(torch.utils.data.Dataset[Any]):
    """Twelve images of 16x16 whose colour is the class."""

    classes = ("a", "b", "c")

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        mask = torch.full((16, 16), index % 3)
        mask[:8] = (index + 1) % 3
        return (mask * 100).to(torch.uint8).repeat(3, 1, 1), mask


def build(task: Task) -> nn.Module:
    return Net(task.num_classes)


def test_a_module_and_a_function_are_trained_on_a_dataset_object(tmp_path: Path) -> None:
    torch.manual_seed(0)
    quick = {"measure.latency": False, "measure.memory": False, "execute.where": "inline", "train.workers": 0, "eval.pictures": 0}
    parts = {"train": Squares(), "val": Squares()}
    given: dict[str, Any] = {"out": tmp_path / "run", "settings": quick, "device": "cpu", "image_size": 16, "batch_size": 4, "lr": 0.1}
    result = segbench.run({"mine": Net(), "made": build}, parts, epochs=2, losses="ce", recipe="smoke", **given)
    assert [(cell.model, cell.status) for cell in result.cells] == [("mine", "ok"), ("made", "ok")]
    assert [segbench.load_run(tmp_path / "run").cells[0].quality] == [result.cells[0].quality]
    again = segbench.evaluate(tmp_path / "run", split="train", device="cpu")
    assert {cell.quality.split for cell in again.cells if cell.quality} == {"train"}


def test_masks_are_scored_on_a_dataset_object(tmp_path: Path) -> None:
    for index in range(12):
        Image.fromarray(Squares()[index][1].numpy().astype(np.uint8)).save(tmp_path / f"{index}.png")
    parts = {"test": Squares()}
    result = segbench.score({"right": tmp_path}, parts, split="test")
    assert [(cell.model, cell.quality.miou) for cell in result.cells if cell.quality] == [("right", 1.0)]


def test_objects_reach_worker_processes_with_their_identity() -> None:
    objects.offer(model_object(Net(), "mine"))
    content = objects.payload()
    objects._OBJECTS.specs.clear()
    objects.accept(content)
    chosen = load_catalog().model("mine")
    network = resolve(chosen.spec.build)(Task(class_names=("a", "b", "c")), chosen.options)
    assert isinstance(network, nn.Module)
    assert chosen.code.identity == f"objects=={chosen.plugin.version}"


def test_profile_takes_a_module() -> None:
    inline = {"execute.where": "inline"}
    result = segbench.profile(Net(), inputs="image=3", num_classes=3, input_size=32, latency=False, settings=inline, device="cpu")
    assert (result.cells[0].params, result.cells[0].macs) == (12, 3 * 3 * 32 * 32)


def test_an_identity_is_that_of_code_and_weights() -> None:
    first = Net()
    same, other = Net(), Net()
    same.load_state_dict(first.state_dict())
    assert digest_of(first) == digest_of(same) != digest_of(other)
    assert digest_of(build) == digest_of(build)


@pytest.mark.parametrize(
    "item",
    [
        (np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), np.uint8)),
        (Image.new("RGB", (6, 4)), Image.new("L", (6, 4), 1)),
        {"image": torch.zeros(3, 4, 6), "mask": torch.ones(1, 4, 6, dtype=torch.uint8)},
        Sample({"image": torch.zeros(3, 4, 6)}, torch.ones(4, 6, dtype=torch.int64), "x"),
    ],
    ids=["arrays", "PIL", "mapping", "Sample"],
)
def test_items_as_people_write_them(item: Any) -> None:
    spec = dataset_object({"train": [item]}, classes=["a", "b"]).spec
    sample = resolve(spec.load)(None, "train", None)[0]  # type: ignore[union-attr]
    assert (tuple(sample.inputs["image"].shape), sample.mask.dtype) == ((3, 4, 6), torch.int64)
    assert sample.mask.tolist() == [[1] * 6] * 4


def test_a_whole_dataset_is_divided_and_no_sample_is_lost() -> None:
    spec = dataset_object(Squares()).spec
    ids = [sample.id for split in ("train", "val", "test") for sample in resolve(spec.load)(None, split, None)]  # type: ignore[union-attr]
    assert sorted(ids, key=int) == [str(i) for i in range(12)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model_object(3), "a model is a name, a torch.nn.Module, a function"),
        (lambda: dataset_object({"train": [(np.zeros((4, 4, 3)), np.zeros((4, 4)))]}), "give classes="),
        (lambda: dataset_object(3, classes=["a", "b"]), "not int"),
        (lambda: dataset_object({"train": [iter(())]}, classes=["a", "b"]), "sample first is tuple_iterator"),
        (lambda: dataset_object({"train": [{"x": 1}]}, classes=["a", "b"]), "has the keys x, but none of image"),
        (lambda: segbench.run("deeplab-optimized", "shapes", classes=["a"]), "classes name those of a dataset object"),
        (lambda: digest_of(threading.Lock()), "cannot be pickled"),
    ],
)
def test_what_is_no_model_or_dataset_is_refused(call: Any, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        call()
