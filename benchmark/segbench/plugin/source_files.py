"""One source file, read without being imported: what it imports, names and defines.

Imports count wherever they stand, also inside functions; those under ``if TYPE_CHECKING:`` never run. An import string
(``"package.module:function"``), ``import_module`` with a constant, and an attribute of an imported package are references, too. Where a
file decides only when it runs what it imports, ``dynamic`` says so.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IMPORT_STRING = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_][\w.]*)")
_SPECS = frozenset(("ModelSpec", "LossSpec", "DatasetSpec", "BackendSpec", "Recipe", "Claim", "Reporter", "hookimpl"))
_DYNAMIC = frozenset(("spec_from_file_location", "iter_modules", "walk_packages", "run_path", "run_module", "resolve_name"))
_INERT_DECORATORS = frozenset(("hookimpl", "dataclass", "dataclasses", "functools", "contextmanager", "contextlib", "cache", "lru_cache"))
"""Decorators that leave no trace of what they decorate elsewhere, as a registry's would."""
_DATA_NAME = re.compile(r"[^\n\0]{1,200}\.\w{1,12}")


@dataclass(frozen=True)
class Reference:
    """A module, and a chain of names in it that may begin with submodules. ``used``: more than an import statement."""

    module: str
    names: tuple[str, ...] = ()
    used: bool = True


@dataclass(frozen=True)
class Piece:
    """A part of a file: its digest, what it refers to, and the names of the same file that it uses."""

    digest: str
    references: tuple[Reference, ...]
    names: frozenset[str]
    data: tuple[str, ...]
    dynamic: str = ""


@dataclass(frozen=True)
class SourceFile:
    """A file as a whole, and (of a catalogue page, which lists specs) by the names that it defines; ``""`` is what always runs.

    ``imports`` has more than one reference of a name that is imported in several places; ``exported`` are the names in ``__all__``.
    ``unused`` are imports whose names nothing of the file uses: they may stand there for what importing them does.
    """

    whole: Piece
    catalogue: bool
    definitions: Mapping[str, Piece]
    imports: Mapping[str, tuple[Reference, ...]]
    exported: tuple[str, ...] = ()
    unused: tuple[Reference, ...] = ()


