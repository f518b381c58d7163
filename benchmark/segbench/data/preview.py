"""A sheet of samples with their labels, which shows whether images, masks and class names belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from segbench.data.visualization import IGNORED, Picture, column, labelled, overlay, palette_of, row, small_font, to_rgb
from segbench.errors import DataError, StoreError
from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, Sample, Task, resolve
from segbench.util.files import replacing
from segbench.util.sequences import counted, evenly_spaced

_LONGEST_SIDE = 240  # longest side of a picture, in pixels
_SHEET_COLUMNS = 2
_LEGEND_WIDTH = 150


def write_preview(
    spec: DatasetSpec,
    options: Options,
    task: Task,
    root: Path | None,
    path: Path,
    split: str,
    count: int = 8,
) -> Path:
    """Write a PNG with ``count`` samples spread over a split: each input beside the label over it, and the classes' colours below.

    Returns ``path``. Raises :class:`DataError` where samples cannot be read, :class:`StoreError` where the file cannot be written.
    """
    samples: Sequence[Sample] = resolve(spec.load)(root, split, options)
    if not len(samples) or count < 1:
        raise DataError(
            f"there is nothing to show: split '{split}' of '{spec.name}' has {counted(len(samples), 'sample')}, {count} asked for"
        )
    cells = [_draw_sample(samples[index], task) for index in evenly_spaced(len(samples), count)]
    rows = [row(cells[start : start + _SHEET_COLUMNS]) for start in range(0, len(cells), _SHEET_COLUMNS)]
    sheet = column([*rows, legend(task, width=max(r.width for r in rows))])
    return save_picture(sheet, path)


def legend(task: Task, *, width: int) -> Image.Image:
    """The name of each class beside its colour, with the ignored pixels' colour last."""
    per_row = max(1, width // _LEGEND_WIDTH)
    entries = [*zip(task.class_names, palette_of(task), strict=True), (f"ignored ({task.ignore_index})", IGNORED)]
    canvas = Image.new("RGB", (max(width, _LEGEND_WIDTH), 18 * -(-len(entries) // per_row) + 4), "white")
    pen = ImageDraw.Draw(canvas)
    for index, (name, colour) in enumerate(entries):
        x, y = index % per_row * _LEGEND_WIDTH, index // per_row * 18 + 2
        pen.rectangle((x, y + 1, x + 14, y + 14), fill=colour, outline="black")
        pen.text((x + 19, y), name, fill="black", font=small_font())
    return canvas


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a PNG under a temporary name, then rename it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            picture.save(unfinished, format="PNG")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _draw_sample(sample: Sample, task: Task) -> Image.Image:
    pictures = {name: to_rgb(image, name) for name, image in sample.inputs.items()}
    first = next(iter(pictures.values()))
    mask = sample.mask if sample.mask.shape == first.shape[:2] else _stretch_mask(sample.mask, first)
    panels = [*pictures.items(), ("label", overlay(first, mask, task))]
    return labelled(row([labelled(_thumbnail(picture), name) for name, picture in panels]), sample.id)


def _stretch_mask(mask: Tensor, picture: Picture) -> Tensor:
    """A mask of another size than its image, stretched to it, so that the sheet shows the fault."""
    return functional.interpolate(mask[None, None].to(torch.float64), size=picture.shape[:2], mode="nearest")[0, 0].long()


def _thumbnail(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail(
        (_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.NEAREST if max(image.size) <= _LONGEST_SIDE else Image.Resampling.LANCZOS
    )
    return image
