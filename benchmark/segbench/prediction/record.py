"""``predictions.json``: network, settings and predicted images of a folder, written as it goes and read again to resume."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench import __version__
from segbench.errors import StoreError
from segbench.plugin.specs import Task
from segbench.util.files import explained, write_atomic
from segbench.util.redact import without_folders

FILE = "predictions.json"
FORMAT = 1
_SECONDS_BETWEEN = 5.0
_COMPARED = ("weights_sha256", "file_sha256")


@dataclass
class PredictionRecord:
    """The record of a folder of predictions, written every few seconds and at the end."""

    folder: Path
    network: Mapping[str, Any]
    settings: Mapping[str, Any]
    task: Task
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    _written: float = 0.0

    def is_done(self, name: str, source: Sequence[Mapping[str, Any]], *, overlay: bool) -> bool:
        """True where an image was predicted before from the same files, and its mask (and overlay) still exists."""
        entry = self.images.get(name)
        if entry is None or entry.get("source") != list(source):
            return False
        files = [entry.get("mask"), *([entry.get("overlay")] if overlay else [])]
        return all(file is not None and (self.folder / file).is_file() for file in files)

    def add(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add an image, and write the record every few seconds."""
        self.images[name] = dict(entry)
        self.failures.pop(name, None)
        if time.monotonic() - self._written > _SECONDS_BETWEEN:
            self.write()

    def fail(self, name: str, source: Sequence[Mapping[str, Any]], error: str) -> None:
        """Add an image that could not be predicted."""
        self.images.pop(name, None)
        self.failures[name] = {"id": name, "source": list(source), "error": without_folders(error)}

    def write(self) -> None:
        """Write ``predictions.json``."""
        with explained(self.folder / FILE):
            write_atomic(self.folder / FILE, (json.dumps(self.document(), indent=1) + "\n").encode())
        self._written = time.monotonic()

    def document(self) -> dict[str, Any]:
        """The record as plain data."""
        pixels = totals(self.images.values(), self.task)
        return {
            "predictions_version": FORMAT,
            "segbench": __version__,
            "network": dict(self.network),
            "settings": dict(self.settings),
            "classes": list(self.task.class_names),
            "ignore_index": self.task.ignore_index,
            "images": [{"id": name, **entry} for name, entry in sorted(self.images.items())],
            "failures": [self.failures[name] for name in sorted(self.failures)],
            "pixels": pixels,
        }


def open_record(folder: Path, network: Mapping[str, Any], settings: Mapping[str, Any], task: Task, *, overwrite: bool) -> PredictionRecord:
    """The record of a folder, with the images that it holds. Raises :class:`StoreError` for predictions of another network or settings.

    With ``overwrite`` all of it is made again; files of images that are not asked for stay.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--out '{folder}' is a file: give a folder.")
    record = PredictionRecord(folder, network, settings, task)
    before = _read_previous(folder)
    if not overwrite:
        if before is None and any((folder / name).exists() for name in ("masks", "overlays", FILE)):
            raise StoreError(
                f"'{folder}' has masks or overlays that no 'segbench predict' wrote. Choose another --out DIR, or --overwrite."
            )
        if before is not None:
            _refuse_other(folder, before, network, settings)
            record.images = {entry["id"]: {k: v for k, v in entry.items() if k != "id"} for entry in before["images"]}
    with explained(folder):
        (folder / "masks").mkdir(parents=True, exist_ok=True)
    return record


def file_states(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, size and modification time of each file, by which a changed image is recognised."""
    states = []
    for file in files:
        try:
            state = file.stat()
            states.append({"name": file.name, "bytes": state.st_size, "modified_ns": state.st_mtime_ns})
        except OSError:
            states.append({"name": file.name, "bytes": None, "modified_ns": None})
    return states


def totals(entries: Any, task: Task) -> dict[str, int]:
    """Pixels per class over all images.

    >>> totals([{"pixels": {"land": 3, "water": 1}}, {"pixels": {"land": 1, "water": 0}}], Task(class_names=("land", "water")))
    {'land': 4, 'water': 1}
    """
    counts = dict.fromkeys(task.class_names, 0)
    for entry in entries:
        for name, count in entry["pixels"].items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _read_previous(folder: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    fits = isinstance(document, dict) and document.get("predictions_version") == FORMAT and isinstance(document.get("images"), list)
    fits = fits and all(isinstance(entry, dict) and "id" in entry and isinstance(entry.get("pixels"), dict) for entry in document["images"])
    return document if fits else None


def _refuse_other(folder: Path, before: Mapping[str, Any], network: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    recorded, now = before.get("network", {}), network
    if any(recorded.get(key) != now.get(key) for key in _COMPARED):
        origin = f"another network ({recorded.get('model')}, {recorded.get('file')})"
    else:
        then = before.get("settings", {})
        changed = [f"{key} {then.get(key)} -> {settings.get(key)}" for key in {**then, **settings} if then.get(key) != settings.get(key)]
        if not changed:
            return
        origin = f"other settings ({', '.join(changed)})"
    raise StoreError(f"'{folder}' holds predictions of {origin}. Choose another --out DIR, or --overwrite to make them again.")