@functools.cache
def source_hash(package: Path) -> str:
    """Hash of all Python sources below a package's folder (or of one module), 16 hex digits."""
    digest = hashlib.sha256()
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    for file in files:
        digest.update(str(file.relative_to(package.parent)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def read_source(file: Path, module: str) -> SourceFile:
    """The file of a module. Raises :class:`OSError`, :class:`SyntaxError` or :class:`ValueError` where it cannot be read as Python."""
    status = file.stat()
    return _read(file, module, status.st_mtime_ns, status.st_size)


@functools.cache
def _read(file: Path, module: str, modified: int, size: int) -> SourceFile:
    content = file.read_bytes()
    tree = ast.parse(content)
    reader = _Reader(tree, module, is_package=file.name == "__init__.py")
    catalogue = any(isinstance(node, ast.ImportFrom) and _SPECS & {alias.name for alias in node.names} for node in tree.body)
    lines = content.splitlines()
    definitions = {name: reader.piece(nodes, _text(nodes, lines)) for name, nodes in _by_name(tree).items()} if catalogue else {}
    exported = _exported(tree)
    return SourceFile(reader.piece(tree.body, content), catalogue, definitions, reader.bound, exported, reader.unused(tree, exported))


def _exported(tree: ast.Module) -> tuple[str, ...]:
    """The texts in statements that assign ``__all__``."""
    statements = [node for node in tree.body if "__all__" in _defined(node)]
    constants = [node.value for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    return tuple(value for value in constants if isinstance(value, str))


def _text(nodes: Iterable[ast.stmt], lines: list[bytes]) -> bytes:
    pieces = []
    for node in nodes:
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        pieces += lines[first - 1 : node.end_lineno]
    return b"\n".join(pieces)


def _by_name(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Top-level statements by the name that they define; under ``""`` those that always run."""
    statements: dict[str, list[ast.stmt]] = {"": []}
    for node in tree.body:
        for name in _defined(node):
            statements.setdefault(name, []).append(node)
    return statements


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name] if all(map(_is_inert, node.decorator_list)) else [node.name, ""]
    if isinstance(node, ast.Import | ast.ImportFrom):
        # an import line grows with the neighbours: what is used of it is followed from its users
        return [""] if any(alias.name == "*" for alias in node.names) else []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if names and len(names) == len(targets):
        return names
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return [] if is_text or _is_type_checking(node) else [""]


def _is_inert(decorator: ast.expr) -> bool:
    names = [node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)]
    return bool(_INERT_DECORATORS & {*names})


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


class _Reader:
    """Finds the references of one module's statements."""

    def __init__(self, tree: ast.Module, module: str, *, is_package: bool) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.late_annotations = any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" and "annotations" in {alias.name for alias in node.names}
            for node in tree.body
        )
        self.bound: dict[str, tuple[Reference, ...]] = {}
        nodes = [*self._walk(tree.body)]
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, reference in self._bindings(node).items():
                    self.bound[name] = (*self.bound.get(name, ()), reference)
        self.loaded = {node.id for node in nodes if isinstance(node, ast.Name)}

    def unused(self, tree: ast.Module, exported: Iterable[str]) -> tuple[Reference, ...]:
        """Imports at the top of the file whose names neither the file uses nor ``__all__`` lists."""
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        return tuple(
            reference
            for node in imports
            for alias, reference in zip(node.names, self._imports(node), strict=True)
            if (alias.asname or alias.name.partition(".")[0]) not in {*self.loaded, *exported}
        )

    def piece(self, nodes: Iterable[ast.stmt], text: bytes) -> Piece:
        references, names, data, dynamic = [], set(), [], ""
        inner: set[int] = set()
        for node in self._walk(nodes):
            if isinstance(node, ast.Import | ast.ImportFrom):
                references += self._imports(node)
            elif isinstance(node, ast.Attribute):
                if id(node) not in inner:
                    references += self._chain(node, inner)
            elif isinstance(node, ast.Name):
                names.add(node.id)
                if id(node) not in inner and node.id in self.bound:
                    references += self.bound[node.id]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                references += _import_strings(node.value)
                data += _data_names(node.value)
            elif isinstance(node, ast.BinOp):
                data += _data_names("/".join(_divided(node)))
            elif isinstance(node, ast.Call):
                reference, reason = self._call(node)
                references += reference
                dynamic = dynamic or reason
                data += _data_names("/".join(_texts(node.args)))
        digest = hashlib.sha256(text).hexdigest()[:16]
        return Piece(digest, tuple(dict.fromkeys(references)), frozenset(names), tuple(dict.fromkeys(data)), dynamic)

    def _walk(self, nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
        """All nodes that run: outer ones first, without ``if TYPE_CHECKING:`` and without annotations that are never evaluated."""
        for node in nodes:
            yield node
            if isinstance(node, ast.If) and _is_type_checking(node):
                yield from self._walk(node.orelse)
                continue
            skipped: tuple[ast.AST | None, ...] = ()
            if self.late_annotations and isinstance(node, ast.arg):
                skipped = (node.annotation,)
            elif self.late_annotations and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                skipped = (node.returns,)
            yield from self._walk(child for child in ast.iter_child_nodes(node) if child not in skipped)

    def _base(self, node: ast.ImportFrom) -> str:
        parts = self.package.split(".")
        above = parts[: len(parts) - node.level + 1] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])

    def _bindings(self, node: ast.Import | ast.ImportFrom) -> dict[str, Reference]:
        if isinstance(node, ast.ImportFrom):
            return {alias.asname or alias.name: Reference(self._base(node), (alias.name,)) for alias in node.names if alias.name != "*"}
        return {
            alias.asname or alias.name.partition(".")[0]: Reference(alias.name if alias.asname else alias.name.partition(".")[0])
            for alias in node.names
        }

    def _imports(self, node: ast.Import | ast.ImportFrom) -> list[Reference]:
        if isinstance(node, ast.Import):
            return [Reference(alias.name, used=False) for alias in node.names]
        # what is imported for annotations alone is not used
        return [
            Reference(self._base(node), (alias.name,), used=(alias.asname or alias.name) in {*self.loaded, "*"}) for alias in node.names
        ]

    def _chain(self, node: ast.Attribute, inner: set[int]) -> list[Reference]:
        names: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            names.insert(0, value.attr)
            value = value.value
            inner.add(id(value))
        if not isinstance(value, ast.Name) or value.id not in self.bound:
            if not isinstance(value, ast.Name):
                inner.discard(id(value))
            return []
        return [Reference(bound.module, (*bound.names, *names)) for bound in self.bound[value.id]]

    def _call(self, node: ast.Call) -> tuple[list[Reference], str]:
        """The module of an ``import_module`` with a constant; where a call imports what is not known before it runs, that in words."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        is_builtin = isinstance(node.func, ast.Name) and called in ("exec", "eval")
        if isinstance(node.func, ast.Name) and called in self.bound:  # by the name that it has where it is imported from
            called = (self.bound[called][-1].names or (called,))[-1]
        if called not in ("import_module", "__import__", *_DYNAMIC) and not is_builtin:
            return [], ""
        first = node.args[0] if node.args and called in ("import_module", "__import__") else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            anchor = node.args[1] if len(node.args) > 1 else next((word.value for word in node.keywords if word.arg == "package"), None)
            module = first.value if not first.value.startswith(".") else self._relative(first.value, anchor)
            if module:
                return [Reference(module)], ""
        return [], f"{called}() in line {node.lineno} imports what is known only when it runs"

    def _relative(self, name: str, anchor: ast.expr | None) -> str:
        if not (isinstance(anchor, ast.Name) and anchor.id in ("__package__", "__name__")):
            return ""
        level = len(name) - len(name.lstrip("."))
        return self._base(ast.ImportFrom(module=name.lstrip(".") or None, names=[], level=level))


def _import_strings(text: str) -> list[Reference]:
    matched = IMPORT_STRING.fullmatch(text)
    return [Reference(matched[1], tuple(matched[2].split(".")))] if matched else []


def _texts(nodes: Iterable[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _divided(node: ast.expr) -> list[str]:
    """The texts of ``folder / "a" / "b.json"``, in order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_divided(node.left), *_texts([node.right])]
    return _texts([node])


def _data_names(text: str) -> list[str]:
    return [text] if _DATA_NAME.fullmatch(text) else []
