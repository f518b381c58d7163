"""Load plugins, keep broken ones out, and look names up with provenance.

Plugins come through the entry-point group ``segbench``; the built-ins come the same way. A plugin that fails to import,
misspells a hook, raises, yields something else than a spec or takes a used name is skipped as a whole and named with its reason.
"""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pluggy

from segbench.errors import ConfigError, PluginError, UnknownNameError, did_you_mean
from segbench.plugin import hookspecs
from segbench.plugin.choice import Choice, parse_choice
from segbench.plugin.chosen import Chosen, PartRecord, Plugin, SpecCode
from segbench.plugin.derived import derived_model, part_names, wrapping_loss
from segbench.plugin.objects import add_objects
from segbench.plugin.offered_metrics import OFFERED_METRICS
from segbench.plugin.options import NoOptions
from segbench.plugin.specs import (
    BUILT_IN_AUGMENTATIONS,
    AugmentationSpec,
    BackendSpec,
    Claim,
    ConverterSpec,
    DatasetSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    Recipe,
    Reporter,
)

GROUP = "segbench"
KINDS: Mapping[str, type] = {
    "models": ModelSpec,
    "losses": LossSpec,
    "datasets": DatasetSpec,
    "backends": BackendSpec,
    "recipes": Recipe,
    "claims": Claim,
    "reporters": Reporter,
    "converters": ConverterSpec,
    "metrics": MetricSpec,
    "augmentations": AugmentationSpec,
}
SINGULAR = {
    "models": "model",
    "losses": "loss",
    "datasets": "dataset",
    "backends": "backend",
    "recipes": "recipe",
    "claims": "claim",
    "reporters": "reporter",
    "converters": "converter",
    "metrics": "metric",
    "augmentations": "augmentation",
}


class PluginWarning(UserWarning):
    """A plugin was skipped or switched off."""


