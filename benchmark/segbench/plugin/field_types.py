"""Check of the types of a spec's fields, so that a wrong one is refused where the plugin is loaded and not in the middle of a run."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

from segbench.errors import PluginError
from segbench.plugin.options import describe_type
from segbench.util.sequences import counted


def check_fields(holder: Any, owner: str, *, declared_by: type) -> None:
    """Refuse a dataclass whose fields do not have their declared types; lists are turned into the tuples that are declared.

    ``owner`` is what messages call it ("model 'unet'"), ``declared_by`` the class whose annotations count. Raises :class:`PluginError` with
    the field, its value and what is expected.
    """
    for name, annotation in _annotations(declared_by).items():
        value = getattr(holder, name)
        if isinstance(value, list) and typing.get_origin(annotation) is tuple:
            value = tuple(value)
            object.__setattr__(holder, name, value)  # specs are frozen
        if not _fits(value, annotation):
            raise PluginError(f"{owner}: {name} = {_shortened(value)} does not fit: expected {expected(annotation)}")


@functools.cache
def _annotations(declared_by: type) -> dict[str, Any]:
    annotations = typing.get_type_hints(declared_by)
    return {field.name: annotations[field.name] for field in dataclasses.fields(declared_by)}


def _fits(value: Any, annotation: Any) -> bool:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is type:
        return isinstance(value, type) and issubclass(value, args[0])
    if origin is collections.abc.Callable:
        return callable(value)
    if origin is tuple:
        return _fits_tuple(value, args)
    if origin is collections.abc.Mapping:
        return isinstance(value, Mapping) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    return _fits_class(value, annotation)


def _fits_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, (tuple, list)):  # a text would be read as its letters
        return False
    if len(args) == 2 and args[1] is Ellipsis:
        return all(_fits(item, args[0]) for item in value)
    return len(value) == len(args) and all(map(_fits, value, args))


def _fits_class(value: Any, expected_class: Any) -> bool:
    if expected_class is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if expected_class is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return isinstance(value, expected_class)


def expected(annotation: Any) -> str:
    """A declared type in words.

    >>> expected(tuple[str, ...]), expected(int | None), expected(Mapping[str, int])
    ('a tuple, each of its values text', 'a whole number or None', 'a mapping of text to a whole number')
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (None, type(None), Any):
        return "None" if annotation is not Any else "any value"
    if origin in (Union, types.UnionType):
        return " or ".join(expected(arg) for arg in args)
    if origin is type:
        return f"the class segbench.{args[0].__name__} or one derived from it, not an object"
    if origin is collections.abc.Callable or annotation is Callable:
        return "a callable"
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return f"a tuple, each of its values {expected(args[0])}"
        return f"a tuple of {counted(len(args), 'value')}: {', '.join(map(expected, args))}"
    if origin is collections.abc.Mapping:
        return f"a mapping of {expected(args[0])} to {expected(args[1])}"
    if annotation in (str, int, float, bool) or origin is Literal:
        return describe_type(annotation)
    return f"a {annotation.__name__}"


def _shortened(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 2]}.."
