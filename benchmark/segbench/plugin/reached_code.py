"""The code that a spec reaches: what its ``build``, ``check``, ``prepare``, .. and all that they import in their own package run.

A spec's own definition counts by its fields and by its options' names, types and defaults (:func:`definition`); the page that lists it
beside its neighbours counts only where reached code uses something of it, and then only that. Other parents' ``__init__.py`` count where
they are imported. Files that are no Python count where reached code names them by a path from its own folder (``"palette.json"``,
``folder / "palettes" / "old.json"``); folders and patterns of files do not. Packages beside the plugin's count where reached code imports
them from their sources; installed ones do not. Where an import cannot be followed, whole packages count, and
:attr:`ReachedCode.limits` says so.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.plugin.options import Options, describe, describe_type
from segbench.plugin.source_files import IMPORT_STRING, Piece, Reference, SourceFile, read_source, source_hash
from segbench.plugin.specs import AugmentationSpec, BackendSpec, DatasetSpec, LossSpec, MetricSpec, ModelSpec
from segbench.util.files import file_digest
from segbench.util.packages import installed_version

_SPECS = (ModelSpec, LossSpec, DatasetSpec, BackendSpec, MetricSpec, AugmentationSpec)
_NOT_CODE = frozenset(("name", "summary", "source", "formula", "fetch", "check_data", "title", "meaning", "digits", "column"))
"""Fields of specs that change no result: words, looks, and what serves only ``segbench verify`` and ``segbench data``."""
_ADDED = frozenset(("given", "counts"))
"""Fields that came after the first results: where they are None, they change no definition."""
_HARNESS = "segbench"


@dataclass(frozen=True)
class ReachedCode:
    """The code that a spec's results depend on: digests of its definition and by file, and the reasons why whole packages count."""

    definition: str
    files: Mapping[str, str]
    limits: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The ingredient of a fingerprint, as plain data."""
        return {"definition": self.definition, "files": dict(self.files)}

    @property
    def digest(self) -> str:
        """One hash of all, 16 hex digits."""
        return _hash(json.dumps(self.record(), sort_keys=True))


def reached_code(spec: Any, origin: Path) -> ReachedCode:
    """The code of a spec from a plugin whose sources lie at ``origin`` (a package's folder, or a single module, which counts whole)."""
    walk = _Walk()
    if origin.is_file():
        walk.follow(Reference(origin.stem), its_own=True)
    for reference in _roots(spec):
        walk.follow(reference, its_own=True)
    walk.finish()
    files, limits = dict(walk.files), tuple(dict.fromkeys(walk.limits))
    if limits:
        folders = set(walk.packages.values())
        if not any(origin == folder or folder in origin.parents for folder in folders):
            folders.add(origin)
        files |= {f"{folder.name}{'/**' if folder.is_dir() else ''}": source_hash(folder) for folder in folders}
    return ReachedCode(_hash(json.dumps(definition(spec), sort_keys=True)), dict(sorted(files.items())), limits)


def definition(value: Any, outer: tuple[int, ...] = ()) -> Any:
    """A spec (or a value of one) as plain data: what it says, without words for readers. ``outer`` are the objects that hold it."""
    if id(value) in outer:
        return _in_words(value)
    within = (*outer, id(value))
    if isinstance(value, type) and issubclass(value, Options):
        declared = describe(value)
        return {name: [describe_type(info.annotation), repr(info.default)] for name, info in declared.items()}
    if isinstance(value, functools.partial):
        return [definition(item, within) for item in (value.func, value.args, value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: definition(item, within) for name, item in _fields(value)}
    if isinstance(value, Mapping):
        return {str(key): definition(item, within) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [definition(item, within) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if value is None or isinstance(value, str | int | float | bool):
        return value
    captured = [definition(item, within) for item in _captured(value)]
    return [_in_words(value), captured] if captured else _in_words(value)


def _in_words(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}:{name}" if name else re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _captured(value: Any) -> list[Any]:
    """Values that a function took from where it was defined (defaults, closed-over variables), or an object's attributes."""
    if isinstance(value, types.ModuleType):
        return []
    if isinstance(value, types.MethodType):
        return [*([] if isinstance(value.__self__, type) else [value.__self__]), *_captured(value.__func__)]
    if not hasattr(value, "__qualname__"):
        return [dict(sorted(vars(value).items()))] if getattr(value, "__dict__", None) else []
    cells = getattr(value, "__closure__", None) or ()
    closed = [cell.cell_contents for cell in cells if cell != types.CellType()]
    return [*(getattr(value, "__defaults__", None) or ()), *(getattr(value, "__kwdefaults__", None) or {}).values(), *closed]


def _fields(value: Any) -> list[tuple[str, Any]]:
    left_out = _NOT_CODE if isinstance(value, _SPECS) else ()
    fields = [(entry.name, getattr(value, entry.name)) for entry in dataclasses.fields(value) if entry.name not in left_out]
    return [(name, item) for name, item in fields if item is not None or name not in _ADDED]


def _roots(value: Any, outer: tuple[int, ...] = ()) -> Iterator[Reference]:
    """The import strings and callables of a spec, and its options classes that have code of their own."""
    if id(value) in outer:
        return
    within = (*outer, id(value))
    if isinstance(value, str):
        matched = IMPORT_STRING.fullmatch(value)
        if matched:
            yield Reference(matched[1], tuple(matched[2].split(".")))
    elif isinstance(value, type) and issubclass(value, Options):
        yield from (Reference(base.__module__, (base.__qualname__,)) for base in value.__mro__ if _has_code(base))
    elif isinstance(value, types.ModuleType):
        yield Reference(value.__name__)
    else:
        yield from _callable(value)
        yield from (root for item in _items(value) for root in _roots(item, within))


def _items(value: Any) -> Iterable[Any]:
    """Values that a value holds."""
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [item for _, item in _fields(value)]
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, tuple | list | set | frozenset):
        return value
    return _captured(value)


def _callable(value: Any) -> Iterator[Reference]:
    """The place of a function, a class or a callable object's class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    if callable(value) and named.__module__:
        yield Reference(named.__module__, tuple(named.__qualname__.split(".")))


def _has_code(options: type) -> bool:
    """True for an options class that defines functions or properties, beside what pydantic adds."""
    if options.__module__.partition(".")[0] in (_HARNESS, "pydantic"):
        return False
    members = [getattr(member, "fget", None) or getattr(member, "__func__", None) or member for member in vars(options).values()]
    files = [Path(member.__code__.co_filename) for member in members if isinstance(member, types.FunctionType)]
    return any("pydantic" not in file.parts and not file.name.startswith("<") for file in files)


@dataclass(frozen=True)
class _Place:
    """A module's file (None for a namespace), and the folders of its submodules."""

    file: Path | None
    folders: tuple[Path, ...] = ()


@dataclass
class _Walk:
    """Follows references from module to module within the packages where they began."""

    files: dict[str, str] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)
    packages: dict[str, Path] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    followed: set[Reference] = field(default_factory=set)
    done: set[tuple[str, str]] = field(default_factory=set)
    pending: list[Reference] = field(default_factory=list)

    def finish(self) -> None:
        """Follow what the code that counts refers to, until nothing new is reached."""
        while self.pending:
            self.follow(self.pending.pop())

    def follow(self, reference: Reference, *, its_own: bool = False) -> None:
        """Count what a reference leads to; ``its_own``: it stands in the spec, so that its package is one to be followed."""
        if reference in self.followed:
            return
        self.followed.add(reference)
        top = reference.module.partition(".")[0]
        if top == _HARNESS or not self._enter(top, its_own=its_own):
            return
        module, place, names = _resolve(reference)
        if place is not None and place.file is not None and _is_installed(place.file):  # of a namespace with parts in several places
            return
        if place is None:
            self.limits.append(f"the source of {module} was not found")
            return
        parents = module.split(".")[:-1]
        for count in range(1, len(parents) + 1):
            self._parent(".".join(parents[:count]))
        if place.file is not None:
            self._count(module, place.file, names, used=reference.used)

    def _enter(self, top: str, *, its_own: bool) -> bool:
        """Take a package up. An installed one of the spec's own counts by its version, the standard library not at all."""
        if top in self.packages:
            return True
        if top in sys.stdlib_module_names or (top in self.left_out and not its_own):
            return False
        roots = _roots_of(_locate(top))
        sources = [root for root in roots if not _is_installed(root)]
        if sources:
            self.packages[top] = sources[0]
        elif not its_own:
            self.left_out.add(top)
        elif roots:
            self.files[top] = installed_version(top) or "installed"
        else:
            self.limits.append(f"the source of {top} was not found")
        return bool(sources)

    def _parent(self, module: str) -> None:
        place = _locate(module)
        if place is not None and place.file is not None:
            self._count(module, place.file, (), used=False)

    def _count(self, module: str, file: Path, names: tuple[str, ...], *, used: bool) -> None:
        source = self._source(module, file)
        if source is None:
            return
        name = names[0] if names else ""
        imported = source.imports.get(name, ()) if used else ()
        self.pending += [Reference(reference.module, (*reference.names, *names[1:])) for reference in imported]
        if name == "*":
            self.pending += [Reference(module, (exported,)) for exported in source.exported]
        if not source.catalogue:
            self._add(module, file, "", source.whole)
        elif used and name in source.definitions and name:
            self._slice(module, file, source, name)
        elif used and not imported:
            self._add(module, file, "", source.whole)
        elif not used and file.name == "__init__.py":  # imported with the package: what it does then counts
            self.pending += source.unused
            self._slice(module, file, source, "")

    def _source(self, module: str, file: Path) -> SourceFile | None:
        try:
            return read_source(file, module)
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            self.limits.append(f"{file.name} cannot be read as Python ({type(error).__name__})")
            self.files[self._key(module, file)] = file_digest(file)[:16] if file.is_file() else ""
            return None

    def _slice(self, module: str, file: Path, source: SourceFile, name: str) -> None:
        """Of a page that lists specs only what is used of it, and what that uses."""
        for part in dict.fromkeys(("", name)):
            piece = source.definitions[part]
            if part or piece.names or piece.references:
                new = self._add(module, file, part or "its statements", piece)
                for other in sorted(piece.names) if new else ():
                    if other in source.definitions and other not in ("", part):
                        self._slice(module, file, source, other)

    def _add(self, module: str, file: Path, part: str, piece: Piece) -> bool:
        if (module, part) in self.done:
            return False
        self.done.add((module, part))
        key = self._key(module, file)
        self.files[f"{key}: {part}" if part else key] = piece.digest
        for name in piece.data:
            self._data(file, key, name)
        if piece.dynamic:
            self.limits.append(f"{key}: {piece.dynamic}")
        self.pending += piece.references
        return True

    def _data(self, file: Path, key: str, name: str) -> None:
        path = file.parent / name
        try:
            if path.suffix not in (".py", ".pyc") and path.is_file() and path.resolve().is_relative_to(file.parent.resolve()):
                self.files[f"{key.rpartition('/')[0]}/{name}".lstrip("/")] = file_digest(path)[:16]
        except OSError:
            return

    def _key(self, module: str, file: Path) -> str:
        return "/".join([*module.split(".")[: None if file.name == "__init__.py" else -1], file.name])


def _resolve(reference: Reference) -> tuple[str, _Place | None, tuple[str, ...]]:
    """The deepest module of a reference, its place, and the names that are left."""
    module, names = reference.module, reference.names
    place = _locate(module)
    while place is not None and place.folders and names and (below := _below(place, names[0])) is not None:
        module, place, names = f"{module}.{names[0]}", below, names[1:]
    return module, place, names


def _locate(module: str) -> _Place | None:
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return None
    file = Path(spec.origin) if spec.origin and spec.has_location else None
    place: _Place | None = _Place(file, tuple(map(Path, spec.submodule_search_locations or ())))
    for part in parts:
        place = None if place is None else _below(place, part)
    return place


def _roots_of(place: _Place | None) -> tuple[Path, ...]:
    """A package's folder (of a namespace all of them), or the file of a single module."""
    if place is None:
        return ()
    return place.folders or ((place.file,) if place.file else ())


def _below(place: _Place, name: str) -> _Place | None:
    if not name.isidentifier():
        return None
    for folder in place.folders:
        if (folder / name / "__init__.py").is_file():
            return _Place(folder / name / "__init__.py", (folder / name,))
        if (folder / f"{name}.py").is_file():
            return _Place(folder / f"{name}.py")
        compiled = [file for file in folder.glob(f"{name}.*") if file.suffix in (".so", ".pyd")]
        if compiled:
            return _Place(compiled[0])
        if any((folder / name).glob("*.py")):
            return _Place(None, (folder / name,))
    return None


def _is_installed(path: Path) -> bool:
    if {"site-packages", "dist-packages"} & {*path.parts}:
        return True
    return any(path.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
