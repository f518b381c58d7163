from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segbench.errors import ConfigError
from segbench.plugin.choice import Choice, format_value, parse_choice, parse_choices, parse_value, parse_values, slug, split_outside

# the same examples in every run, however slow the machine is
steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,12}", fullmatch=True)
choices = st.builds(lambda name, options: Choice(name, tuple(options.items())), names, st.dictionaries(keys, values, max_size=3))


def exact(value: Any) -> Any:
    """A value with its types, since 1 == True == 1.0."""
    return tuple(exact(v) for v in value) if isinstance(value, tuple) else (type(value), value)


@steady
@given(choices)
def test_a_choice_is_read_back_from_its_text(choice: Choice) -> None:
    again = parse_choice(str(choice))
    assert again == choice
    assert exact(tuple(v for _, v in again.options)) == exact(tuple(v for _, v in choice.options))


@steady
@given(st.lists(choices, min_size=1, max_size=4))
def test_a_list_of_choices_is_read_back_from_its_text(chosen: list[Choice]) -> None:
    assert parse_choices(", ".join(map(str, chosen))) == chosen


@steady
@given(values)
def test_a_value_is_read_back_from_its_text(value: Any) -> None:
    assert exact(parse_value(format_value(value))) == exact(value)


@steady
@given(st.lists(values, min_size=1, max_size=4))
def test_an_axis_is_read_back_from_its_text(axis: list[Any]) -> None:
    text = ",".join(format_value(v) for v in axis)
    assert exact(tuple(parse_values(text))) == exact(tuple(axis))


@steady
@given(st.text(max_size=30))
def test_any_other_text_gives_a_choice_or_one_kind_of_error(text: str) -> None:
    try:
        choice = parse_choice(text)
    except ConfigError:
        return
    assert parse_choice(str(choice)) == choice


@steady
@given(st.text(max_size=200), st.integers(10, 80))
def test_slugs_are_plain_file_names_within_the_limit(text: str, limit: int) -> None:
    name = slug(text, limit=limit)
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    assert 0 < len(name) <= limit
    assert name not in (".", "..")


def test_slugs_of_texts_that_lose_the_same_characters_differ() -> None:
    assert slug("a[b=1]") != slug("a(b=1)")
    assert slug("x" * 100) != slug("x" * 101)


def test_options_are_sorted_so_that_order_does_not_make_another_choice() -> None:
    assert parse_choice("a[y=1,x=2]") == parse_choice("a[x=2,y=1]")
    assert str(parse_choice("a[y=1,x=2]")) == "a[x=2,y=1]"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a[x=1_000]", {"x": 1000}),
        ("a[x=-1e-3]", {"x": -0.001}),
        ("a[x=(1,)]", {"x": (1,)}),
        ("a[x=[1,2]]", {"x": (1, 2)}),
        ("a[x=()]", {"x": ()}),
        ("a[x=none,y=true]", {"x": None, "y": True}),
        ("a[x=\"true\",y='none']", {"x": "true", "y": "none"}),
        ("a[p=data/weights.pt]", {"p": "data/weights.pt"}),
        ("a[of=(b[x=1],c)]", {"of": ("b[x=1]", "c")}),
        (r'a[x="say \"hi\""]', {"x": 'say "hi"'}),
        ("a[]", {}),
        (" a [ x = 1 , ] ", {"x": 1}),
    ],
)
def test_forms_of_values(text: str, options: dict[str, Any]) -> None:
    assert dict(parse_choice(text).options) == options


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a name at position 1"),
        ("a[", "expected an option name at position 3"),
        ("a[x]", "expected '=' after 'x' at position 4"),
        ("a[x=]", "expected a value"),
        ("a[x=1", "expected ',' or ']' at position 6"),
        ("a[x=1]]", "unexpected ']' at position 7"),
        ("a[x=1,x=2]", "option 'x' is given twice"),
        ('a[x="b]', "a quote is not closed"),
        ("a[x=(1,2]", "expected ',' or ')'"),
        ("a[x=1 2]", "expected ',' or ']'"),
        ("a[x=1e999]", "1e999 is too large for a number"),
        (r'a[x="\q"]', "is not a valid quoted text"),
    ],
)
def test_errors_say_what_was_expected_and_where(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_choice(text)
    assert complaint in str(caught.value)
    assert "Write name[key=value,key=(a,b)], quoted for the shell." in str(caught.value)


def test_more_options_win_over_those_that_were_there() -> None:
    assert str(parse_choice("a[x=1,y=2]").with_options(x=3, z="b c")) == 'a[x=3,y=2,z="b c"]'


def test_plain_text_is_a_value_but_a_broken_quote_is_not() -> None:
    assert parse_value("256x320@0.5") == "256x320@0.5"
    with pytest.raises(ConfigError, match="a quote is not closed"):
        parse_value('"open')


def test_splitting_respects_quotes_brackets_and_escapes() -> None:
    assert split_outside(r'a[x=(1,2)],"b,\",c",d') == ["a[x=(1,2)]", r'"b,\",c"', "d"]
