"""``predictions.json``: what ``segbench predict`` writes beside its masks, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from segbench.results.records import SparseRecord
from segbench.util.image_size import Size

FILE = "predictions.json"
FORMAT: Final = 1


class PredictedNetwork(SparseRecord):
    """The network that predictions are of: a checkpoint, or an exported file with the backend that runs it."""

    model: str = ""
    kind: Literal["checkpoint", "export"] = "checkpoint"
    file: str = ""
    cell: str | None = None
    file_sha256: str | None = None
    weights_sha256: str | None = None
    trained_on: str | None = None
    train_split: str | None = None
    select_on: str | None = None
    random_weights: bool = False
    backend: str | None = None
    precision: str | None = None


class ShownAs(SparseRecord):
    """The settings that predictions depend on."""

    size: str = "auto"
    tile: str = "auto"
    overlap: int | None = None
    alpha: float | None = None
    classes: str | None = None
    rescale: str | None = None


class FileState(SparseRecord):
    """A file of an image, by which a changed image is recognised."""

    name: str
    bytes: int | None = None
    modified_ns: int | None = None


class PredictedImage(SparseRecord):
    """An image with its files (relative to the folder), its size (height, width) and its pixels by class."""

    id: str
    source: tuple[FileState, ...] = ()
    mask: str | None = None
    overlay: str | None = None
    size: Size | None = None
    shown: str = ""
    rescaled: dict[str, str] = Field(default_factory=dict)
    pixels: dict[str, int]
    pixels_without_data: int = 0
    pixels_without_class: int = 0
    shares: dict[str, float] = Field(default_factory=dict)
    area_m2: dict[str, float] | None = None
    seconds: float | None = None


class FailedImage(SparseRecord):
    """An image that could not be predicted."""

    id: str
    source: tuple[FileState, ...] = ()
    error: str = ""


class PredictionDocument(SparseRecord):
    """The content of ``predictions.json``."""

    predictions_version: Literal[1]
    segbench: str = ""
    network: PredictedNetwork = Field(default_factory=PredictedNetwork)
    settings: ShownAs = Field(default_factory=ShownAs)
    classes: tuple[str, ...] = ()
    ignore_index: int | None = None
    images: tuple[PredictedImage, ...]
    failures: tuple[FailedImage, ...] = ()
    pixels: dict[str, int] = Field(default_factory=dict)


def read_predictions(folder: Path) -> PredictionDocument | None:
    """The ``predictions.json`` of a folder; None where there is none that can be read."""
    try:
        return PredictionDocument.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
