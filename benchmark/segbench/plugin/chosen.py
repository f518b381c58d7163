"""A spec that a user named, and the plugin that it came from."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from segbench.plugin.choice import Choice
from segbench.plugin.options import Options

SpecT = TypeVar("SpecT")


@dataclass(frozen=True)
class Plugin:
    """Where specs came from. ``error`` is set where the plugin was skipped."""

    name: str
    package: str = ""
    version: str = ""
    origin: str = ""
    editable: bool = False
    error: str | None = None
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def identity(self) -> str:
        """What a fingerprint records of it: package and version, or a hash of its sources where installed editable."""
        if self.editable and self.origin:
            return f"{self.package}@{source_hash(Path(self.origin))}"
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class Chosen(Generic[SpecT]):
    """A spec that a user named, with its options resolved; ``parts`` are what it is made of (a derived model's bases, an inner loss)."""

    choice: Choice
    spec: SpecT
    options: Options
    plugin: Plugin
    parts: tuple[Chosen[SpecT], ...] = ()

    def __str__(self) -> str:
        return str(self.choice)

    def parts_record(self) -> list[dict[str, Any]]:
        """The parts as plain data, from which :meth:`Catalog.model` gives the same ones again."""
        return [{"model": str(part), "options": part.options.values(), "parts": part.parts_record()} for part in self.parts]


@functools.cache
def source_hash(package: Path) -> str:
    """Hash of all Python sources below a package's folder (or of one module), 16 hex digits."""
    digest = hashlib.sha256()
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    for file in files:
        digest.update(str(file.relative_to(package.parent)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
