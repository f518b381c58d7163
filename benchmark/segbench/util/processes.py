"""Child processes: forked from a server with everything imported, without the user's script, and ended with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any


def server_context(module: str) -> Any:
    """Processes forked from a server that has imported ``module`` but computed nothing; spawned where there is no such server."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def hidden_main() -> Iterator[None]:
    """Keep multiprocessing from importing the user's script in a child: a script without a main guard would run again."""
    main: dict[str, Any] = sys.modules["__main__"].__dict__
    saved: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(saved)


def end_with_parent(before: Callable[[], object] = lambda: None) -> None:
    """In a child: end this process, after ``before``, when the process that started it has ended in any way.

    The pipe to that process closes then; the fork server between them lives on for as long as any of its children does.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        before()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="segbench-parent-watch").start()


class Channel:
    """A worker's end of its pipe: a call sends its parent a message, :meth:`receive` waits for a command."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def __call__(self, kind: str, payload: Any) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._pipe.send((kind, payload))

    def receive(self) -> Any:
        """The next command of the parent."""
        return self._pipe.recv()
