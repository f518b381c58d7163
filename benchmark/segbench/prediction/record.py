"""``predictions.json``: network, settings and predicted images of a folder, written as it goes and read again to resume."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segbench import __version__
from segbench.errors import StoreError
from segbench.plugin.specs import Task
from segbench.results.predictions import (
    FILE,
    FORMAT,
    FailedImage,
    FileState,
    PredictedImage,
    PredictedNetwork,
    PredictionDocument,
    ShownAs,
    read_predictions,
)
from segbench.util.files import explained, write_atomic
from segbench.util.redact import without_folders

_SECONDS_BETWEEN = 5.0
_COMPARED = ("weights_sha256", "file_sha256")


@dataclass
class PredictionRecord:
    """The record of a folder of predictions, written every few seconds and at the end."""

    folder: Path
    network: PredictedNetwork
    settings: ShownAs
    task: Task
    images: dict[str, PredictedImage] = field(default_factory=dict)
    failures: dict[str, FailedImage] = field(default_factory=dict)
    _written: float = 0.0

    def is_done(self, name: str, source: tuple[FileState, ...], *, overlay: bool) -> bool:
        """True where an image was predicted before from the same files, and its mask (and overlay) still exists."""
        entry = self.images.get(name)
        if entry is None or entry.source != source:
            return False
        files = [entry.mask, *([entry.overlay] if overlay else [])]
        return all(file is not None and (self.folder / file).is_file() for file in files)

    def add(self, image: PredictedImage) -> None:
        """Add an image, and write the record every few seconds."""
        self.images[image.id] = image
        self.failures.pop(image.id, None)
        if time.monotonic() - self._written > _SECONDS_BETWEEN:
            self.write()

    def fail(self, name: str, source: tuple[FileState, ...], error: str) -> None:
        """Add an image that could not be predicted."""
        self.images.pop(name, None)
        self.failures[name] = FailedImage(id=name, source=source, error=without_folders(error))

    def write(self) -> None:
        """Write ``predictions.json``."""
        with explained(self.folder / FILE):
            write_atomic(self.folder / FILE, (self.to_json() + "\n").encode())
        self._written = time.monotonic()

    def to_json(self) -> str:
        """The text of ``predictions.json``."""
        return json.dumps(self.document().model_dump(mode="json"), indent=1)

    def document(self) -> PredictionDocument:
        """The content of ``predictions.json``, images by name."""
        return PredictionDocument(
            predictions_version=FORMAT,
            segbench=__version__,
            network=self.network,
            settings=self.settings,
            classes=self.task.class_names,
            ignore_index=self.task.ignore_index,
            images=tuple(image for _, image in sorted(self.images.items())),
            failures=tuple(failure for _, failure in sorted(self.failures.items())),
            pixels=totals(self.images.values(), self.task),
        )


def open_record(folder: Path, network: PredictedNetwork, settings: ShownAs, task: Task, *, overwrite: bool) -> PredictionRecord:
    """The record of a folder, with the images that it holds. Raises :class:`StoreError` for predictions of another network or settings.

    With ``overwrite`` all of it is made again; files of images that are not asked for stay.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--out '{folder}' is a file: give a folder.")
    record = PredictionRecord(folder, network, settings, task)
    before = read_predictions(folder)
    if not overwrite:
        if before is None and any((folder / name).exists() for name in ("masks", "overlays", FILE)):
            raise StoreError(
                f"'{folder}' has masks or overlays that no 'segbench predict' wrote. Choose another --out DIR, or --overwrite."
            )
        if before is not None:
            _refuse_other(folder, before, network, settings, task)
            record.images = {image.id: image for image in before.images}
    with explained(folder):
        (folder / "masks").mkdir(parents=True, exist_ok=True)
    return record


def file_states(files: Sequence[Path]) -> tuple[FileState, ...]:
    """Name, size and modification time of each file; those of a file that is missing are None."""
    states = []
    for file in files:
        try:
            state = file.stat()
            states.append(FileState(name=file.name, bytes=state.st_size, modified_ns=state.st_mtime_ns))
        except OSError:
            states.append(FileState(name=file.name, bytes=None, modified_ns=None))
    return tuple(states)


def totals(images: Iterable[PredictedImage], task: Task) -> dict[str, int]:
    """Pixels per class over all images.

    >>> images = [PredictedImage(id="a", pixels={"land": 3, "water": 1}), PredictedImage(id="b", pixels={"land": 1, "water": 0})]
    >>> totals(images, Task(class_names=("land", "water")))
    {'land': 4, 'water': 1}
    """
    counts = dict.fromkeys(task.class_names, 0)
    for image in images:
        for name, count in image.pixels.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _refuse_other(folder: Path, before: PredictionDocument, network: PredictedNetwork, settings: ShownAs, task: Task) -> None:
    if any(before.network.get(key) != network.get(key) for key in _COMPARED):
        origin = f"another network ({before.network.get('model')}, {before.network.get('file')})"
    elif before.classes and before.classes != task.class_names:
        origin = f"other classes ({', '.join(before.classes[:5])}{', ..' if len(before.classes) > 5 else ''})"
    else:
        then = before.settings
        changed = [f"{key} {then.get(key)} -> {settings.get(key)}" for key in {**then, **settings} if then.get(key) != settings.get(key)]
        if not changed:
            return
        origin = f"other settings ({', '.join(changed)})"
    raise StoreError(f"'{folder}' holds predictions of {origin}. Choose another --out DIR, or --overwrite to make them again.")
