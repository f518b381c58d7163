"""The gallery of predictions: pictures cut out of the run's panels, as data URIs."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from segbench import CellResult, RunResult, slug
from segbench_reports.html.confusion import image_scores, run_file
from segbench_reports.html.embed import printable
from segbench_reports.text import numbers
from segbench_reports.view.cells import cell_name, varying_axes

if TYPE_CHECKING:
    from PIL import Image

_MOST_SAMPLES = 8
_MOST_CELLS = 12
_WIDEST = 480
_CAPTION, _GAP = 16, 4


@dataclass(frozen=True)
class Picture:
    """One picture as a data URI."""

    caption: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Prediction:
    """The prediction of one cell on a sample; ``score`` is its IoU of this image."""

    name: str
    pictures: Sequence[Picture]
    score: str = ""


@dataclass(frozen=True)
class Scene:
    """One sample: inputs and label, shared by all cells, and each cell's prediction; ``why`` it was selected."""

    name: str
    why: str
    shared: Sequence[Picture]
    predictions: Sequence[Prediction]


@dataclass(frozen=True)
class Gallery:
    """The scenes, the classes with their colours, and notes on what was left out."""

    scenes: Sequence[Scene]
    classes: Sequence[tuple[str, str]]
    notes: Sequence[str]

    @property
    def models(self) -> list[str]:
        """Names of the cells that have a prediction on any scene."""
        return list(dict.fromkeys(p.name for scene in self.scenes for p in scene.predictions))


@dataclass(frozen=True)
class _Sample:
    stem: str
    files: Mapping[str, Path]
    scores: Mapping[str, float]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.scores.values()) if self.scores else None


def gallery(result: RunResult, run_directory: Path | None) -> Gallery:
    """The gallery: best, median and worst of the pictured images, the one where cells disagree most, then others up to a limit."""
    axes = varying_axes(result.cells)
    names = {cell.id: printable(cell_name(cell, axes), 56) for cell in result.cells}
    with_pictures = [cell for cell in result.cells if cell.artifacts.predictions]
    samples, missing = _samples(with_pictures[:_MOST_CELLS], run_directory, names)
    notes = []
    if missing:
        notes.append(f"{numbers.counted(missing, 'picture')} that the run names could not be found beside it.")
    if len(with_pictures) > _MOST_CELLS:
        notes.append(f"Shown are {_MOST_CELLS} of {len(with_pictures)} cells.")
    scenes, broken = _scenes(_selected(samples), list(result.task.inputs or {"image": 3}))
    if broken:
        notes.append(f"{numbers.counted(broken, 'picture')} could not be read.")
    if len(samples) > _MOST_SAMPLES:
        notes.append(f"Shown are {_MOST_SAMPLES} of {len(samples)} pictured images.")
    return Gallery(scenes, _legend(result) if scenes else [], notes)


def tiles(panel: Image.Image, count: int) -> list[Image.Image]:
    """The pictures of a panel without their captions; empty where it does not divide into ``count``."""
    for scale in (1.0, 0.5, 0.25, 2.0):
        gap, caption = _GAP * scale, round(_CAPTION * scale)
        width = (panel.width - gap * (count - 1)) / count
        if gap == int(gap) and width == int(width) and width > 0 and panel.height > caption:
            starts = [round(place * (width + gap)) for place in range(count)]
            return [panel.crop((start, caption, start + int(width), panel.height)) for start in starts]
    return []


def _samples(cells: Sequence[CellResult], run_directory: Path | None, names: Mapping[str, str]) -> tuple[list[_Sample], int]:
    files: dict[str, dict[str, Path]] = {}
    scores: dict[str, dict[str, float]] = {}
    missing = 0
    for cell in cells:
        by_file = {slug(name): score for name, score in image_scores(cell, run_directory).items()}
        for path in cell.artifacts.predictions:
            file, stem = run_file(run_directory, path), PurePosixPath(path.replace("\\", "/")).stem
            if file is None:
                missing += 1
                continue
            files.setdefault(stem, {})[names[cell.id]] = file
            if stem in by_file:
                scores.setdefault(stem, {})[names[cell.id]] = by_file[stem]
    return [_Sample(stem, by_cell, scores.get(stem, {})) for stem, by_cell in files.items()], missing


