"""Options of a plugin: a typed, frozen pydantic model under thin names, validated when a user sets them.

A plugin author writes::

    class UnetOptions(Options):
        encoder: str = option("resnet34", help="timm encoder")
        channels: int = option(64, minimum=1)

and gets ``unet[encoder=resnet18,channels=32]`` on the command line, with types checked, near misses named, and an object
that mypy understands in ``build(task, options)``. Field types: ``bool``, ``int``, ``float``, ``str``, ``Literal[...]``,
``tuple[T, ...]`` of those, and ``T | None`` (written ``none``).
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticUndefined

from segbench.errors import OptionError, PluginError, did_you_mean

OptionValue = bool | int | float | str | None | tuple[Any, ...]
OptionsT = TypeVar("OptionsT", bound="Options")


def option(
    default: Any,
    *,
    help: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A field of an :class:`Options` class with a help text and, for numbers, a closed range."""
    # not ge and le of Field: they cannot stand on a tuple or a union of numbers
    return Field(default=default, description=help, json_schema_extra={"minimum": minimum, "maximum": maximum})


class Options(BaseModel):
    """Base class; every subclass becomes a frozen, keyword-only model whose fields all have defaults."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        ignored_types=(object,),  # a class attribute without a type is a constant
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for name, field in cls.model_fields.items():
            if field.default is PydanticUndefined:
                raise PluginError(f"{cls.__name__}.{name} needs a default")

    @classmethod
    def resolve(cls: type[OptionsT], values: Mapping[str, Any] | None = None, *, owner: str = "") -> OptionsT:
        """The options with ``values`` in place of defaults; raises :class:`OptionError` with what to type instead."""
        known = describe(cls)
        prefix = f"{owner}: " if owner else ""
        for key in values or {}:
            if key not in known:
                has = f" It has: {', '.join(known)}." if known else " It has no options."
                raise OptionError(f"{prefix}unknown option '{key}'.{did_you_mean(key, known)}{has}")
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            expected = {"finite_number": "a finite number", "value_error": str(first.get("ctx", {}).get("error"))}
            text = expected.get(first["type"]) or describe_type(known[name].annotation)
            raise OptionError(f"{prefix}{name} = {(values or {})[name]!r} does not fit: expected {text}") from None

    def values(self) -> dict[str, OptionValue]:
        """All options and their values, in declared order."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @field_validator("*", mode="wrap")
    @classmethod
    def _checked(cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> OptionValue:
        """As users write it (lists for tuples, ``none`` for None), and within its range."""
        declared = describe(cls)[str(info.field_name)]
        if value == "none" and type(None) in typing.get_args(declared.annotation):
            value = None
        result: OptionValue = validate(tuple(value) if isinstance(value, list) else value)
        for number in result if isinstance(result, tuple) else (result,):
            declared.check_range(number)
        return result


class NoOptions(Options):
    """For plugins without options."""


@dataclass(frozen=True)
class OptionInfo:
    """One declared option: its type, default, help and range."""

    name: str
    annotation: Any
    default: OptionValue
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def check_range(self, number: Any) -> None:
        """Raise ValueError for a number outside of the range, with what is expected."""
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            return
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"at least {self.minimum:g}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"at most {self.maximum:g}")


@functools.cache
def describe(options: type[Options]) -> dict[str, OptionInfo]:
    """The declared options of an :class:`Options` class by name, in order."""
    declared = {}
    for name, field in options.model_fields.items():
        bounds: Any = field.json_schema_extra or {}
        declared[name] = OptionInfo(name, field.annotation, field.default, field.description or "", **bounds)
    return declared


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
