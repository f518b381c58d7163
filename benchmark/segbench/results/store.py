"""A run's directory: every write is atomic, one writer at a time, and a run that stopped anywhere can go on.

``cells/<cell>.json`` holds each finished cell and is the truth; ``run.json`` gathers them and is rebuilt from them where it is
damaged. Beside them lie ``config.toml``, ``checkpoints/<cell>/``, ``confusions/<cell>.npz``, ``confusions/<cell>--<backend>.npz``,
``predictions/<cell>/``, ``deployments/<cell>/``, ``logs/``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from segbench.errors import StoreError
from segbench.results import frame as frame  # the views of a RunResult
from segbench.results.plugin_metrics import adopt
from segbench.results.records import SCHEMA_VERSION, CellResult, RunResult
from segbench.util.files import explained, write_atomic
from segbench.util.sequences import first_line

if TYPE_CHECKING:
    from filelock import BaseFileLock

_FOLDERS = ("cells", "checkpoints", "confusions", "predictions", "deployments", "logs")
_OWNED = (
    "cells/*.json",
    "checkpoints/*/*.pt",
    "checkpoints/*/batch.json",
    "confusions/*.npz",
    "predictions/**/*.png",
    "deployments/**/*",
    "logs/*.log",
    "logs/events.jsonl",
    "logs/now.*",
    "**/.*.unfinished",
    "charts/*.svg",
    "run.json",
    "config.toml",
    "race.json",
    "normalisation.json",
    "report.md",
)

_DESCRIPTIONS = ("config", "task", "race", "instruments")


class RunStore:
    """The directory of one run. Raises :class:`StoreError` with the path and what to do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: BaseFileLock | None = None

    def open(self) -> None:
        """Create the directory and take the lock; a second writer is refused."""
        with explained(self.directory):
            for folder in _FOLDERS:
                (self.directory / folder).mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _locked(self) -> BaseFileLock:
        """The lock, taken, with this process's number in its file; on Windows the file cannot be written while it is locked."""
        from filelock import FileLock, Timeout

        file = self.directory / ".lock"
        # a soft lock, filelock's fallback where flock is missing, writes text of its own into the file
        lock = FileLock(file, timeout=0, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                f"Another segbench (process {_holder(file)}) is writing to '{self.directory}'. Wait for it, or choose another --out DIR."
            ) from None
        with contextlib.suppress(PermissionError):
            file.write_text(str(os.getpid()))
        return lock

    def clear(self) -> None:
        """Remove what earlier runs wrote here (``--fresh``); all other files stay, also in our folders."""
        with explained(self.directory):
            for pattern in _OWNED:
                for file in self.directory.glob(pattern):
                    if not file.is_dir():
                        file.unlink()
            for cells in (self.directory / "evaluations").glob("*/cells"):
                RunStore(cells.parent).clear()
                (cells.parent / ".lock").unlink(missing_ok=True)
            for name in (*_FOLDERS, "charts", "evaluations"):
                folders = sorted((self.directory / name).glob("**/"), reverse=True)
                for folder in folders:
                    if not any(folder.iterdir()) and (folder != self.directory / name or name not in _FOLDERS):
                        folder.rmdir()

    def read_cells(self) -> tuple[dict[str, CellResult], list[str]]:
        """Finished cells by id, and a note for each file that cannot be read (its cell is run again).

        Raises :class:`StoreError` where a newer segbench has written here.
        """
        _refuse_newer(self.directory / "run.json", self.read_json("run.json"))
        cells, notes = {}, []
        for file in sorted((self.directory / "cells").glob("*.json")):
            try:
                cell = CellResult.model_validate_json(file.read_bytes())
            except (ValidationError, OSError, ValueError):
                notes.append(f"cells/{file.name} is damaged: its cell is run again")
                continue
            cells[cell.id] = cell
        return cells, notes

    def write_cell(self, cell: CellResult) -> None:
        """Put one cell's row on disk."""
        self.write_text(f"cells/{cell.id}.json", cell.model_dump_json(indent=1))

    def write_run(self, result: RunResult) -> None:
        """Put ``run.json`` on disk."""
        self.write_text("run.json", result.model_dump_json(indent=1))

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file below the run's directory."""
        path = self.directory / name
        with explained(path):
            write_atomic(path, text.encode())
        return path

    def read_json(self, name: str) -> Any:
        """A JSON file below the run's directory; None where it is missing or damaged."""
        try:
            return json.loads((self.directory / name).read_bytes())
        except (OSError, ValueError):
            return None

    def relative(self, path: Path) -> str:
        """A path as it stands in ``run.json``."""
        return path.relative_to(self.directory).as_posix()


def no_run(path: Path | str, reason: str, advice: str = "Give the directory that 'segbench run --out' wrote.") -> StoreError:
    """The error for a path that is no run's directory.

    >>> str(no_run("runs", "there is no run.json"))
    "'runs' holds no run: there is no run.json. Give the directory that 'segbench run --out' wrote."
    """
    return StoreError(f"'{path}' holds no run: {reason}. {advice}")


def load_run(path: Path) -> RunResult:
    """Read a run's directory or its ``run.json``; a damaged one is rebuilt from its finished cells.

    Raises :class:`StoreError` where there is no run, or where it was written by a newer segbench.
    """
    file = path / "run.json" if path.is_dir() else path
    directory = file.parent
    if not file.exists() and not (directory / "cells").is_dir():
        raise no_run(path, "there is no run.json")
    try:
        document = json.loads(file.read_bytes())
        _refuse_newer(file, document)
        if not isinstance(document, dict) or "schema_version" not in document:
            raise ValueError("it has no schema_version: no segbench wrote it")
        return adopt(_with_odd_keys_left_out(document))
    except (OSError, ValueError, ValidationError) as error:
        return adopt(_rebuild(directory, file, error))


def _with_odd_keys_left_out(document: Mapping[str, Any]) -> RunResult:
    """The result, without keys of its descriptions that are of an unknown type; a note stands in their place.

    Versions before these keys had types read anything there: what describes a run must not keep its numbers from being shown.
    """
    try:
        return RunResult.model_validate(document)
    except ValidationError as error:
        odd = sorted({(str(key), str(name)) for key, name, *_ in (fault["loc"] for fault in error.errors() if len(fault["loc"]) > 1)})
        if any(fault["loc"][0] not in _DESCRIPTIONS or len(fault["loc"]) == 1 for fault in error.errors()):
            raise
        left = {key: {name: value for name, value in document[key].items() if (key, name) not in odd} for key, _ in odd}
        names = ", ".join(".".join(place) for place in odd)
        notes = [*document.get("warnings", ()), f"run.json: what stands under {names} could not be read and is left out"]
        return RunResult.model_validate({**document, **left, "warnings": notes})


def _refuse_newer(file: Path, document: Any) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(f"'{file}' has schema version {version}; this segbench reads up to {SCHEMA_VERSION}. Upgrade segbench.")


def _rebuild(directory: Path, file: Path, error: Exception) -> RunResult:
    cells, notes = RunStore(directory).read_cells()
    if not cells:
        raise StoreError(
            f"'{file}' is damaged ({first_line(error)}) and there are no finished cells beside it. Run the same command again."
        ) from None
    notes.insert(0, "run.json was missing or damaged: rebuilt from the finished cells")
    return RunResult(cells=list(cells.values()), complete=False, warnings=notes)


def _holder(file: Path) -> str:
    """The number of the process that wrote a lock's file."""
    try:
        return file.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