def _selected(samples: Sequence[_Sample]) -> list[tuple[_Sample, str]]:
    """The samples of the gallery, each with the reason for its selection."""
    scored = sorted((s for s in samples if s.mean is not None), key=lambda s: -(s.mean or 0.0))
    reasons: dict[str, list[str]] = {}
    if len(scored) > 1:
        reasons.setdefault(scored[0].stem, []).append("best of the pictured images")
        reasons.setdefault(scored[-1].stem, []).append("worst of the pictured images")
        if len(scored) > 2:
            reasons.setdefault(scored[len(scored) // 2].stem, []).append("median of the pictured images")
        spread = max(scored, key=_spread)
        if _spread(spread) > 0:
            reasons.setdefault(spread.stem, []).append("where the models disagree most")
    ordered = [*(s for s in scored if s.stem in reasons), *(s for s in samples if s.stem not in reasons)]
    return [(sample, numbers.listed(reasons.get(sample.stem, []))) for sample in ordered[:_MOST_SAMPLES]]


def _spread(sample: _Sample) -> float:
    return max(sample.scores.values()) - min(sample.scores.values()) if len(sample.scores) > 1 else 0.0


def _scenes(samples: Iterable[tuple[_Sample, str]], inputs: Sequence[str]) -> tuple[list[Scene], int]:
    scenes, broken = [], 0
    for sample, why in samples:
        scene = Scene(printable(sample.stem, 80), why, (), ())
        for name, file in sample.files.items():
            pictures = _pictures(file, inputs)
            if pictures is None:
                broken += 1
                continue
            shared, own = pictures
            score = f"IoU of this image {numbers.percent(sample.scores[name])} %" if name in sample.scores else ""
            scene = replace(scene, shared=scene.shared or shared, predictions=[*scene.predictions, Prediction(name, own, score)])
        scenes += [scene] if scene.predictions else []
    return scenes, broken


def _pictures(file: Path, inputs: Sequence[str]) -> tuple[list[Picture], list[Picture]] | None:
    """The shared pictures and a cell's own, cut from its panel; a panel that does not divide stays whole. None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            panel = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    names = [*(printable(name, 40) for name in inputs), "label", "prediction", "errors"]
    parts = tiles(panel, len(names))
    if not parts:
        return [], [_picture("inputs, label, prediction and errors", panel, is_mask=False, widest=3 * _WIDEST)]
    pictures = [_picture(name, tile, is_mask=place >= len(inputs)) for place, (name, tile) in enumerate(zip(names, parts, strict=True))]
    return pictures[:-2], pictures[-2:]


def _picture(caption: str, tile: Image.Image, *, is_mask: bool, widest: int = _WIDEST) -> Picture:
    """A photograph as JPEG, or a mask as PNG with few colours, scaled without mixing them."""
    from PIL import Image

    if tile.width > widest:
        size = (widest, max(1, round(tile.height * widest / tile.width)))
        tile = tile.resize(size, Image.Resampling.NEAREST if is_mask else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if is_mask:
        _few_colours(tile).save(buffer, "PNG", optimize=True)
    else:
        tile.save(buffer, "JPEG", quality=82, optimize=True)
    kind = "png" if is_mask else "jpeg"
    return Picture(caption, f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", tile.width, tile.height)


def _few_colours(tile: Image.Image) -> Image.Image:
    """The picture with a palette where it has at most 256 colours."""
    from PIL import Image

    colours = tile.getcolors(256)
    return tile.quantize(len(colours), dither=Image.Dither.NONE) if colours else tile


def _legend(result: RunResult) -> list[tuple[str, str]]:
    """Class names with their colours, where the run has recorded a palette."""
    names, palette = result.task.class_names, result.task.palette
    return [(printable(name, 40), _hex(colour)) for name, colour in zip(names, palette, strict=False) if _is_colour(colour)]


def _is_colour(colour: object) -> bool:
    return isinstance(colour, (list, tuple)) and len(colour) == 3 and all(isinstance(part, int) and 0 <= part < 256 for part in colour)


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
