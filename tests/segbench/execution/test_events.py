from __future__ import annotations

import types
from typing import Any

import pytest

from segbench import hookimpl
from segbench.execution.events import Fanout, Observers
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog, PluginWarning

CELL = {"id": "a", "model": "unet"}


def watching(catalog: Catalog, name: str, **hooks: Any) -> None:
    plugin = types.SimpleNamespace(**{hook: hookimpl(specname=f"segbench_{hook}")(function) for hook, function in hooks.items()})
    assert catalog.add(plugin, Plugin(name)).error is None


def test_each_observer_gets_the_arguments_that_it_names() -> None:
    catalog, seen = Catalog(), []

    def after_cell(result: Any) -> None:
        seen.append(("result", result))

    def after_epoch(epoch: Any, cell: Any) -> None:
        seen.append((cell["id"], epoch["epoch"]))

    def before_cell(cell: Any) -> None:
        seen.append(("before", cell["id"]))

    watching(catalog, "watcher", after_cell=after_cell, after_epoch=after_epoch, before_cell=before_cell)
    observers = Observers(catalog)
    observers.on("plan", None, {"cells": 1})
    observers.on("cell", CELL, {})
    observers.on("epoch", CELL, {"epoch": 1})
    observers.on("cell_end", CELL, {"status": "ok"})
    assert seen == [("before", "a"), ("a", 1), ("result", {"status": "ok"})]


def test_an_observer_that_raises_is_switched_off_and_reported_and_the_others_go_on() -> None:
    catalog, seen = Catalog(), []

    def fails(cell: Any) -> None:
        seen.append("broken")
        raise RuntimeError("disk full")

    def never(cell: Any) -> None:
        seen.append("broken again")

    def starts(cell: Any) -> None:
        seen.append("start")

    def ends(cell: Any) -> None:
        seen.append("end")

    watching(catalog, "broken", before_cell=fails, after_cell=never)
    watching(catalog, "fine", before_cell=starts, after_cell=ends)
    observers = Observers(catalog)
    with pytest.warns(PluginWarning, match="plugin 'broken' was switched off: segbench_before_cell raised RuntimeError: disk full"):
        observers.on("cell", CELL, {})
    observers.on("cell_end", CELL, {})
    assert sorted(seen) == ["broken", "end", "start"]
    assert observers.switched_off == {"broken": "segbench_before_cell raised RuntimeError: disk full"}


def test_every_listener_gets_every_event() -> None:
    heard: list[tuple[str, str]] = []

    class Ear:
        def __init__(self, name: str) -> None:
            self.name = name

        def on(self, event: str, cell: Any, payload: Any) -> None:
            heard.append((self.name, event))

    Fanout(Ear("left"), Ear("right")).on("plan", None, {})
    assert heard == [("left", "plan"), ("right", "plan")]