class Catalog:
    """Everything that plugins provide, by kind and name."""

    def __init__(self, manager: pluggy.PluginManager | None = None) -> None:
        self.manager = manager or new_manager()
        self.plugins: list[Plugin] = []
        self._entries: dict[str, dict[str, tuple[Any, Plugin]]] = {kind: {} for kind in KINDS}
        self._code: dict[tuple[str, str], SpecCode] = {}

    def names(self, kind: str) -> list[str]:
        """Names of one kind, in the order in which plugins gave them."""
        return list(self._entries[kind])

    def specs(self, kind: str) -> Iterator[tuple[Any, Plugin]]:
        """All specs of one kind, each with its plugin."""
        yield from self._entries[kind].values()

    def spec(self, kind: str, name: str) -> tuple[Any, Plugin]:
        """The spec of that name; raises :class:`UnknownNameError` with near misses and the way to list what there is."""
        entry = self._entries[kind].get(name)
        if entry is None:
            raise UnknownNameError(self._unknown(kind, name))
        return entry

    def choose(self, kind: str, choice: Choice | str, extra: Mapping[str, Any] | None = None) -> Chosen[Any]:
        """Look a choice up and resolve its options. ``extra`` are defaults from ``[model]``; brackets win over them."""
        if isinstance(choice, str):
            choice = parse_choice(choice)
        spec, plugin = self.spec(kind, choice.name)
        declared = getattr(spec, "options", NoOptions)
        options = declared.resolve({**(extra or {}), **dict(choice.options)}, owner=choice.name)
        declared_code = self._code[kind, choice.name]
        spec = spec.with_options(options) if isinstance(spec, ModelSpec) else spec
        return Chosen(choice, spec, options, plugin, declared=declared_code)

    def model(
        self, choice: Choice | str, extra: Mapping[str, Any] | None = None, *, parts: Sequence[PartRecord] | None = None
    ) -> Chosen[ModelSpec]:
        """A model; ``parts`` (:meth:`Chosen.parts_record`) are what a derived one is made of, where their options are not the defaults."""
        labelled_choice = parse_choice(choice, labels=True) if isinstance(choice, str) else choice
        chosen: Chosen[ModelSpec] = self.choose("models", labelled_choice, extra)
        if chosen.spec.derives is None:
            return chosen
        if parts is None:
            parts = [PartRecord(model=name, options={}, parts=None) for name in part_names(chosen)]
        return derived_model(chosen, [self.model(part["model"], part["options"], parts=part["parts"]) for part in parts])

    def loss(self, choice: Choice | str) -> Chosen[LossSpec]:
        """A loss; one that distils has the loss that it wraps as its part."""
        chosen: Chosen[LossSpec] = self.choose("losses", choice)
        if not chosen.spec.distils:
            return chosen
        return wrapping_loss(chosen, self.loss(str(chosen.options.values()["loss"])))

    def dataset(self, choice: Choice | str) -> Chosen[DatasetSpec]:
        return self.choose("datasets", choice)

    def backend(self, choice: Choice | str) -> Chosen[BackendSpec]:
        return self.choose("backends", choice)

    def recipe(self, name: str) -> Recipe:
        return cast(Recipe, self.spec("recipes", name)[0])

    def reporter(self, name: str) -> Reporter:
        return cast(Reporter, self.spec("reporters", name)[0])

    def converter(self, choice: Choice | str) -> Chosen[ConverterSpec]:
        return self.choose("converters", choice)

    def metric(self, name: str) -> Chosen[MetricSpec]:
        return self.choose("metrics", name)

    def augmentation(self, choice: Choice | str) -> Chosen[AugmentationSpec] | None:
        """The augmentation that a plugin gives; None for those that are built into the loader (:data:`BUILT_IN_AUGMENTATIONS`)."""
        if isinstance(choice, str):
            choice = parse_choice(choice)
        if choice.name not in BUILT_IN_AUGMENTATIONS:
            return self.choose("augmentations", choice)
        if choice.options:
            raise ConfigError(f"train.augmentation={choice}: '{choice.name}' takes no options. Write train.augmentation={choice.name}.")
        return None

    def claims(self) -> list[Claim]:
        return [spec for spec, _ in self.specs("claims")]

    def observers(self, hook: str) -> list[tuple[str, Any]]:
        """Implementations of an observer hook as (plugin name, function)."""
        caller = getattr(self.manager.hook, hook)
        return [(impl.plugin_name, impl) for impl in caller.get_hookimpls()]

    def add(self, plugin: object, info: Plugin) -> Plugin:
        """Register one plugin object; on any fault nothing of it stays, and the returned record has the reason."""
        held = {name for name, _ in self.manager.list_name_plugin()}
        try:
            provided = self._collect(plugin, info)
        except (Exception, SystemExit) as error:  # a plugin may raise anything, and only that plugin may be skipped for it
            if info.name not in held and self.manager.has_plugin(info.name):
                self.manager.unregister(name=info.name)
            return self.add_broken(info, _reason(error))
        info = replace(info, provides={kind: tuple(specs) for kind, specs in provided.items() if specs})
        for kind, specs in provided.items():
            self._entries[kind].update({name: (spec, info) for name, spec in specs.items()})
            self._code |= {(kind, name): SpecCode(spec, info) for name, spec in specs.items()}
        OFFERED_METRICS.update(provided["metrics"])
        self.plugins.append(info)
        return info

    def add_broken(self, info: Plugin, reason: str) -> Plugin:
        """Record a plugin that was skipped, and warn."""
        info = replace(info, error=reason)
        self.plugins.append(info)
        warnings.warn(f"plugin '{info.name}' was skipped: {reason}", PluginWarning, stacklevel=2)
        return info

    def _collect(self, plugin: object, info: Plugin) -> dict[str, dict[str, Any]]:
        self._refuse_misspelled(plugin)
        self.manager.register(plugin, name=info.name)
        provided: dict[str, dict[str, Any]] = {}
        for kind, expected in KINDS.items():
            hook = getattr(self.manager.hook, f"segbench_{kind}")
            impls = [impl for impl in hook.get_hookimpls() if impl.plugin_name == info.name]
            provided[kind] = {}
            for impl in impls:
                for spec in _specs_of(impl.function(), expected, f"segbench_{kind}"):
                    self._refuse_taken(kind, spec.name, provided[kind])
                    provided[kind][spec.name] = spec
        return provided

    def _refuse_misspelled(self, plugin: object) -> None:
        known = [name for name in dir(hookspecs) if name.startswith("segbench_")]
        for name in dir(plugin):
            marked = self.manager.parse_hookimpl_opts(plugin, name)
            hook = (marked.get("specname") if marked else None) or name
            if marked is not None and hook not in known:
                raise PluginError(f"it implements '{hook}', which is no hook of segbench.{did_you_mean(hook, known)}")
            if marked is None and name in known and callable(getattr(plugin, name, None)):
                raise PluginError(f"its '{name}' lacks the decorator @hookimpl (from segbench import hookimpl)")

    def _refuse_taken(self, kind: str, name: str, own: Mapping[str, Any]) -> None:
        if kind == "augmentations" and name in BUILT_IN_AUGMENTATIONS:
            raise PluginError(f"the augmentation name '{name}' is taken by segbench itself")
        if name in own:
            raise PluginError(f"it gives the {SINGULAR[kind]} '{name}' twice")
        if name in self._entries[kind]:
            holder = self._entries[kind][name][1]
            raise PluginError(f"the {SINGULAR[kind]} name '{name}' is taken by plugin '{holder.name}' ({holder.package})")

    def _unknown(self, kind: str, name: str) -> str:
        known = [*(BUILT_IN_AUGMENTATIONS if kind == "augmentations" else ()), *self._entries[kind]]
        text = f"Unknown {SINGULAR[kind]} '{name}'.{did_you_mean(name, known)}"
        if not did_you_mean(name, known):
            text += f" Known: {', '.join(known) or 'none'}."
        skipped = [p for p in self.plugins if p.error]
        if skipped:
            text += f" (Skipped plugins: {', '.join(p.name for p in skipped)}; see 'segbench list plugins'.)"
        return text


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows segbench's hooks and no plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def load_catalog() -> Catalog:
    """The catalog of every installed plugin: segbench's own first, then others by package name, then objects of this program."""
    catalog = Catalog()
    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=lambda p: (_package(p) != "segbench", _package(p), p.name)):
        info = _describe(point)
        try:
            module = point.load()
        except (Exception, SystemExit) as error:  # foreign code: an import may raise anything
            catalog.add_broken(info, f"it does not import: {_reason(error)}")
            continue
        catalog.add(module, replace(info, origin=_origin(module)))
    add_objects(catalog)
    return catalog


