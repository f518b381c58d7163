"""A walk from one model to another, one option at a time."""

from __future__ import annotations

from typing import Any

import pytest

from segbench import ConfigError, ModelSpec, Options, hookimpl, option
from segbench.execution.plan.ablation import models_of, walk
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog, load_catalog


class WideOptions(Options):
    width: int = option(64)
    rates: tuple[int, ...] = option((1, 6))
    kind: str = option("plain")
    pretrained: bool = option(False)


class NarrowOptions(WideOptions):
    width: int = option(32)
    rates: tuple[int, ...] = option((1,))
    kind: str = option("separable")


class OtherOptions(Options):
    width: int = option(64)
    heads: int = option(2)


class Plans:
    """Two presets of one network, a network built by other code, and one with other options."""

    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [
            ModelSpec(name="wide", summary="", build="nowhere:build", options=WideOptions),
            ModelSpec(name="narrow", summary="", build="nowhere:build", options=NarrowOptions),
            ModelSpec(name="twin", summary="", build="elsewhere:build", options=NarrowOptions),
            ModelSpec(name="other", summary="", build="nowhere:build", options=OtherOptions),
        ]


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    catalog.add(Plans(), Plugin(name="plans", package="plans"))
    return catalog


def resolved(catalog: Catalog, text: str) -> dict[str, Any]:
    return catalog.model(text).options.values()


def test_each_step_changes_one_more_option_and_the_last_is_the_end_itself(catalog: Catalog) -> None:
    ablation = walk("wide", "narrow", catalog)
    assert models_of(ablation) == ("wide", "wide[width=32]", "wide[rates=(1),width=32]", "narrow")
    assert [(s.option, s.before, s.after) for s in ablation.steps] == [
        ("width", "64", "32"),
        ("rates", "(1,6)", "(1)"),
        ("kind", "plain", "separable"),
    ]
    texts = models_of(ablation)
    for step, one, other in zip(ablation.steps, texts, texts[1:], strict=False):
        before, after = resolved(catalog, one), resolved(catalog, other)
        assert [name for name in before if before[name] != after[name]] == [step.option], "one step, one option"
        assert (step.baseline, step.subject) == (one, other)


def test_the_user_chooses_the_order(catalog: Catalog) -> None:
    ablation = walk("wide", "narrow", catalog, order=["kind", "width", "rates"])
    assert models_of(ablation) == ("wide", "wide[kind=separable]", "wide[kind=separable,width=32]", "narrow")


def test_brackets_and_model_settings_hold_along_the_walk(catalog: Catalog) -> None:
    ablation = walk("wide[pretrained=true]", "narrow", catalog, model_settings={"width": 48, "unknown": 1, "pretrained": True})
    assert models_of(ablation) == ("wide[pretrained=true]", "wide[pretrained=true,rates=(1)]", "narrow")
    assert models_of(walk("wide", "wide[kind=x,width=1]", catalog)) == ("wide", "wide[width=1]", "wide[kind=x,width=1]")


@pytest.mark.parametrize(
    ("start", "end", "order", "words"),
    [
        ("wide", "wide[width=64]", None, "nothing to walk"),
        ("wide", "other", None, "different networks. No step can change heads, kind, pretrained and rates"),
        ("wide[width=8]", "twin", None, r"different code.* 'wide\[width=8\]' 'wide\[kind=separable,rates=\(1\),width=32\]'"),
        ("wide", "narrow", ["kind", "width", "rate"], "'rate' is not among the options that differ. Did you mean 'rates'"),
        ("wide", "narrow", ["kind"], "--order lacks width and rates"),
        ("wide", "narrow", ["kind", "width", "rates", "kind"], "--order names an option twice"),
    ],
)
def test_what_cannot_be_walked_is_refused_with_what_to_do(
    catalog: Catalog, start: str, end: str, order: list[str] | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        walk(start, end, catalog, order=order)


def test_the_built_in_presets_are_one_walk_of_seven_steps() -> None:
    catalog = load_catalog()
    ablation = walk("deeplab-original", "deeplab-optimized", catalog)
    assert [step.option for step in ablation.steps] == [
        "aspp_channels", "aspp_rates", "aspp_dropout", "low_channels", "mid_channels", "decoder_channels", "decoder",
    ]  # fmt: skip
    changes = {step.option: resolved(catalog, "deeplab-optimized")[step.option] for step in ablation.steps}
    all_changed = catalog.model(catalog.model("deeplab-original").choice.with_options(**changes))
    assert all_changed.options.values() == resolved(catalog, "deeplab-optimized"), "the last step is END by another name"
    with pytest.raises(ConfigError, match="different code"):
        walk("flood-original", "flood-efficient", catalog)
