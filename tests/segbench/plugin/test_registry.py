from __future__ import annotations

import importlib
import json
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench import LossSpec, ModelSpec, OptionError, Options, Recipe, UnknownNameError, hookimpl
from segbench.plugin import hookspecs
from segbench.plugin.chosen import Plugin, source_hash
from segbench.plugin.hookspecs import hookspec
from segbench.plugin.registry import KINDS, SINGULAR, Catalog, PluginWarning, load_catalog

Adder = Callable[[object], Plugin]

OBSERVERS = ("segbench_before_cell", "segbench_after_epoch", "segbench_after_cell")


class UnetOptions(Options):
    channels: int = 8


def model(name: str, **fields: Any) -> ModelSpec:
    return ModelSpec(name=name, summary="a model", build="nowhere:build", **fields)


class Good:
    """Gives two models, one loss, and watches cells."""

    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("unet", options=UnetOptions), model("fpn")]

    @hookimpl
    def segbench_losses(self) -> Iterator[LossSpec]:
        yield LossSpec(name="ce", summary="a loss", build="nowhere:build")

    @hookimpl
    def segbench_before_cell(self, cell: dict[str, Any]) -> None:
        cell["seen"] = True


@pytest.fixture(autouse=True)
def _hash_anew() -> None:
    """Sources are hashed once per process; each test here is a process of its own to them."""
    source_hash.cache_clear()


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    assert catalog.add(Good(), Plugin("good", package="good-package")).error is None
    return catalog


def add_broken(catalog: Catalog, plugin: object, name: str = "bad") -> str:
    """Add a plugin that must be skipped with a warning and leave no trace; its reason."""
    before = {kind: catalog.names(kind) for kind in KINDS}
    observers = {hook: len(catalog.observers(hook)) for hook in OBSERVERS}
    with pytest.warns(PluginWarning, match=f"plugin '{name}' was skipped") as caught:
        info = catalog.add(plugin, Plugin(name))
    assert len(caught) == 1
    assert info.error is not None
    assert not info.provides
    assert catalog.plugins[-1] == info
    assert {kind: catalog.names(kind) for kind in KINDS} == before
    assert {hook: len(catalog.observers(hook)) for hook in OBSERVERS} == observers
    assert plugin not in catalog.manager.get_plugins()
    return info.error


def test_what_plugins_give_is_found_with_its_provenance(catalog: Catalog) -> None:
    assert catalog.names("models") == ["unet", "fpn"]
    spec, plugin = catalog.spec("losses", "ce")
    assert (spec.name, plugin.name, plugin.package) == ("ce", "good", "good-package")
    assert plugin.provides == {"models": ("unet", "fpn"), "losses": ("ce",)}
    assert [spec.name for spec, _ in catalog.specs("models")] == ["unet", "fpn"]


def test_a_choice_is_resolved_with_its_options(catalog: Catalog) -> None:
    chosen = catalog.model("unet[channels=3]")
    assert (chosen.spec.name, chosen.options.values(), str(chosen)) == ("unet", {"channels": 3}, "unet[channels=3]")


def test_brackets_win_over_settings_for_all_models(catalog: Catalog) -> None:
    assert catalog.model("unet", {"channels": 5}).options.values() == {"channels": 5}
    assert catalog.model("unet[channels=3]", {"channels": 5}).options.values() == {"channels": 3}
    with pytest.raises(OptionError, match=r"unet: unknown option 'chanels'\. Did you mean 'channels'"):
        catalog.model("unet[chanels=3]")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unte", "Unknown model 'unte'. Did you mean 'unet'?"),
        ("UNet", "Unknown model 'UNet'. Did you mean 'unet'?"),
        ("zzz", "Unknown model 'zzz'. Known: unet, fpn."),
    ],
)
def test_unknown_names_get_near_misses(catalog: Catalog, name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        catalog.model(name)
    assert str(caught.value) == message


def test_unknown_names_mention_skipped_plugins(catalog: Catalog) -> None:
    class Bad:
        @hookimpl
        def segbench_models(self) -> list[ModelSpec]:
            raise RuntimeError("no licence")

    add_broken(catalog, Bad())
    with pytest.raises(UnknownNameError, match=r"\(Skipped plugins: bad; see 'segbench list plugins'\.\)$"):
        catalog.model("segformer")


class Raises:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("kept-out")]

    @hookimpl
    def segbench_losses(self) -> list[LossSpec]:
        raise RuntimeError("no licence")


class Exits:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        sys.exit(3)


class Misspelled:
    @hookimpl
    def segbench_model(self) -> list[ModelSpec]:
        return [model("kept-out")]


class Undecorated:
    def segbench_models(self) -> list[ModelSpec]:
        return [model("kept-out")]


class WrongArguments:
    @hookimpl
    def segbench_models(self, task: str) -> list[ModelSpec]:
        return [model("kept-out")]

    @hookimpl
    def segbench_after_cell(self, cell: dict[str, Any]) -> None:
        """Watches."""