def _specs_of(returned: Any, expected: type, hook: str) -> list[Any]:
    if not isinstance(returned, Iterable) or isinstance(returned, (str, bytes, Mapping)):
        raise PluginError(f"{hook} returned {type(returned).__name__} instead of a list of {expected.__name__}")
    specs: list[Any] = list(returned)
    for item in specs:
        if not isinstance(item, expected):
            raise PluginError(f"{hook} yields {type(item).__name__} instead of {expected.__name__}")
        spec: Any = item
        parsed = parse_choice(spec.name) if not isinstance(spec, Claim) else None
        if parsed is not None and (parsed.options or parsed.name != spec.name):
            raise PluginError(f"{hook}: '{spec.name}' is not a plain name")
    return specs


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _describe(point: importlib.metadata.EntryPoint) -> Plugin:
    package = _package(point)
    version = point.dist.version if point.dist else ""
    return Plugin(name=f"{package}:{point.name}", package=package, version=version, editable=_editable(point))


def _editable(point: importlib.metadata.EntryPoint) -> bool:
    if not point.dist:
        return True
    text = point.dist.read_text("direct_url.json")
    try:
        return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):  # damaged metadata of one package must not hide the plugins of others
        return False


def _origin(module: object) -> str:
    file = getattr(module, "__file__", None)
    if not file:
        return ""
    path = Path(file)
    # what a module of a package builds may lie in the modules beside it
    in_package = path.name == "__init__.py" or "." in getattr(module, "__name__", "")
    return str(path.parent if in_package else path)
