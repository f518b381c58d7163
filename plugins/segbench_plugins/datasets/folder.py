"""Your own data: folders of images and masks whose file stems agree, divided by hashed stem, by sub-folder or by list file.

A split named one by one (``train=..``) is a list file of stems or file names, or a sub-folder: ``<folder>/images`` and
``<folder>/masks``, or ``images/<folder>`` and ``masks/<folder>``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from segbench import DataError, Normalisation, OptionError, Problem, Sample, Task, did_you_mean

from segbench_plugins.datasets import FolderOptions, folder_splits
from segbench_plugins.datasets.reading import (
    RASTERIO_HINT,
    Array,
    Samples,
    find_root,
    read_image,
    read_mask,
    read_raster,
    some,
    tensor,
)
from segbench_plugins.datasets.value_map import ValueMap, parse_value_map

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"))
RASTERS = frozenset((".tif", ".tiff"))
_STORED = (np.uint8, np.int16, np.uint16, np.float32)

Files = dict[str, tuple[Path, ...]]
"""For each stem its files: one per input, then the mask."""


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
    """What the options declare; raises :class:`OptionError` where they contradict each other."""
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
    files, lonely = _split_files(root, split, options)
    if lonely:
        raise DataError(f"split '{split}': {lonely[0].message}")
    return FolderSamples(tuple(files), tuple(files.values()), _inputs(options), _value_map(options), options.fill)


def groups(root: Path, split: str, options: FolderOptions) -> Sequence[str]:
    """The scene of each sample: what the ``group`` pattern matches in its stem, else the stem."""
    return [_scene(stem, options) for stem in load(root, split, options).ids]


def check_data(root: Path, options: FolderOptions) -> list[Problem]:
    """Images without mask, masks without image, and splits that cannot be made."""
    problems = []
    for split in folder_splits(options):
        try:
            _, lonely = _split_files(root, split, options)
            problems += lonely
        except DataError as error:
            problems.append(Problem(str(error), where=split))
    # with hashed splits all look at the same folders and say the same
    return list({problem.message: problem for problem in problems}.values())


def _inputs(options: FolderOptions) -> dict[str, int]:
    images = _image_folders(options)
    if not len(options.inputs) == len(options.bands) == len(images) or len(set(options.inputs)) < len(options.inputs):
        raise OptionError(
            f"folder: inputs, bands and images need one entry each per input, got inputs=({','.join(options.inputs)}), "
            f"bands=({','.join(map(str, options.bands))}), images=({','.join(images)})"
        )
    return dict(zip(options.inputs, options.bands, strict=True))


def _image_folders(options: FolderOptions) -> tuple[str, ...]:
    return (options.images,) if isinstance(options.images, str) else options.images


def _normalisation(options: FolderOptions, inputs: dict[str, int]) -> dict[str, Normalisation]:
    if not options.mean and not options.std:
        if options.scale != 1:
            raise OptionError("folder: scale needs mean and std beside it (in units of value * scale)")
        return {}
    if not len(options.mean) == len(options.std) == sum(inputs.values()) or min(options.std) <= 0:
        raise OptionError(f"folder: mean and std need {sum(inputs.values())} values each, one per channel, and std above 0")
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


def _split_files(root: Path, split: str, options: FolderOptions) -> tuple[Files, list[Problem]]:
    """The files of a split, and what is wrong with the folders they are in."""
    named = getattr(options, split)
    if named is None:
        files, lonely = _paired(root, [root / name for name in _image_folders(options)], root / options.masks, options)
        return _share(files, split, options), lonely
    if (root / named).is_file():
        files, lonely = _paired(root, [root / name for name in _image_folders(options)], root / options.masks, options)
        return _listed(root / named, files, options), lonely
    if not (root / named).is_dir() and not any((root / name / named).is_dir() for name in _image_folders(options)):
        raise DataError(f"{split} = '{named}': there is no such list file or sub-folder in {root} or in its image folder.")
    inner = (root / named).is_dir()
    folders = [root / named / name if inner else root / name / named for name in _image_folders(options)]
    return _paired(root, folders, root / named / options.masks if inner else root / options.masks / named, options)


def _paired(root: Path, images: Sequence[Path], masks: Path, options: FolderOptions) -> tuple[Files, list[Problem]]:
    find_root(root, (".",), ".", "Give the folder that holds your images and masks as --data DIR.")
    suffixes = (options.image_suffix,) * len(images) if isinstance(options.image_suffix, str) else options.image_suffix
    if len(suffixes) != len(images):
        raise OptionError(f"folder: image_suffix needs one entry, or one for each of {len(images)} inputs")
    columns = [_by_stem(folder, suffix) for folder, suffix in zip(images, suffixes, strict=True)]
    labels = _by_stem(masks, options.mask_suffix)
    common = sorted(stem for stem in columns[0] if stem in labels and all(stem in column for column in columns))
    problems = []
    for folder, column in zip(images, columns, strict=True):
        alone = sorted(set(column) - set(common))
        if alone:
            problems.append(
                Problem(f"{some(alone)} in {folder}, but without a partner of the same stem in {_others(folder, images, masks)}. {_ADVICE}")
            )
    alone = sorted(set(labels) - set().union(*columns))
    lonely_masks = [Problem(f"{some(alone)} in {masks}, but without an image of the same stem.", "warning")] if alone else []
    if not common:
        raise DataError(f"no image in {images[0]} has a mask of the same stem in {masks}. {_ADVICE}")
    return {stem: (*(column[stem] for column in columns), labels[stem]) for stem in common}, problems or lonely_masks


_ADVICE = "Add or remove files, or say how stems differ: image_suffix, mask_suffix."


def _others(folder: Path, images: Sequence[Path], masks: Path) -> str:
    return " or ".join(str(path) for path in (*images, masks) if path != folder)


def _by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        near = did_you_mean(folder.name, (path.name for path in folder.parent.iterdir())) if folder.parent.is_dir() else ""
        raise DataError(f"the folder {folder} is not there.{near} Name yours: folder[images=..,masks=..]")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURES or path.name.startswith(".") or not path.stem.endswith(suffix):
            continue
        stem = path.stem.removesuffix(suffix)
        if stem in found:
            raise DataError(f"{found[stem]} and {path} have the same stem: which of them counts? Remove one.")
        found[stem] = path
    if not found:
        raise DataError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}){f' ending in {suffix}' if suffix else ''}.")
    return found


def _share(files: Files, split: str, options: FolderOptions) -> Files:
    """Scenes in the order of their hashes, cut at the shares: sizes are exact, and independent of the order of files on disk."""
    scenes = sorted({_scene(stem, options) for stem in files}, key=lambda scene: hashlib.sha256(scene.encode()).digest())
    names = folder_splits(options)
    if len(scenes) < len(names):
        raise DataError(f"{len(scenes)} images or scenes are too few to make {len(names)} splits.")
    cuts = [0, *(round(sum(options.split[: i + 1]) * len(scenes)) for i in range(len(names)))]
    for i in range(len(names)):  # at least one scene each
        cuts[i + 1] = min(max(cuts[i + 1], cuts[i] + 1), len(scenes) - (len(names) - 1 - i))
    index = names.index(split)
    chosen = set(scenes[cuts[index] : cuts[index + 1]])
    return {stem: paths for stem, paths in files.items() if _scene(stem, options) in chosen}


def _listed(file: Path, files: Files, options: FolderOptions) -> Files:
    """The files that a list names, one stem or file name a line (of several words the first counts)."""
    suffix = options.image_suffix if isinstance(options.image_suffix, str) else options.image_suffix[0]
    names = [re.split(r"[\s,;]", line.strip())[0] for line in file.read_text().splitlines() if line.strip()]
    stems = [Path(name).stem if Path(name).suffix.lower() in PICTURES else Path(name).name for name in names]
    stems = list(dict.fromkeys(stem.removesuffix(suffix) for stem in stems))
    unknown = [stem for stem in stems if stem not in files]
    if unknown:
        raise DataError(f"{file} lists stems without image and mask: {some(unknown)} not there.")
    return {stem: files[stem] for stem in stems}


def _scene(stem: str, options: FolderOptions) -> str:
    found = re.search(options.group, stem) if options.group else None
    return found.group(found.lastindex or 0) if found else stem


def _read_input(path: Path, bands: int, fill: float | None) -> Array:
    if path.suffix.lower() not in RASTERS:
        if bands not in (1, 3):
            raise DataError(f"{path}: pictures have 1 or 3 channels, but bands declares {bands}. Use GeoTIFF for more.")
        return read_image(path, channels=bands)
    pixels = _read_tiff(path, bands)
    if len(pixels) != bands:
        raise DataError(f"{path} has {len(pixels)} bands, but {bands} are declared. Set bands=({len(pixels)}).")
    if pixels.dtype not in _STORED:
        pixels = _narrowed(pixels, path)
    if fill is not None and pixels.dtype == np.float32:
        pixels = np.where(np.isfinite(pixels), pixels, np.float32(fill))
    return pixels


def _read_tiff(path: Path, bands: int) -> Array:
    if importlib.util.find_spec("rasterio"):
        return read_raster(path)
    if bands in (1, 3):
        return read_image(path, channels=bands)
    raise DataError(f"{path}: {RASTERIO_HINT}")


def _narrowed(pixels: Array, path: Path) -> Array:
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
