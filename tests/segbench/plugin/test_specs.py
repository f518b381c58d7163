from __future__ import annotations

import dataclasses
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench import (
    BackendSpec,
    Claim,
    DatasetSpec,
    Derivation,
    Download,
    LossFormula,
    LossSpec,
    MetricSpec,
    ModelSpec,
    NoOptions,
    Normalisation,
    Options,
    PluginError,
    Progress,
    Recipe,
    Reporter,
    Task,
    option,
)
from segbench.plugin.field_types import expected
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
        ({"palette": ((0, 0, 0),)}, "the palette has 1 colour for 2 classes"),
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
        ({"reading_of": "b"}, "claim 'c': a reading of 'b' needs read_as, which distinguishes the two"),
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


VALID: dict[type, dict[str, Any]] = {
    ModelSpec: {"name": "n", "summary": "", "build": "a:b"},
    LossSpec: {"name": "n", "summary": "", "build": "a:b"},
    DatasetSpec: {"name": "n", "summary": "", "task": "a:b", "splits": ("train",), "load": "a:b"},
    BackendSpec: {"name": "n", "summary": "", "build": "a:b"},
    Recipe: {"name": "n", "summary": "", "settings": {}},
    Claim: {"name": "n", "summary": "", "subject": "s", "quantity": "miou", "comparator": "about", "value": 1.0, "source": ""},
    Reporter: {"name": "n", "summary": "", "render": "a:b"},
    Task: {"class_names": ("a", "b")},
    Normalisation: {"mean": (0.0,), "std": (1.0,)},
    Derivation: {"kind": "k", "make": "a:b", "rebuild": "a:b", "describe": "a:b"},
    LossFormula: {"function": "a:b"},
    Download: {"target": "t", "urls": ("u",)},
}


@dataclasses.dataclass(frozen=True)
class Alien:
    """A value that fits no field but those that take any."""


@pytest.mark.parametrize(("spec", "field"), [(spec, f.name) for spec in VALID for f in dataclasses.fields(spec)])
def test_every_field_of_every_spec_refuses_a_value_of_another_type(spec: type, field: str) -> None:
    spec(**VALID[spec])
    with pytest.raises(PluginError, match=rf"{field} = .*Alien\(\) does not fit: expected|'Alien\(\)' is not supported"):
        spec(**{**VALID[spec], field: Alien()})


@pytest.mark.parametrize(
    ("spec", "fields", "complaint"),
    [
        (
            ModelSpec,
            {"options": Options()},
            "model 'n': options = Options() does not fit: expected the class segbench.Options",
        ),
        (LossSpec, {"options": dict}, "loss 'n': options = <class 'dict'> does not fit"),
        (ModelSpec, {"inputs": "image"}, "model 'n': inputs = 'image' does not fit: expected a tuple, each of its values text"),
        (ModelSpec, {"parts": {"encoder": "backbone."}}, "model 'n': parts = {'encoder': 'backbone.'} does not fit: expected a mapping"),
        (ModelSpec, {"size_multiple": True}, "model 'n': size_multiple = True does not fit: expected a whole number"),
        (ModelSpec, {"size_multiple": 32.0}, "model 'n': size_multiple = 32.0 does not fit: expected a whole number"),
        (LossSpec, {"takes": "batches"}, "loss 'n': takes = 'batches' does not fit: expected 'logits' or 'batch'"),
        (
            DatasetSpec,
            {"splits": "train"},
            "dataset 'n': splits = 'train' does not fit: expected a tuple, each of its values text",
        ),
        (BackendSpec, {"devices": "cpu"}, "backend 'n': devices = 'cpu' does not fit"),
        (Recipe, {"settings": [("train.epochs", 3)]}, "recipe 'n': settings = [('train.epochs', 3)] does not fit"),
        (Claim, {"value": "5"}, "claim 'n': value = '5' does not fit: expected a number"),
        (Claim, {"value": math.nan}, "claim 'n': its figures must be finite"),
        (Reporter, {"render": 3}, "reporter 'n': render = 3 does not fit: expected text or a callable"),
        (ModelSpec, {"name": 3}, "model '3': name = 3 does not fit: expected text"),
        (Task, {"class_names": "ab"}, "task: class_names = 'ab' does not fit"),
        (Task, {"class_names": ("a", 1)}, "task: class_names = ('a', 1) does not fit"),
        (Task, {"inputs": {"image": "3"}}, "task: inputs = {'image': '3'} does not fit"),
    ],
)
def test_a_field_of_another_type_is_named_with_what_is_expected(spec: type, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PluginError) as caught:
        spec(**{**VALID[spec], **fields})
    assert str(caught.value).startswith(complaint)


