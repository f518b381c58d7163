from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import ValidationError

from segbench import NoOptions, OptionError, Options, PluginError, option
from segbench.plugin.options import describe, describe_type


class Everything(Options):
    width: int = option(8, minimum=1, maximum=64, help="channels")
    rate: float = option(0.5, minimum=0)
    flag: bool = False
    encoder: str = "resnet18"
    mode: Literal["a", "b"] = "a"
    rates: tuple[int, ...] = option((1, 6), minimum=1)
    weights: str | None = None
    both: int | tuple[int, ...] = 1


class Wider(Everything):
    width: int = option(16, minimum=1)
    more: bool = True


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"width": 4}, 4),
        ({"rate": 2}, 2.0),
        ({"flag": True}, True),
        ({"encoder": "x"}, "x"),
        ({"mode": "b"}, "b"),
        ({"rates": [2, 3]}, (2, 3)),
        ({"rates": ()}, ()),
        ({"weights": "none"}, None),
        ({"weights": None}, None),
        ({"weights": "file.pt"}, "file.pt"),
        ({"both": (1, 2)}, (1, 2)),
    ],
)
def test_values_that_fit(given: dict[str, Any], expected: Any) -> None:
    (name,) = given
    resolved = Everything.resolve(given).values()
    assert resolved[name] == expected
    assert type(resolved[name]) is type(expected)
    assert {k: v for k, v in resolved.items() if k != name} == {k: v for k, v in Everything().values().items() if k != name}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"width": 1.5}, "net: width = 1.5 does not fit: expected a whole number"),
        ({"width": True}, "net: width = True does not fit: expected a whole number"),
        ({"width": 0}, "net: width = 0 does not fit: expected at least 1"),
        ({"width": 65}, "net: width = 65 does not fit: expected at most 64"),
        ({"rate": float("nan")}, "net: rate = nan does not fit: expected a finite number"),
        ({"flag": 1}, "net: flag = 1 does not fit: expected true or false"),
        ({"encoder": 18}, "net: encoder = 18 does not fit: expected text"),
        ({"mode": "c"}, "net: mode = 'c' does not fit: expected 'a' or 'b'"),
        ({"rates": 6}, "net: rates = 6 does not fit: expected a list of whole numbers in parentheses"),
        ({"rates": (1, 0)}, "net: rates = (1, 0) does not fit: expected at least 1"),
        ({"weights": 3}, "net: weights = 3 does not fit: expected text or 'none'"),
        (
            {"encodr": "x"},
            "net: unknown option 'encodr'. Did you mean 'encoder'? It has: width, rate, flag, encoder, mode, rates, weights, both.",
        ),
    ],
)
def test_values_that_do_not_fit(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(OptionError) as caught:
        Everything.resolve(given, owner="net")
    assert str(caught.value) == complaint


def test_a_whole_number_too_large_for_a_float_does_not_fit() -> None:
    with pytest.raises(OptionError, match="expected a number"):
        Everything.resolve({"rate": 10**400})


def test_a_plugin_without_options_says_so() -> None:
    assert NoOptions.resolve().values() == {}
    with pytest.raises(OptionError, match=r"unknown option 'x'\. It has no options\."):
        NoOptions.resolve({"x": 1})


def test_options_are_frozen_keyword_only_and_comparable() -> None:
    options = Everything(width=3)
    with pytest.raises(ValidationError, match="Instance is frozen"):
        options.width = 4  # type: ignore[misc]
    assert options == Everything.resolve({"width": 3})
    assert hash(options) == hash(Everything(width=3))


def test_what_is_written_in_code_is_checked_too() -> None:
    assert Everything(rates=[2, 3]).values()["rates"] == (2, 3)  # type: ignore[arg-type]
    for wrong in ({"width": 0}, {"width": "wide"}, {"widht": 8}):
        with pytest.raises(ValidationError):
            Everything(**wrong)


def test_a_class_of_options_may_have_constants_and_methods() -> None:
    class Scaled(Options):
        STEPS = (1, 2, 4)  # type: ignore[pydantic-field]
        width: int = option(8, minimum=1)
        model_scale: float = 0.5

        @property
        def scaled(self) -> float:
            return self.width * self.model_scale

    assert Scaled.resolve({"width": 6}).scaled == 3.0
    assert (Scaled.STEPS, list(describe(Scaled))) == ((1, 2, 4), ["width", "model_scale"])


def test_every_option_needs_a_default() -> None:
    with pytest.raises(PluginError, match=r"Bare\.width needs a default"):

        class Bare(Options):
            width: int


def test_options_can_be_inherited() -> None:
    assert Wider().values() == {**Everything().values(), "width": 16, "more": True}
    assert Wider.resolve({"width": 100}).width == 100  # the range of the overriding declaration holds


def test_what_is_declared_can_be_listed() -> None:
    info = describe(Everything)["width"]
    assert (info.default, info.help, info.minimum, info.maximum) == (8, "channels", 1, 64)
    assert describe_type(info.annotation) == "a whole number"
