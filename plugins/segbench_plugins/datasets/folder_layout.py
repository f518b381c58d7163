"""The samples and splits of a ``folder`` dataset, from its files.

Files with equal stems are one sample. Splits come from shares of hashed stems, from list files, or from sub-folders.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from segbench import DataError, OptionError, Problem, counted, did_you_mean
from segbench_plugins.datasets import FolderOptions, folder_splits
from segbench_plugins.datasets.files import find_root, some

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"))
_ADVICE = "Add or remove files, or say how stems differ: image_suffix, mask_suffix."

Files = dict[str, tuple[Path, ...]]
"""For each stem its files: one per input, then the mask."""


def split_files(root: Path, split: str, options: FolderOptions) -> tuple[Files, list[Problem]]:
    """The files of a split, and problems of the folders they are in."""
    named = getattr(options, split)
    if named is None:
        files, problems = _pair_files(root, [root / name for name in image_folders(options)], root / options.masks, options)
        return _cut_by_share(files, split, options), problems
    if (root / named).is_file():
        files, _ = _pair_files(root, [root / name for name in image_folders(options)], root / options.masks, options)
        return _read_list(root / named, files, options), []  # files that are not listed are no problem
    if not (root / named).is_dir() and not any((root / name / named).is_dir() for name in image_folders(options)):
        raise DataError(f"{split} = '{named}': there is no such list file or sub-folder in {root} or in its image folder.")
    inner = (root / named).is_dir()
    folders = [root / named / name if inner else root / name / named for name in image_folders(options)]
    return _pair_files(root, folders, root / named / options.masks if inner else root / options.masks / named, options)


def image_folders(options: FolderOptions) -> tuple[str, ...]:
    """Image folders in the order of the inputs."""
    return (options.images,) if isinstance(options.images, str) else options.images


def scene_of(stem: str, options: FolderOptions) -> str:
    """The scene that an image is from: what the ``group`` pattern (its first parentheses, if any) matches in the stem, else the stem."""
    match = re.search(options.group, stem) if options.group else None
    return match.group(match.lastindex or 0) if match else stem


def _pair_files(root: Path, images: Sequence[Path], masks: Path, options: FolderOptions) -> tuple[Files, list[Problem]]:
    find_root(root, (".",), ".", "Give the folder that holds your images and masks as --data DIR.")
    suffixes = (options.image_suffix,) * len(images) if isinstance(options.image_suffix, str) else options.image_suffix
    if len(suffixes) != len(images):
        raise OptionError(f"folder: image_suffix needs one entry, or one for each of {counted(len(images), 'input')}")
    columns = [_files_by_stem(folder, suffix) for folder, suffix in zip(images, suffixes, strict=True)]
    labels = _files_by_stem(masks, options.mask_suffix)
    common = sorted(stem for stem in columns[0] if stem in labels and all(stem in column for column in columns))
    problems = []
    for folder, column in zip(images, columns, strict=True):
        unpaired = sorted(set(column) - set(common))
        if unpaired:
            others = _other_folders(folder, images, masks)
            problems.append(Problem(f"{some(unpaired)} in {folder}, but without a partner of the same stem in {others}. {_ADVICE}"))
    unpaired = sorted(set(labels) - set().union(*columns))
    if unpaired:
        problems.append(Problem(f"{some(unpaired)} in {masks}, but without an image of the same stem.", "warning"))
    if not common:
        raise DataError(f"no image in {images[0]} has a mask of the same stem in {masks}. {_ADVICE}")
    return {stem: (*(column[stem] for column in columns), labels[stem]) for stem in common}, problems


def _other_folders(folder: Path, images: Sequence[Path], masks: Path) -> str:
    return " or ".join(str(path) for path in (*images, masks) if path != folder)


def _files_by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        near = did_you_mean(folder.name, (path.name for path in folder.parent.iterdir())) if folder.parent.is_dir() else ""
        raise DataError(f"the folder {folder} is not there.{near} Name yours: folder[images=..,masks=..]")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURES or path.name.startswith(".") or not path.stem.endswith(suffix):
            continue
        stem = path.stem.removesuffix(suffix)
        if stem in files:
            raise DataError(f"{files[stem]} and {path} have the same stem: which of them counts? Remove one.")
        files[stem] = path
    if not files:
        raise DataError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}){f' ending in {suffix}' if suffix else ''}.")
    return files


def _cut_by_share(files: Files, split: str, options: FolderOptions) -> Files:
    """The files of one split: scenes in the order of their hashes, cut at the shares, whatever the order of files on disk."""
    scenes = sorted({scene_of(stem, options) for stem in files}, key=lambda scene: hashlib.sha256(scene.encode()).digest())
    names = folder_splits(options)
    if len(scenes) < len(names):
        raise DataError(f"{counted(len(scenes), 'image or scene', 'images or scenes')} cannot make {counted(len(names), 'split')}.")
    cuts = [0, *(round(sum(options.split[: i + 1]) * len(scenes)) for i in range(len(names)))]
    for i in range(len(names)):  # at least one scene each
        cuts[i + 1] = min(max(cuts[i + 1], cuts[i] + 1), len(scenes) - (len(names) - 1 - i))
    index = names.index(split)
    chosen = set(scenes[cuts[index] : cuts[index + 1]])
    return {stem: paths for stem, paths in files.items() if scene_of(stem, options) in chosen}


def _read_list(file: Path, files: Files, options: FolderOptions) -> Files:
    """The files that a list names, one stem or file name a line (of several words the first counts)."""
    suffix = options.image_suffix if isinstance(options.image_suffix, str) else options.image_suffix[0]
    names = [re.split(r"[\s,;]", line.strip())[0] for line in file.read_text().splitlines() if line.strip()]
    stems = [Path(name).stem if Path(name).suffix.lower() in PICTURES else Path(name).name for name in names]
    stems = list(dict.fromkeys(stem.removesuffix(suffix) for stem in stems))
    unknown = [stem for stem in stems if stem not in files]
    if unknown:
        raise DataError(f"{file} lists stems without image and mask: {some(unknown)} not there.")
    return {stem: files[stem] for stem in stems}
