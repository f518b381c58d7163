"""predict(): images through a network, each at its own size or resized, whole or in tiles, to masks, overlays and a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from segbench.data.batches import Normaliser, planned_normalisation, stack
from segbench.data.samples import working_form
from segbench.data.transforms import evaluation_size, resize_image
from segbench.data.window import Window
from segbench.errors import ConfigError, DataError, SegbenchError
from segbench.measure.quality.mapped import MappedClasses
from segbench.networks.finite import NonFinite, unordered
from segbench.networks.network import resize_logits
from segbench.prediction.masks import gap_id, mask_writer, to_ids
from segbench.prediction.overlays import write_overlay
from segbench.prediction.predictor import Predictor
from segbench.prediction.record import PredictionRecord, file_states, open_record
from segbench.prediction.scenes import OpenScene, Scene
from segbench.prediction.tiles import Grid, blended, grid_of
from segbench.prediction.values import Values, require_one_rule, trained_values
from segbench.results.predictions import PredictedImage, ShownAs
from segbench.util.devices import is_out_of_memory
from segbench.util.image_size import Size, format_size
from segbench.util.sequences import counted
from segbench.util.value_range import LinearRescale

WHOLE_PIXELS = 1536 * 1536
TILE = (1024, 1024)
_MOST_LOGIT_VALUES = 2**29
"""Values of logits (K x H x W) that a resized image may have at its own size: 2 GiB."""

Report = Callable[[str, Mapping[str, Any]], None]
"""Receives ``images`` (count), ``image`` (id, tiles), ``tile`` and ``done`` (id, kept, error, seconds)."""


@dataclass(frozen=True)
class PredictSettings:
    """Settings by which images are shown to the network.

    size     to what images are resized, their shape kept: "own" not at all, "trained" to fit the size that the network was trained at,
             (height, width) to fit that; "auto": "own" for rasters and for tiles, where a pixel is a piece of ground, else "trained"
    tile     size of tiles; None: images up to WHOLE_PIXELS as a whole, larger ones in TILE
    overlap  pixels that neighbouring tiles share at least; None: an eighth of the tile
    alpha    how opaque an overlay's colours are; None: no overlays
    classes  the class map by which masks hold a dataset's classes; None: they hold the network's, or the dataset has the same names
    rescale  what happens to values unlike those of training, as in :class:`~segbench.prediction.values.Values`
    """

    size: Size | Literal["auto", "own", "trained"] = "auto"
    tile: Size | None = None
    overlap: int | None = None
    alpha: float | None = 0.55
    batch_size: int = 1
    classes: str | None = None
    rescale: str = "refuse"

    def identity(self) -> ShownAs:
        """The settings that predictions depend on, as the record stores them."""
        return ShownAs(
            size=self.size if isinstance(self.size, str) else format_size(self.size),
            tile=format_size(self.tile) if self.tile else "auto",
            overlap=self.overlap,
            alpha=self.alpha,
            classes=self.classes,
            rescale=None if self.rescale == "refuse" else self.rescale,
        )


@dataclass(frozen=True)
class PredictSummary:
    """The result of :func:`predict`: numbers of images predicted and kept from before, and the errors of those that failed, by id."""

    record: PredictionRecord
    predicted: int
    kept: int
    failed: Mapping[str, str]
    seconds: float


def check_settings(settings: PredictSettings, predictor: Predictor) -> None:
    """Raise :class:`ConfigError` for settings that do not go together."""
    size = None if isinstance(settings.size, str) else settings.size
    if settings.tile is not None and settings.size not in ("auto", "own"):
        raise ConfigError("--size and --tile do not go together: an image that is resized is shown as a whole.")
    for flag, value in (("--size", size), ("--tile", settings.tile)):
        canvas = predictor.canvas
        if value is not None and canvas is not None and (value[0] > canvas[0] or value[1] > canvas[1]):
            raise ConfigError(f"{flag} {format_size(value)}: the file was exported for {format_size(canvas)} and takes nothing larger.")
    require_one_rule(settings.rescale, predictor.task.inputs)
    class_map = predictor.class_map
    if class_map is not None and None in class_map.targets and gap_id(predictor.task) is None:
        raise ConfigError(
            f"what is predicted as a class without counterpart gets the dataset's ignore index, and {predictor.task.ignore_index} does not "
            "fit into a mask. Name a class of the dataset for each class of the network."
        )
    tile = settings.tile or predictor.canvas or TILE
    if settings.overlap is not None and not 0 <= settings.overlap < min(tile):
        raise ConfigError(f"--overlap {settings.overlap} must be at least 0 and less than the tile ({format_size(tile)}).")


def predict(
    predictor: Predictor,
    scenes: Sequence[Scene],
    out: Path,
    settings: PredictSettings,
    *,
    overwrite: bool = False,
    report: Report = lambda kind, payload: None,
) -> PredictSummary:
    """Predict every image into ``out``: ``masks/``, ``overlays/`` and ``predictions.json``; those that are done already are kept.

    An image that cannot be read fails alone; the others are predicted. Raises :class:`SegbenchError` kin for faults that concern all.
    """
    check_settings(settings, predictor)
    record = open_record(out, predictor.record, settings.identity(), predictor.task, overwrite=overwrite)
    report("images", {"count": len(scenes)})
    started, kept = time.perf_counter(), 0
    failed: dict[str, str] = {}
    unpredicted = []
    for scene in scenes:
        if record.is_done(scene.id, file_states(scene.files), overlay=settings.alpha is not None):
            kept += 1
            report("done", {"id": scene.id, "kept": True})
        else:
            unpredicted.append(scene)
    worker = _ImagePredictor(predictor, out, settings, record, report)
    try:
        for scene in unpredicted:
            error = worker.run(scene)
            if error is not None:
                failed[scene.id] = error
    finally:
        record.write()
    return PredictSummary(record, len(unpredicted) - len(failed), kept, failed, time.perf_counter() - started)


class _ImagePredictor:
    """Predicts image after image."""

    def __init__(self, predictor: Predictor, out: Path, settings: PredictSettings, record: PredictionRecord, report: Report) -> None:
        self.predictor, self.out, self.settings, self.record, self.report = predictor, out, settings, record, report
        self.classes = MappedClasses(predictor.task, predictor.class_map)
        self.normalise = Normaliser(predictor.plan, torch.device(predictor.device))
        self.norms = planned_normalisation(predictor.plan)
        self.values = Values(trained_values(predictor.value_ranges, predictor.plan), settings.rescale)
        self.rescales: Mapping[str, LinearRescale] = {}

    def run(self, scene: Scene) -> str | None:
        """Predict one image; returns the reason where that is impossible."""
        source = file_states(scene.files)
        started = time.perf_counter()
        error = None
        try:
            with scene.open(self.predictor.task, self.predictor.plan) as opened, torch.inference_mode():
                image = self._predict_image(scene.id, opened)
            self.record.add(image.model_copy(update={"source": source, "seconds": round(time.perf_counter() - started, 3)}))
        except SegbenchError as problem:
            if not isinstance(problem, DataError):  # the disk, the backend: every image would fail alike
                raise
            error = str(problem)
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem) and not isinstance(problem, MemoryError):
                raise
            error = "out of memory. Give smaller tiles, as in --tile 512, or --device cpu."
        if error is not None:
            self.record.fail(scene.id, source, error)
        self.report("done", {"id": scene.id, "error": error, "seconds": time.perf_counter() - started})
        return error

    def _predict_image(self, name: str, scene: OpenScene) -> PredictedImage:
        task = self.predictor.task
        self.rescales = self.values.rescales(scene, self.norms, name)
        size = self._resize(scene)
        grid = self._grid(scene.size) if size is None else grid_of(scene.size, scene.size, 0)
        self.report("image", {"id": name, "tiles": len(grid)})
        writer = mask_writer(self.out / "masks", name, scene.size, task, raster=scene.raster, georeference=scene.georeference)
        classes = task.num_classes + 1  # the last one counts what is predicted as a class without counterpart
        counts = torch.zeros(classes, dtype=torch.int64)
        gaps = nonfinite = 0
        gap = gap_id(task)
        try:
            for window, logits in self._pieces(scene, grid, size):
                highest, chosen = self.classes.logits(logits).max(dim=0)
                labels = self.classes.prediction(chosen.cpu())
                missing = scene.missing(window) if gap is not None else None
                bad = unordered(highest).cpu()
                nonfinite += int((bad if missing is None else bad & ~missing).sum())
                if missing is not None:
                    counts += torch.bincount(labels[~missing], minlength=classes)
                    gaps += int(missing.sum())
                    labels[missing] = gap  # type: ignore[assignment]  # not None where missing is not
                else:
                    counts += torch.bincount(labels.flatten(), minlength=classes)
                if self.predictor.class_map is not None and gap is not None:
                    labels[labels == task.num_classes] = gap
                writer.write(window, to_ids(labels, task))
            if nonfinite:
                raise DataError(f"{NonFinite(nonfinite, 1)}: no class is the highest there, so that no mask was written.")
            writer.finish()
        except BaseException:
            writer.discard()
            raise
        return self._entry(name, scene, self._describe_input(grid, size), counts, gaps, writer.path)

    def _entry(self, name: str, scene: OpenScene, description: str, counts: Tensor, gaps: int, mask: Path) -> PredictedImage:
        overlay = None
        if self.settings.alpha is not None:
            overlay = self.out / "overlays" / f"{name}.png"
            overlay.parent.mkdir(exist_ok=True)
            write_overlay(overlay, mask, scene, self.predictor.task, alpha=self.settings.alpha)
        *known, without_class = counts.tolist()
        pixels = dict(zip(self.predictor.task.class_names, known, strict=True))
        seen = max(1, sum(pixels.values()) + without_class)
        area = scene.georeference.pixel_m2
        return PredictedImage(
            id=name,
            mask=mask.relative_to(self.out).as_posix(),
            overlay=overlay.relative_to(self.out).as_posix() if overlay else None,
            size=scene.size,
            shown=description,
            rescaled={name: str(rescale) for name, rescale in self.rescales.items()},
            pixels=pixels,
            pixels_without_data=gaps,
            pixels_without_class=without_class,
            shares={key: round(count / seen, 6) for key, count in pixels.items()},
            area_m2={key: round(count * area, 3) for key, count in pixels.items()} if area else None,
        )

    def _resize(self, scene: OpenScene) -> Size | None:
        """The size at which the image is shown as a whole; None where it is shown at its own."""
        settings = self.settings
        if not isinstance(settings.size, str):
            return evaluation_size(scene.size, settings.size, "keep-aspect")
        own = settings.size == "own" or (settings.size == "auto" and (scene.raster or settings.tile is not None))
        size = scene.size if own else evaluation_size(scene.size, self.predictor.trained, "keep-aspect")
        return None if size == scene.size else size

    def _grid(self, size: Size) -> Grid:
        tile = self.settings.tile or self.predictor.canvas or (size if size[0] * size[1] <= WHOLE_PIXELS else TILE)
        return grid_of(size, tile, min(tile) // 8 if self.settings.overlap is None else self.settings.overlap)

    def _describe_input(self, grid: Grid, size: Size | None) -> str:
        """A phrase on the form in which the network got the image: resized, in tiles, on a canvas."""
        canvas, seen = self.predictor.canvas, size or grid.tile
        on = f", on a canvas of {format_size(canvas)}" if canvas and canvas != seen else ""
        if size is not None:
            return f"resized to {format_size(size)}{on}"
        return f"in {counted(len(grid), 'tile')} of {format_size(grid.tile)}{on}" if len(grid) > 1 else f"at its own size{on}"

    def _pieces(self, scene: OpenScene, grid: Grid, size: Size | None) -> Iterator[tuple[Window, Tensor]]:
        if size is not None:
            yield Window(0, 0, *scene.size), self._resized(scene, size)
        else:
            yield from blended(lambda windows: self._tiles(scene, windows), grid)

    def _tiles(self, scene: OpenScene, windows: Sequence[Window]) -> Iterable[Tensor]:
        """Logits (K, h, w) of windows of one size."""
        for start in range(0, len(windows), self.settings.batch_size):
            part = windows[start : start + self.settings.batch_size]
            read = [self._working_values(scene.read(window)) for window in part]
            logits = self._logits(read, (part[0].height, part[0].width))
            for index in range(len(part)):
                self.report("tile", {})
                yield logits[index]

    def _resized(self, scene: OpenScene, size: Size) -> Tensor:
        """Logits (K, H, W) at the image's own size of the whole image shown at another one, as evaluation does."""
        height, width = scene.size
        if height * width * self.predictor.task.num_classes > _MOST_LOGIT_VALUES:
            raise DataError(f"an image of {height}x{width} is too large to be resized as a whole. Use --size own: it is shown in tiles.")
        inputs = {name: resize_image(x, size) for name, x in self._working_values(scene.read(Window(0, 0, height, width))).items()}
        self.report("tile", {})
        return self._logits([inputs], scene.size)[0]

    def _working_values(self, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: working_form(self._rescaled(name, stored[name]), norm) for name, norm in self.norms.items()}

    def _rescaled(self, name: str, values: Tensor) -> Tensor:
        rescale = self.rescales.get(name)
        return values if rescale is None else values.to(torch.float32) * rescale.factor + rescale.offset

    def _logits(self, images: Sequence[Mapping[str, Tensor]], size: Size) -> Tensor:
        batch = {name: stack([image[name] for image in images]).to(self.predictor.device) for name in self.norms}
        return resize_logits(self.predictor.logits(self.normalise(batch)).float(), size)
