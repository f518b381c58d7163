"""Options of a plugin: a typed, frozen class whose fields are validated when a user sets them.

A plugin author writes::

    class UnetOptions(Options):
        encoder: str = option("resnet34", help="timm encoder")
        channels: int = option(64, minimum=1)

and gets ``unet[encoder=resnet18,channels=32]`` on the command line, with types checked, near misses named, and an object
that mypy understands in ``build(task, options)``. Field types: ``bool``, ``int``, ``float``, ``str``, ``Literal[...]``,
``tuple[T, ...]`` of those, and ``T | None`` (written ``none``).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from typing_extensions import dataclass_transform

from segbench.errors import OptionError, PluginError, did_you_mean

OptionValue = bool | int | float | str | None | tuple[Any, ...]
OptionsT = TypeVar("OptionsT", bound="Options")

_META = "segbench"


def option(
    default: Any,
    *,
    help: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A field of an :class:`Options` class with a help text and, for numbers, a closed range."""
    return dataclasses.field(default=default, metadata={_META: {"help": help, "minimum": minimum, "maximum": maximum}})


# option() is no field specifier here: type checkers would take its positional default for a missing one
@dataclass_transform(frozen_default=True, kw_only_default=True)
class Options:
    """Base class; every subclass becomes a frozen, keyword-only dataclass whose fields all have defaults."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.default is dataclasses.MISSING:
                raise PluginError(f"{cls.__name__}.{field.name} needs a default")

    @classmethod
    def resolve(cls: type[OptionsT], values: Mapping[str, Any] | None = None, *, owner: str = "") -> OptionsT:
        """The options with ``values`` in place of defaults; raises :class:`OptionError` with what to type instead."""
        known = describe(cls)  # type: ignore[arg-type]
        prefix = f"{owner}: " if owner else ""
        checked: dict[str, OptionValue] = {}
        for key, value in (values or {}).items():
            if key not in known:
                has = f" It has: {', '.join(known)}." if known else " It has no options."
                raise OptionError(f"{prefix}unknown option '{key}'.{did_you_mean(key, known)}{has}")
            checked[key] = known[key].check(value, prefix=prefix)
        return cls(**checked)

    def values(self) -> dict[str, OptionValue]:
        """All options and their values, in declared order."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


class NoOptions(Options):
    """For plugins without options."""


@dataclasses.dataclass(frozen=True)
class OptionInfo:
    """One declared option: its type, default, help and range."""

    name: str
    annotation: Any
    default: OptionValue
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def check(self, value: Any, *, prefix: str = "") -> OptionValue:
        """``value`` in the declared type, or :class:`OptionError`."""
        try:
            result = _coerce(value, self.annotation)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"{prefix}{self.name} = {value!r} does not fit: expected {describe_type(self.annotation)}") from None
        for number in result if isinstance(result, tuple) else (result,):
            self._check_range(number, value, prefix)
        return result

    def _check_range(self, number: Any, value: Any, prefix: str) -> None:
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            return
        if isinstance(number, float) and not math.isfinite(number):
            raise OptionError(f"{prefix}{self.name} = {value!r} does not fit: expected a finite number")
        if self.minimum is not None and number < self.minimum:
            raise OptionError(f"{prefix}{self.name} = {value!r} does not fit: expected at least {self.minimum:g}")
        if self.maximum is not None and number > self.maximum:
            raise OptionError(f"{prefix}{self.name} = {value!r} does not fit: expected at most {self.maximum:g}")


@functools.cache
def describe(options: type[Options]) -> dict[str, OptionInfo]:
    """The declared options of an :class:`Options` class by name, in order."""
    if not dataclasses.is_dataclass(options):
        return {}
    hints = typing.get_type_hints(options)
    found = {}
    for field in dataclasses.fields(options):
        meta = field.metadata.get(_META, {})
        found[field.name] = OptionInfo(name=field.name, annotation=hints[field.name], default=field.default, **meta)
    return found


def describe_type(annotation: Any) -> str:
    """A field type in words, for messages and ``segbench list``.

    >>> describe_type(int), describe_type(tuple[float, ...]), describe_type(Literal["a", "b"]), describe_type(int | None)
    ('a whole number', 'a list of numbers in parentheses', "'a' or 'b'", "a whole number or 'none'")
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"'{a}'" for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(a) for a in args)
    if origin is tuple:
        inner = {int: "whole numbers", float: "numbers", str: "words", bool: "true/false"}.get(args[0], "values")
        return f"a list of {inner} in parentheses"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "'none'"}
    return words.get(annotation, str(annotation))


def _coerce(value: Any, annotation: Any) -> OptionValue:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, args)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value  # type: ignore[no-any-return]
        raise ValueError
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        return tuple(_coerce(v, args[0]) for v in value)
    return _coerce_scalar(value, annotation)


def _coerce_union(value: Any, args: tuple[Any, ...]) -> OptionValue:
    if type(None) in args and (value is None or value == "none"):
        return None
    for arg in args:
        if arg is type(None):
            continue
        try:
            return _coerce(value, arg)
        except (TypeError, ValueError, OverflowError):
            continue
    raise TypeError


def _coerce_scalar(value: Any, annotation: Any) -> OptionValue:
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation in (bool, int, float, str) and type(value) is annotation:
        return value  # type: ignore[no-any-return]
    raise TypeError
