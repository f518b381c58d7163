from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from segbench import Claim, DatasetSpec, ModelSpec, NoOptions, Normalisation, PluginError, Progress, Task
from segbench.plugin.specs import resolve

RGB = Normalisation((0.5,) * 3, (0.2,) * 3, 1 / 255)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"class_names": ("a",)}, "at least two classes"),
        ({"class_names": ("a", "a")}, "class names must differ: a, a"),
        ({"inputs": {}}, "at least one input"),
        ({"inputs": {"image": 0}}, "at least one channel"),
        ({"ignore_index": 1}, "ignore_index 1 is also the class 'b'"),
        ({"palette": ((0, 0, 0),)}, "the palette has 1 colours for 2 classes"),
        ({"headline": "c"}, "headline class 'c' is not among the classes"),
        ({"normalisation": {"sar": RGB}}, "normalisation of 'sar' does not fit"),
        ({"inputs": {"image": 1}, "normalisation": {"image": RGB}}, "normalisation of 'image' does not fit"),
        ({"kind": "multilabel"}, "task kind 'multilabel' is not supported: segbench scores one class per pixel"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        Task(**{"class_names": ("a", "b"), **fields})


def test_a_task_travels_to_workers() -> None:
    task = Task(class_names=("a", "b"), normalisation={"image": RGB}, ignore_index=-1, headline="b")
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.num_classes == 2


@pytest.mark.parametrize(
    ("mean", "std", "scale"),
    [((), (), 1.0), ((0.0,), (1.0, 1.0), 1.0), ((0.0,), (0.0,), 1.0), ((math.nan,), (1.0,), 1.0), ((0.0,), (1.0,), math.inf)],
)
def test_normalisations_that_cannot_be_applied_are_refused(mean: tuple[float, ...], std: tuple[float, ...], scale: float) -> None:
    with pytest.raises(PluginError, match="normalisation needs"):
        Normalisation(mean, std, scale)


def test_import_strings_are_resolved_and_faults_are_named() -> None:
    assert resolve("math:sqrt")(9) == 3
    assert resolve("collections:OrderedDict.fromkeys")("ab") == {"a": None, "b": None}
    for ref, complaint in {
        "math.sqrt": "'math.sqrt' is not of the form 'package.module:function'",
        "math:squareroot": "'math:squareroot': module math has no 'squareroot'",
        "math:pi": "'math:pi' is not callable",
    }.items():
        with pytest.raises(PluginError) as caught:
            resolve(ref)
        assert str(caught.value) == complaint
    with pytest.raises(ModuleNotFoundError):
        resolve("no_such_module_anywhere:build")


def test_specs_take_named_fields_only_and_are_final() -> None:
    spec = ModelSpec(name="net", summary="", build="a:b")
    with pytest.raises(AttributeError):
        spec.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ModelSpec("net", "", "a:b")  # type: ignore[call-arg]


def test_splits_may_depend_on_options() -> None:
    fixed = DatasetSpec(name="d", summary="", task="a:b", load="a:b", splits=("train", "val"))
    asked = DatasetSpec(name="d", summary="", task="a:b", load="a:b", splits=lambda options: ["train"])
    assert fixed.split_names(NoOptions()) == ("train", "val")
    assert asked.split_names(NoOptions()) == ("train",)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"comparator": "range"}, "claim c: a range needs high >= value"),
        ({"comparator": "range", "high": 0.5}, "claim c: a range needs high >= value"),
        ({"reading": "ratio"}, "claim c: a ratio needs a baseline"),
    ],
)
def test_claims_that_cannot_be_judged_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        Claim(
            **{"name": "c", "summary": "", "subject": "x", "quantity": "params", "comparator": "about", "value": 1, "source": "", **fields}
        )


def test_progress_is_a_share_of_all_steps() -> None:
    assert Progress(epoch=1, epochs=4, step=25, steps=100).share == 0.25
    assert Progress(epoch=0, epochs=0, step=0, steps=0).share == 0
