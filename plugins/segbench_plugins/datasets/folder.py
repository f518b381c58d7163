"""Your own data: images and masks whose names agree, in two folders, in one, or wherever patterns find them.

Splits come from hashed names, from sub-folders or from list files. A split named one by one (``train=..``) is a list file of stems or file
names, or a sub-folder: ``<folder>/images`` and ``<folder>/masks``, or ``images/<folder>`` and ``masks/<folder>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segbench import (
    DataError,
    ImageFile,
    MaskFile,
    Normalisation,
    OptionError,
    Problem,
    Sample,
    Task,
    collect_facts,
    counted,
    did_you_mean,
    read_image,
    read_mask,
)
from segbench_plugins.datasets import FolderOptions, folder_splits
from segbench_plugins.datasets.blocks import parse_blocks
from segbench_plugins.datasets.class_tables import PALETTE, class_table
from segbench_plugins.datasets.files import Array, Samples, tensor
from segbench_plugins.datasets.folder_layout import Pair, image_folders, scene_of, split_files
from segbench_plugins.datasets.folder_layout import unused as unused
from segbench_plugins.datasets.labels import LabelRules, ignored_values, label_rules, palette_table, unite

_LOOKED_AT = 32  # masks that are read for the colours of a palette


@dataclass(frozen=True)
class FolderSamples(Samples):
    """Images, one per input, with a mask or several."""

    ids: tuple[str, ...]
    pairs: tuple[Pair, ...]
    inputs: dict[str, int]
    rules: LabelRules
    fill: float | None
    page_bands: bool
    ignore_missing: bool

    def read(self, index: int) -> Sample:
        pair = self.pairs[index]
        images = [
            _read_input(path, bands, "bands" if self.page_bands else _page(pair))
            for bands, path in zip(self.inputs.values(), pair.images, strict=True)
        ]
        masks = [read_mask(path, colours=self.rules.colours, pages=_page(pair)) for path in pair.masks]
        _refuse_other_places([*images, *masks])
        inputs = {name: tensor(_filled(image.pixels, self.fill)) for name, image in zip(self.inputs, images, strict=True)}
        label = _label(masks, self.rules)
        if self.ignore_missing:
            label = _without_missing(label, images, self.rules.ignore_index)
        return Sample(inputs, tensor(label), self.ids[index])


def _without_missing(label: Array, images: Sequence[ImageFile], ignore_index: int) -> Array:
    """The label (H, W) with ``ignore_index`` where no input has a value; unequal sizes are left to the harness, which reports them."""
    gaps = [np.zeros(label.shape, np.bool_) if image.valid is None else ~image.valid for image in images]
    if any(gap.shape != label.shape for gap in gaps):
        return label
    known: Array = np.where(np.logical_and.reduce(gaps), np.int64(ignore_index), label)
    return known


def task(options: FolderOptions, root: Path | None = None) -> Task:
    """The task that the options declare, with class names from ``root`` where they are in a file there.

    Raises :class:`OptionError` where options contradict each other.
    """
    inputs = _inputs(options)
    table = class_table(options, root)
    names, ignored = table.names, ignored_values(options.ignore)
    if not ignored or 0 <= ignored[0] < len(names) or len(names) < 2 or len(set(names)) < len(names):
        raise OptionError(
            f"folder: classes = ({','.join(names)}) are ids 0 to {len(names) - 1}: give at least two, all different, "
            f"and an ignore index outside of them (now {','.join(map(str, ignored)) or 'none'})"
        )
    if options.headline is not None and options.headline not in names:
        raise OptionError(f"folder: headline = '{options.headline}' is no class.{did_you_mean(options.headline, names)}")
    label_rules(options, table)
    _check_split(options)
    return Task(
        class_names=names,
        inputs=inputs,
        ignore_index=ignored[0],
        normalisation=_normalisation(options, inputs),
        palette=table.palette,
        headline=options.headline or (names[1] if len(names) == 2 else None),
        rgb=tuple(name for name, bands in inputs.items() if bands == 3) if options.rgb else (),
    )


def load(root: Path, split: str, options: FolderOptions) -> FolderSamples:
    """The samples of one split: in the order of its list file, else by stem. Raises :class:`DataError` for images without a mask."""
    files, layout_problems = split_files(root, split, options)
    for problem in layout_problems:
        if problem.severity == "error":
            raise DataError(f"split '{split}': {problem.message}")
    table = class_table(options, root)
    rules = label_rules(options, table)
    if options.colours == PALETTE:
        rules = replace(rules, colours=palette_table(table.names, _palette_colours(root, options)))
    return FolderSamples(
        tuple(files), tuple(files.values()), _inputs(options), rules, options.fill, options.pages == "bands", options.ignore_missing
    )


def groups(root: Path, split: str, options: FolderOptions) -> Sequence[str]:
    """The scene of each sample: what the ``group`` pattern matches in its stem, its block of the map, its file of pages, else its stem."""
    files, _ = split_files(root, split, options)
    return [scene_of(name, pair, options) for name, pair in files.items()]


def check_data(root: Path, options: FolderOptions) -> list[Problem]:
    """Images without mask, masks without image, and splits that cannot be made or that share samples."""
    problems = []
    split_of: dict[Pair, str] = {}
    for split in folder_splits(options):
        try:
            files, layout_problems = split_files(root, split, options)
        except DataError as error:
            problems.append(Problem(str(error), where=split))
            continue
        problems += layout_problems
        shared = [name for name, pair in files.items() if split_of.setdefault(pair, split) != split]
        if shared:
            other = split_of[files[shared[0]]]
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            text = f"{shared[0]}{more} also in '{other}': scores would be too good. Take the names out of one of the lists."
            problems.append(Problem(text, where=split))
    return list(dict.fromkeys(problems))


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


def _check_split(options: FolderOptions) -> None:
    if not 1 <= len(options.split) <= 3 or min(options.split) <= 0 or sum(options.split) > 1 + 1e-6:
        raise OptionError(f"folder: split = {options.split} does not fit: one to three shares above 0 that sum to at most 1")
    parse_blocks(options.split_by)
    if options.split_by and (options.group or options.train or options.val or options.test):
        raise OptionError("folder: split_by divides tiles by place: leave out group, train, val and test")
    try:
        re.compile(options.group)
    except re.error as error:
        raise OptionError(f"folder: group = '{options.group}' is not a regular expression: {error}") from None


def _page(pair: Pair) -> int | str:
    return "refuse" if pair.page is None else pair.page


def _read_input(path: Path, bands: int, pages: int | str) -> ImageFile:
    """An image with the declared number of channels; a grey one is repeated where three are declared."""
    return read_image(path, channels=bands, pages=pages)


def _filled(pixels: Array, fill: float | None) -> Array:
    """Pixels with ``fill`` in place of missing ones, which are NaN."""
    if fill is None or pixels.dtype != np.float32:
        return pixels
    filled: Array = np.where(np.isfinite(pixels), pixels, np.float32(fill))
    return filled


def _label(masks: Sequence[MaskFile], rules: LabelRules) -> Array:
    """Class ids (H, W) of one mask, or of several of one image."""
    labels = [_ids(mask, rules) for mask in masks]
    return labels[0] if len(labels) == 1 else unite(labels, [mask.facts.path for mask in masks], ignore_index=rules.ignore_index)


def _ids(mask: MaskFile, rules: LabelRules) -> Array:
    """Class ids of one mask; what the file marks as no data is ignored, whatever value stands there."""
    if mask.valid is None:
        return rules.apply(mask.values, mask.facts.path)
    known = mask.valid
    if mask.facts.nodata is not None and mask.facts.nodata in rules.named:
        known = known | (mask.values == mask.facts.nodata)
    result = np.full(mask.values.shape, rules.ignore_index, np.int64)
    result[known] = rules.apply(mask.values[known], mask.facts.path)
    return result


def _refuse_other_places(files: Sequence[ImageFile | MaskFile]) -> None:
    """Raise :class:`DataError` where two files of one sample lie in different places on earth."""
    first, *others = (file.facts for file in files)
    for facts in others:
        if first.place is not None and facts.place is not None and not first.place.agrees(facts.place):
            raise DataError(
                f"{first.path} and {facts.path} lie in different places: {first.place.beside(facts.place)}. A sample's files must "
                "cover the same ground: pair the right files, or warp one onto the other (gdalwarp)."
            )


def _palette_colours(root: Path, options: FolderOptions) -> list[tuple[int, int, int]]:
    """Colours that the first masks of the data use, in the order in which they are seen."""
    colours: dict[tuple[int, int, int], None] = {}
    paths = sorted(
        {path for split in folder_splits(options) for pair in split_files(root, split, options)[0].values() for path in pair.masks}
    )
    for path in paths[:_LOOKED_AT]:
        with collect_facts() as facts:  # palettes are listed for those who collect facts, with the colours that pixels use
            read_mask(path)
        palette = facts[0].palette
        if palette is None:
            raise DataError(
                f"colours={PALETTE}: {path} has no palette. Leave colours out where masks hold class ids, or write the table of colours: "
                'colours="background:0 0 0,disk:128 0 0".'
            )
        colours.update(dict.fromkeys(colour for _, colour in palette))
    return list(colours)
