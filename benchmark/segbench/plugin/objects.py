"""Specs that a program hands over as objects, without a plugin: kept for this process, and on their way into worker processes.

Worker processes import no script and no notebook. cloudpickle carries classes and functions that are defined there; plain pickle stores
them by name only.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench.errors import ConfigError
from segbench.plugin.chosen import Plugin
from segbench.plugin.hookspecs import hookimpl
from segbench.plugin.specs import DatasetSpec, LossSpec, ModelSpec

if TYPE_CHECKING:
    from segbench.plugin.registry import Catalog

_PLUGIN_NAME = "objects"


@dataclass(frozen=True)
class ObjectSpec:
    """A spec around an object; ``identity`` is a digest of the object, by which finished cells are recognised."""

    spec: ModelSpec | LossSpec | DatasetSpec
    identity: str


class _Objects:
    """The objects of this process, by kind and name."""

    def __init__(self) -> None:
        self.specs: dict[tuple[type, str], ObjectSpec] = {}
        self.payload: bytes | None = b""


_OBJECTS = _Objects()


def offer(one: ObjectSpec) -> None:
    """Let :func:`~segbench.plugin.registry.load_catalog` give this spec from now on, here and in worker processes."""
    _OBJECTS.specs[type(one.spec), one.spec.name] = one
    _OBJECTS.payload = None


def payload() -> bytes:
    """What a worker process needs for the same specs; empty where there are none.

    Raises :class:`ConfigError` for objects that cannot be pickled.
    """
    if _OBJECTS.payload is None:
        import cloudpickle  # type: ignore[import-untyped]

        try:
            _OBJECTS.payload = cloudpickle.dumps(list(_OBJECTS.specs.values()))
        except Exception as error:  # a foreign object may raise anything while it is pickled
            names = ", ".join(name for _, name in _OBJECTS.specs)
            raise ConfigError(
                f"'{names}' cannot be sent to the process that trains it ({type(error).__name__}: {error}). Give objects that can be "
                "pickled (no open files, locks or sessions), or run in this process: settings={'execute.where': 'inline'}."
            ) from None
    return _OBJECTS.payload


def accept(content: bytes) -> None:
    """Take over, in a worker process, the specs of the process that started it."""
    for one in pickle.loads(content) if content else ():
        offer(one)


def add_objects(catalog: Catalog) -> None:
    """Add the objects to a catalog, each as a plugin of its own."""
    for one in _OBJECTS.specs.values():
        name = f"{_PLUGIN_NAME}:{one.spec.name}"
        catalog.add(_OneSpec(one.spec), Plugin(name=name, package=_PLUGIN_NAME, version=one.identity))


class _OneSpec:
    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def _given(self, kind: type) -> Sequence[Any]:
        return [self.spec] if isinstance(self.spec, kind) else []

    @hookimpl
    def segbench_models(self) -> Sequence[Any]:
        return self._given(ModelSpec)

    @hookimpl
    def segbench_losses(self) -> Sequence[Any]:
        return self._given(LossSpec)

    @hookimpl
    def segbench_datasets(self) -> Sequence[Any]:
        return self._given(DatasetSpec)