class WrongType:
    @hookimpl
    def segbench_models(self) -> list[Any]:
        return [model("kept-out"), Recipe(name="r", summary="", settings={})]


class NoList:
    @hookimpl
    def segbench_models(self) -> None:
        return None


class Bare:
    @hookimpl
    def segbench_models(self) -> ModelSpec:
        return model("kept-out")


class RaisingGenerator:
    @hookimpl
    def segbench_models(self) -> Iterator[ModelSpec]:
        yield model("kept-out")
        raise RuntimeError("half-way")


class Taken:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("kept-out"), model("unet")]


class Twice:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("kept-out"), model("kept-out")]


class OddName:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("my unet")]


class Bracketed:
    @hookimpl
    def segbench_models(self) -> list[ModelSpec]:
        return [model("unet[channels=3]")]


class Wrapper:
    @hookimpl(wrapper=True)
    def segbench_models(self) -> Iterator[Any]:
        return (yield)


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (Raises, "RuntimeError: no licence"),
        (Exits, "SystemExit: 3"),
        (Misspelled, "it implements 'segbench_model', which is no hook of segbench. Did you mean 'segbench_models'"),
        (Undecorated, "its 'segbench_models' lacks the decorator @hookimpl"),
        (WrongArguments, r"Argument\(s\) \{'task'\} are declared in the hookimpl but can not be found"),
        (WrongType, "segbench_models yields Recipe instead of ModelSpec"),
        (NoList, "segbench_models returned NoneType instead of a list of ModelSpec"),
        (Bare, "segbench_models returned ModelSpec instead of a list of ModelSpec"),
        (RaisingGenerator, "RuntimeError: half-way"),
        (Taken, r"the model name 'unet' is taken by plugin 'good' \(good-package\)"),
        (Twice, "it gives the model 'kept-out' twice"),
        (OddName, "my unet"),
        (Bracketed, "segbench_models: 'unet\\[channels=3\\]' is not a plain name"),
        (Wrapper, "segbench_models yields NoneType instead of ModelSpec"),
    ],
)
def test_a_broken_plugin_costs_only_itself(catalog: Catalog, plugin: type, reason: str) -> None:
    assert re.search(reason, add_broken(catalog, plugin()))
    assert catalog.model("unet").plugin.name == "good"

    class Later:
        @hookimpl
        def segbench_models(self) -> list[ModelSpec]:
            return [model("kept-out")]

    assert catalog.add(Later(), Plugin("later")).error is None


def test_a_second_plugin_of_a_name_does_not_push_out_the_first(catalog: Catalog) -> None:
    with pytest.warns(PluginWarning, match="was skipped"):
        catalog.add(Raises(), Plugin("good"))
    assert [name for name, _ in catalog.observers("segbench_before_cell")] == ["good"]
    assert catalog.manager.has_plugin("good")


def test_one_name_may_stand_for_a_model_and_a_loss() -> None:
    class Both:
        @hookimpl
        def segbench_models(self) -> list[ModelSpec]:
            return [model("same")]

        @hookimpl
        def segbench_losses(self) -> list[LossSpec]:
            return [LossSpec(name="same", summary="", build="nowhere:build")]

    assert Catalog().add(Both(), Plugin("both")).error is None


def test_a_hook_may_be_implemented_under_another_name() -> None:
    class Renamed:
        @hookimpl(specname="segbench_models")
        def architectures(self) -> list[ModelSpec]:
            return [model("renamed")]

    catalog = Catalog()
    assert catalog.add(Renamed(), Plugin("renamed")).error is None
    assert catalog.names("models") == ["renamed"]


HOOKS = [name for name in dir(hookspecs) if name.startswith("segbench_")]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_declared_documented_and_known(name: str) -> None:
    hook = getattr(hookspecs, name)
    assert hook.segbench_spec == hookspec(lambda: None).segbench_spec  # type: ignore[attr-defined]
    assert (hook.__doc__ or "").strip().endswith(".")
    assert name.removeprefix("segbench_") in KINDS or name in OBSERVERS


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_providing_hook_reaches_the_catalog(kind: str) -> None:
    minimal: dict[str, Any] = {
        "models": {"build": "a:b"},
        "losses": {"build": "a:b"},
        "datasets": {"task": "a:b", "splits": ("train",), "load": "a:b"},
        "backends": {"build": "a:b"},
        "recipes": {"settings": {}},
        "claims": {"subject": "x", "quantity": "params", "comparator": "about", "value": 1.0, "source": "here"},
        "reporters": {"render": "a:b"},
        "converters": {"convert": "a:b"},
        "metrics": {"from_image": "a:b"},
        "augmentations": {"build": "a:b"},
    }
    spec = KINDS[kind](name="x", summary="y", **minimal[kind])
    plugin = types.SimpleNamespace(hook=hookimpl(specname=f"segbench_{kind}")(lambda: [spec]))
    catalog = Catalog()
    assert catalog.add(plugin, Plugin("p")).provides == {kind: ("x",)}
    assert catalog.spec(kind, "x")[0] is spec
    with pytest.raises(UnknownNameError, match=f"^Unknown {SINGULAR[kind]} 'zzz'"):
        catalog.spec(kind, "zzz")


