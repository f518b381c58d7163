"""A spec that a user named, and the plugin that it came from."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import TypedDict

from segbench.plugin.choice import Choice
from segbench.plugin.options import Options
from segbench.plugin.reached_code import ReachedCode, reached_code
from segbench.plugin.source_files import source_hash as source_hash

SpecT = TypeVar("SpecT")


class PartRecord(TypedDict):
    """A part of a derived model as plain data: its name as the user wrote it, its options and its own parts."""

    model: str
    options: Mapping[str, Any]
    parts: Sequence[PartRecord] | None


@dataclass(frozen=True)
class Plugin:
    """The plugin that specs come from. ``error`` is set where it was skipped."""

    name: str
    package: str = ""
    version: str = ""
    origin: str = ""
    editable: bool = False
    error: str | None = None
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SpecCode:
    """The code behind a spec, as its plugin declares it."""

    spec: Any
    plugin: Plugin

    @functools.cached_property
    def reached(self) -> ReachedCode | None:
        """The code that the spec reaches where its plugin is installed editable; None where package and version identify it."""
        return reached_code(self.spec, Path(self.plugin.origin)) if self.plugin.editable and self.plugin.origin else None

    @functools.cached_property
    def record(self) -> str | Mapping[str, Any]:
        """The spec's ingredient of a fingerprint: ``package==version``, or digests of its definition and of the files that it reaches."""
        if self.reached is None:
            return f"{self.plugin.package}=={self.plugin.version}"
        return {"package": self.plugin.package, **self.reached.record()}

    @property
    def identity(self) -> str:
        """The record in one line."""
        return str(self.record) if self.reached is None else f"{self.plugin.package}@{self.reached.digest}"


@dataclass(frozen=True)
class Chosen(Generic[SpecT]):
    """A spec that a user named, with its options resolved; ``parts`` are what it is made of (a derived model's bases, an inner loss).

    ``declared`` is the code of the spec as its plugin has it, also where parts have changed the spec: they have their own.
    """

    choice: Choice
    spec: SpecT
    options: Options
    plugin: Plugin
    parts: tuple[Chosen[SpecT], ...] = ()
    declared: SpecCode | None = field(default=None, compare=False, repr=False)

    @property
    def code(self) -> SpecCode:
        return self.declared or SpecCode(self.spec, self.plugin)

    def __str__(self) -> str:
        return str(self.choice)

    @property
    def short_name(self) -> str:
        """The label that the user gave it, else its text."""
        return self.choice.label or str(self.choice)

    def parts_record(self) -> list[PartRecord]:
        """The parts as plain data, from which :meth:`Catalog.model` gives the same ones again."""
        return [{"model": str(part), "options": part.options.values(), "parts": part.parts_record()} for part in self.parts]