def test_lists_become_the_tuples_that_are_declared() -> None:
    assert Task(class_names=["a", "b"]).class_names == ("a", "b")  # type: ignore[arg-type]
    assert ModelSpec(**{**VALID[ModelSpec], "inputs": ["sar", "optical"]}).inputs == ("sar", "optical")


def test_numbers_of_numpy_and_bare_options_are_taken() -> None:
    assert Task(class_names=("a", "b"), inputs={"image": np.int64(3)}).inputs == {"image": 3}
    assert Normalisation((np.float32(0.5),), (np.float64(0.5),)).std == (0.5,)
    assert ModelSpec(**VALID[ModelSpec], options=Options).options is Options


def test_a_plugins_subclass_of_a_spec_may_have_fields_of_its_own() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Own(ModelSpec):
        further: NotDefinedAnywhere = None  # type: ignore[name-defined] # noqa: F821

    assert Own(**VALID[ModelSpec], further=3).further == 3
    with pytest.raises(PluginError, match="model 'n': min_size"):
        Own(**{**VALID[ModelSpec], "min_size": "8"})


def test_types_are_said_in_words() -> None:
    assert expected(Any) == "any value"
    assert expected(tuple[int, int, int]) == "a tuple of 3 values: a whole number, a whole number, a whole number"
    assert expected(Derivation | None) == "a Derivation or None"


def test_a_task_gets_the_data_folder_where_it_takes_one(tmp_path: Path) -> None:
    def named(options: Options, root: Path | None) -> Task:
        return Task(class_names=(f"in {root.name}" if root else "nowhere", "other"))

    without = DatasetSpec(name="a", summary="a", task=lambda options: Task(class_names=("x", "y")), load=list, splits=("train",))
    within = DatasetSpec(name="b", summary="b", task=named, load=list, splits=("train",))

    assert without.make_task(NoOptions(), tmp_path).class_names == ("x", "y")
    assert within.make_task(NoOptions(), tmp_path).class_names[0] == f"in {tmp_path.name}"
    assert within.make_task(NoOptions(), None).class_names[0] == "nowhere"


def test_fields_of_a_model_may_depend_on_its_options() -> None:
    class Heads(Options):
        aux: bool = option(False)

    plain = ModelSpec(
        name="m", summary="", build="a:b", options=Heads, for_options=lambda o: {"aux_weights": {"aux": 0.4} if o.aux else {}}
    )
    assert plain.with_options(Heads(aux=True)).aux_weights == {"aux": 0.4}
    assert plain.with_options(Heads()).aux_weights == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"nmae": "x"}, "gives nmae, which no option may change"), ({"name": "x"}, "gives name"), ({"margin": "x"}, "margin")],
)
def test_what_options_cannot_change_is_refused(fields: dict[str, object], message: str) -> None:
    spec = ModelSpec(name="m", summary="", build="a:b", for_options=lambda options: fields)
    with pytest.raises(PluginError, match=message):
        spec.with_options(NoOptions())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"from_image": None}, "metric 'mine' needs either from_confusions or from_image"),
        ({"from_confusions": "a:b"}, "metric 'mine' needs either from_confusions or from_image"),
        ({"name": "Mean-Dice"}, "a name has lower-case letters, digits and underscores, such as mean_dice"),
        ({"unit": "px/s"}, "its unit is 'px/s'; expected %, letters such as px, or nothing"),
        ({"digits": 9}, "digits is 9; expected 0 to 6 decimals"),
        ({"better": "more"}, "better = 'more' does not fit"),
    ],
)
def test_a_metric_that_cannot_be_shown_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        MetricSpec(**{"name": "mine", "summary": "", "from_image": "a:b", **fields})