@pytest.mark.parametrize("hook", OBSERVERS)
def test_every_observer_can_be_found(hook: str) -> None:
    seen: list[Any] = []

    def watch(cell: Any) -> None:
        seen.append(cell)

    plugin = types.SimpleNamespace(watch=hookimpl(specname=hook)(watch))
    catalog = Catalog()
    catalog.add(plugin, Plugin("watcher"))
    ((name, found),) = catalog.observers(hook)
    found.function({"id": "a"})
    assert (name, seen) == ("watcher", [{"id": "a"}])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a distribution ``name`` with one module and an entry point into a folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, source: str, *, entry: str | None = None, direct_url: str = "") -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        folder = tmp_path / f"{module}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(f"[segbench]\nmain = {entry or module}\n")
        if direct_url:
            (folder / "direct_url.json").write_text(direct_url)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


GOOD_SOURCE = """
from segbench import ModelSpec, hookimpl

@hookimpl
def segbench_models():
    return [ModelSpec(name="from-{name}", summary="", build="nowhere:build")]
"""


def load_quietly() -> tuple[Catalog, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalog = load_catalog()
    return catalog, [str(w.message) for w in caught if w.category is PluginWarning]


def test_installed_plugins_are_found_after_the_built_ins(installed: Callable[..., None]) -> None:
    installed("a-plugin", GOOD_SOURCE.format(name="a"))
    installed("b-plugin", GOOD_SOURCE.format(name="b"))
    catalog, warned = load_quietly()
    assert catalog.names("models")[-2:] == ["from-a", "from-b"]
    assert catalog.names("models")[0].startswith("deeplab")
    assert warned == []
    model = catalog.model("from-a")
    assert (model.plugin.name, model.code.identity) == ("a-plugin:main", "a-plugin==1.2")


@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        ("import no_such_module_anywhere", None, "it does not import: ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def broken(:", None, "it does not import: SyntaxError"),
        ("raise SystemExit(1)", None, "it does not import: SystemExit: 1"),
        ("x = 1", "bad_plugin:missing", "it does not import: AttributeError"),
        ("x = 1", "no_such_module_anywhere", "it does not import: ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_does_not_import_is_skipped(installed: Callable[..., None], source: str, entry: str | None, reason: str) -> None:
    installed("bad-plugin", source, entry=entry)
    installed("good-plugin", GOOD_SOURCE.format(name="good"))
    catalog, warned = load_quietly()
    assert len(warned) == 1
    assert f"plugin 'bad-plugin:main' was skipped: {reason}" in warned[0]
    assert "from-good" in catalog.names("models")
    (record,) = [p for p in catalog.plugins if p.package == "bad-plugin"]
    assert (record.error or "").startswith(reason)
    assert record.version == "1.2"


def test_damaged_metadata_of_one_plugin_does_not_cost_the_others(installed: Callable[..., None]) -> None:
    installed("odd-plugin", GOOD_SOURCE.format(name="odd"), direct_url="{not json")
    installed("list-plugin", GOOD_SOURCE.format(name="list"), direct_url="[]")
    assert load_quietly()[0].names("models")[-2:] == ["from-list", "from-odd"]


def test_an_editable_plugin_is_identified_by_its_sources(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("dev-plugin", GOOD_SOURCE.format(name="dev"), direct_url=json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
    before = load_quietly()[0].model("from-dev").code.identity
    assert before.startswith("dev-plugin@")
    (tmp_path / "dev_plugin.py").write_text("# changed")
    source_hash.cache_clear()
    assert load_quietly()[0].model("from-dev").code.identity != before


def test_the_sources_of_a_module_in_a_package_are_those_of_the_package(installed: Callable[..., None], tmp_path: Path) -> None:
    package = tmp_path / "pack_of_models"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "catalogue.py").write_text(GOOD_SOURCE.format(name="pack"))
    installed("pack-plugin", "", entry="pack_of_models.catalogue", direct_url=json.dumps({"dir_info": {"editable": True}}))
    before = load_quietly()[0].model("from-pack").code.identity
    (package / "network.py").write_text("# what is built lies beside the catalogue")
    source_hash.cache_clear()
    assert load_quietly()[0].model("from-pack").code.identity != before


def test_source_hashes_see_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for name, text in (("a.py", "1"), ("b.py", "1"), ("b.py", "2")):
        source_hash.cache_clear()
        for old in tmp_path.glob("*.py"):
            old.unlink()
        (tmp_path / name).write_text(text)
        hashes.add(source_hash(tmp_path))
    assert len(hashes) == 3
