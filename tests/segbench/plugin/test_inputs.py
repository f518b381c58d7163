from __future__ import annotations

from typing import Any

import pytest

from segbench import ConfigError, ModelSpec, NoOptions, Normalisation, PluginError, Task
from segbench.plugin.inputs import plan_inputs

RGB = Normalisation((0.5,) * 3, (0.2,) * 3, 1 / 255)
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1 / 255)
DB = Normalisation((-9.0, -17.0), (4.0, 4.0))


def task(inputs: dict[str, int], **fields: Any) -> Task:
    return Task(class_names=("a", "b"), inputs=inputs, **fields)


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(name="net", summary="", build="nowhere:build", **fields)


def test_a_one_image_model_takes_the_image() -> None:
    plan, seen = plan_inputs(spec(), task({"image": 3}, normalisation={"image": RGB}), NoOptions())
    assert (plan.groups, plan.channels, plan.early_fusion) == ((("image",),), (3,), False)
    assert plan.normalisation == {"image": RGB}
    assert seen.inputs == {"image": 3}


def test_a_one_image_model_gets_several_inputs_as_channels_of_one() -> None:
    plan, seen = plan_inputs(spec(), task({"sar": 2, "optical": 13}, normalisation={"sar": DB}, rgb=()), NoOptions())
    assert (plan.groups, plan.channels, plan.early_fusion) == ((("sar", "optical"),), (15,), True)
    assert seen.inputs == {"image": 15}
    assert seen.rgb == ()
    assert plan.missing_normalisation() == ("optical",)
    # what is computed fills gaps only
    filled = plan.with_normalisation({"sar": RGB, "optical": RGB})
    assert filled.normalisation == {"sar": DB, "optical": RGB}
    assert filled.missing_normalisation() == ()


def test_a_single_input_of_another_name_is_the_image_and_no_fusion() -> None:
    given = task({"photo": 3}, normalisation={"photo": RGB}, rgb=("photo",))
    plan, seen = plan_inputs(spec(), given, NoOptions())
    assert (plan.groups, plan.early_fusion) == ((("photo",),), False)
    assert (seen.inputs, seen.normalisation, seen.rgb) == ({"image": 3}, {"image": RGB}, ("image",))


def test_a_two_input_model_gets_them_in_its_own_order() -> None:
    plan, seen = plan_inputs(spec(inputs=("optical", "sar")), task({"sar": 2, "optical": 13}, rgb=()), NoOptions())
    assert (plan.groups, plan.channels) == ((("optical",), ("sar",)), (13, 2))
    assert seen.inputs == {"sar": 2, "optical": 13}


def test_inputs_that_are_missing_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_inputs(spec(inputs=("sar", "optical")), task({"image": 3}), NoOptions())
    assert str(caught.value) == (
        "model 'net' takes the inputs 'sar', 'optical', but the dataset gives 'image'. "
        "Choose a dataset with these inputs, or a one-image model."
    )


def test_channels_that_the_model_cannot_take_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model 'net' takes 1 or 3 channels as 'image', but the dataset gives 15\."):
        plan_inputs(spec(channels={"image": (1, 3)}), task({"sar": 2, "optical": 13}, rgb=()), NoOptions())


def test_a_pretrained_encoders_own_normalisation_wins() -> None:
    own = spec(normalise=lambda task, options: {"image": IMAGENET})
    for name in ("image", "photo"):
        plan, _ = plan_inputs(own, task({name: 3}, normalisation={name: RGB}, rgb=()), NoOptions())
        assert plan.normalisation == {name: IMAGENET}
    none = spec(normalise=lambda task, options: None)
    assert plan_inputs(none, task({"image": 3}, normalisation={"image": RGB}), NoOptions())[0].normalisation == {"image": RGB}


def test_a_normalisation_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PluginError, match="model 'net': normalise gives 3 means for 15 channels of 'image'"):
        plan_inputs(spec(normalise=lambda task, options: {"image": IMAGENET}), task({"sar": 2, "optical": 13}, rgb=()), NoOptions())
    with pytest.raises(PluginError, match="model 'net': normalise speaks of the input 'rgb', but the model takes 'image'"):
        plan_inputs(spec(normalise=lambda task, options: {"rgb": IMAGENET}), task({"image": 3}), NoOptions())
