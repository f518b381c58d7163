"""Your own data: folders of images and masks whose file stems agree, divided by hashed stem, by sub-folder or by list file.

A split named one by one (``train=..``) is a list file of stems or file names, or a sub-folder: ``<folder>/images`` and
``<folder>/masks``, or ``images/<folder>`` and ``masks/<folder>``.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench import DataError, Normalisation, OptionError, Problem, Sample, Task, counted, did_you_mean
from segbench_plugins.datasets import FolderOptions, folder_splits
from segbench_plugins.datasets.files import (
    RASTERIO_HINT,
    Array,
    Samples,
    read_image,
    read_mask,
    read_raster,
    tensor,
)
from segbench_plugins.datasets.folder_layout import image_folders, scene_of, split_files
from segbench_plugins.datasets.value_map import ValueMap, parse_value_map

RASTERS = frozenset((".tif", ".tiff"))
_STORED_DTYPES = (np.uint8, np.int16, np.uint16, np.float32)


@dataclass(frozen=True)
class FolderSamples(Samples):
    """Pairs (or more) of files."""

    ids: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]
    inputs: dict[str, int]
    value_map: ValueMap | None
    fill: float | None

    def read(self, index: int) -> Sample:
        *images, mask = self.files[index]
        inputs = {
            name: tensor(_read_input(path, bands, self.fill)) for (name, bands), path in zip(self.inputs.items(), images, strict=True)
        }
        return Sample(inputs, tensor(_read_label(mask, self.value_map)), self.ids[index])


def task(options: FolderOptions) -> Task:
    """The task that the options declare; raises :class:`OptionError` where they contradict each other."""
    inputs = _inputs(options)
    if 0 <= options.ignore < len(options.classes) or len(options.classes) < 2 or len(set(options.classes)) < len(options.classes):
        raise OptionError(
            f"folder: classes = ({','.join(options.classes)}) are ids 0 to {len(options.classes) - 1}: give at least two, all different, "
            f"and an ignore index outside of them (now {options.ignore})"
        )
    if options.headline is not None and options.headline not in options.classes:
        raise OptionError(f"folder: headline = '{options.headline}' is no class.{did_you_mean(options.headline, options.classes)}")
    _value_map(options)
    _check_split(options)
    return Task(
        class_names=options.classes,
        inputs=inputs,
        ignore_index=options.ignore,
        normalisation=_normalisation(options, inputs),
        headline=options.headline or (options.classes[1] if len(options.classes) == 2 else None),
        rgb=tuple(name for name, bands in inputs.items() if bands == 3) if options.rgb else (),
    )


def load(root: Path, split: str, options: FolderOptions) -> FolderSamples:
    """The samples of one split: in the order of its list file, else by stem. Raises :class:`DataError` for images without a mask."""
    files, layout_problems = split_files(root, split, options)
    for problem in layout_problems:
        if problem.severity == "error":
            raise DataError(f"split '{split}': {problem.message}")
    return FolderSamples(tuple(files), tuple(files.values()), _inputs(options), _value_map(options), options.fill)


def groups(root: Path, split: str, options: FolderOptions) -> Sequence[str]:
    """The scene of each sample: what the ``group`` pattern matches in its stem, else the stem."""
    return [scene_of(stem, options) for stem in load(root, split, options).ids]


def check_data(root: Path, options: FolderOptions) -> list[Problem]:
    """Images without mask, masks without image, and splits that cannot be made."""
    problems = []
    for split in folder_splits(options):
        try:
            _, layout_problems = split_files(root, split, options)
            problems += layout_problems
        except DataError as error:
            problems.append(Problem(str(error), where=split))
    # with hashed splits all splits have the same folders and the same problems
    return list({problem.message: problem for problem in problems}.values())


def _inputs(options: FolderOptions) -> dict[str, int]:
    images = image_folders(options)
    if not len(options.inputs) == len(options.bands) == len(images) or len(set(options.inputs)) < len(options.inputs):
        raise OptionError(
            f"folder: inputs, bands and images need one entry each per input, got inputs=({','.join(options.inputs)}), "
            f"bands=({','.join(map(str, options.bands))}), images=({','.join(images)})"
        )
    return dict(zip(options.inputs, options.bands, strict=True))


def _normalisation(options: FolderOptions, inputs: dict[str, int]) -> dict[str, Normalisation]:
    if not options.mean and not options.std:
        if options.scale != 1:
            raise OptionError("folder: scale needs mean and std beside it (in units of value * scale)")
        return {}
    if not len(options.mean) == len(options.std) == sum(inputs.values()) or min(options.std) <= 0:
        raise OptionError(f"folder: mean and std need {counted(sum(inputs.values()), 'value')} each, one per channel, and std above 0")
    result, start = {}, 0
    for name, bands in inputs.items():
        end = start + bands
        result[name] = Normalisation(mean=options.mean[start:end], std=options.std[start:end], scale=options.scale)
        start = end
    return result


def _value_map(options: FolderOptions) -> ValueMap | None:
    return parse_value_map(options.value_map, num_classes=len(options.classes), ignore=options.ignore)


def _check_split(options: FolderOptions) -> None:
    if not 1 <= len(options.split) <= 3 or min(options.split) <= 0 or sum(options.split) > 1 + 1e-6:
        raise OptionError(f"folder: split = {options.split} does not fit: one to three shares above 0 that sum to at most 1")
    try:
        re.compile(options.group)
    except re.error as error:
        raise OptionError(f"folder: group = '{options.group}' is not a regular expression: {error}") from None


def _read_input(path: Path, bands: int, fill: float | None) -> Array:
    if path.suffix.lower() not in RASTERS:
        if bands not in (1, 3):
            raise DataError(f"{path}: pictures have 1 or 3 channels, but bands declares {bands}. Use GeoTIFF for more.")
        return read_image(path, channels=bands)
    pixels = _read_tiff(path, bands)
    if len(pixels) != bands:
        raise DataError(f"{path} has {len(pixels)} bands, but {bands} are declared. Set bands=({len(pixels)}).")
    if pixels.dtype not in _STORED_DTYPES:
        pixels = _to_stored_dtype(pixels, path)
    if fill is not None and pixels.dtype == np.float32:
        pixels = np.where(np.isfinite(pixels), pixels, np.float32(fill))
    return pixels


def _read_tiff(path: Path, bands: int) -> Array:
    if importlib.util.find_spec("rasterio"):
        return read_raster(path)
    if bands in (1, 3):
        return read_image(path, channels=bands)
    raise DataError(f"{path}: {RASTERIO_HINT}")


def _to_stored_dtype(pixels: Array, path: Path) -> Array:
    """Doubles as floats; whole numbers as int16 or uint16 where they fit."""
    if pixels.dtype == np.float64:
        return pixels.astype(np.float32)
    for dtype in (np.int16, np.uint16):
        if pixels.dtype.kind in "iu" and np.iinfo(dtype).min <= pixels.min() and pixels.max() <= np.iinfo(dtype).max:
            return pixels.astype(dtype)
    return pixels.astype(np.float32)


def _read_label(path: Path, value_map: ValueMap | None) -> Array:
    if path.suffix.lower() in RASTERS and importlib.util.find_spec("rasterio"):
        bands = read_raster(path)
        if len(bands) != 1:
            raise DataError(f"{path} has {len(bands)} bands, but a mask holds one class id per pixel.")
        mask = bands[0]
    else:
        mask = read_mask(path)
    return value_map.apply(mask, path) if value_map else mask.astype(np.int64)
