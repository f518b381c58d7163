"""What happens during a run, told to whoever listens: progress displays and plugins' observers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from segbench.plugin.registry import Catalog, PluginWarning

Payload = Mapping[str, Any]


class Listener(Protocol):
    """Gets every event: plan, cell, stage, batch, epoch, result, cell_end, race, note."""

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None: ...


class Silent:
    """Listens to nothing."""

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Ignore the event."""


_HOOKS = {"cell": "segbench_before_cell", "epoch": "segbench_after_epoch", "cell_end": "segbench_after_cell"}


class Observers:
    """Calls plugins' observer hooks. One that raises is switched off and reported, never the cell."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.switched_off: dict[str, str] = {}

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Pass the event to every observer that still works."""
        hook = _HOOKS.get(event)
        if hook is None:
            return
        available = {"cell": cell, "epoch": payload, "result": payload}
        for name, impl in self.catalog.observers(hook):
            if name in self.switched_off:
                continue
            try:
                impl.function(**{argument: available[argument] for argument in impl.argnames})
            except (Exception, SystemExit) as error:  # foreign code: an observer must not cost a cell
                self.switched_off[name] = f"{hook} raised {type(error).__name__}: {error}"
                warnings.warn(f"plugin '{name}' was switched off: {self.switched_off[name]}", PluginWarning, stacklevel=2)


class Fanout:
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def on(self, event: str, cell: Payload | None, payload: Payload) -> None:
        """Pass the event on."""
        for listener in self.listeners:
            listener.on(event, cell, payload)
