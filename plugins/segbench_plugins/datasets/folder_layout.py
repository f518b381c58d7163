"""The samples and splits of a ``folder`` dataset, from its files.

Files with equal keys (their paths below ``images`` and ``masks`` without what the names have in common) are one sample. Splits come from
shares of hashed keys, from list files, or from sub-folders.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from segbench import IMAGE_SUFFIXES, DataError, OptionError, Problem, counted, near_miss
from segbench_plugins.datasets import FolderOptions, folder_splits
from segbench_plugins.datasets.blocks import block_of, parse_blocks
from segbench_plugins.datasets.files import find_root, some
from segbench_plugins.datasets.folder_sources import Source, files_of, make_source, require_folder, walk
from segbench_plugins.datasets.list_files import index_names, read_list
from segbench_plugins.datasets.pages import page_count

_ADVICE = "Add or remove files, or say how stems differ: image_suffix, mask_suffix."
_SUFFIX_OPTIONS = ("image_suffix", "mask_suffix")
_SPLIT_NAMES = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


@dataclass(frozen=True)
class Pair:
    """The files of one sample: one per input, its masks, and the page where each page is a sample."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    page: int | None = None


Files = dict[str, Pair]
"""For each id of a sample its files."""


def split_files(root: Path, split: str, options: FolderOptions) -> tuple[Files, list[Problem]]:
    """The files of a split, and problems of the folders they are in."""
    named = getattr(options, split)
    find_root(root, (".",), ".", "Give the folder that holds your images and masks as --data DIR.")
    if named is None:
        files, problems = _pair_files(_sources(root, options))
        return _cut_by_share(_expand_pages(files, options), split, options), problems + _ignored_splits(files, options)
    if (root / named).is_file():
        files, _ = _pair_files(_sources(root, options))  # files that are not listed are no problem
        listed, problems = _read_list(root, root / named, files)
        return _expand_pages(listed, options), problems
    files, problems = _files_of_sub_folder(root, split, named, options)
    return _expand_pages(files, options), problems


def image_folders(options: FolderOptions) -> tuple[str, ...]:
    """Image folders in the order of the inputs."""
    return (options.images,) if isinstance(options.images, str) else options.images


def scene_of(name: str, pair: Pair, options: FolderOptions) -> str:
    """The scene that a sample is from.

    That is what the ``group`` pattern (its first parentheses, if any) matches in the id, or the block of the map that the tile lies in;
    else all pages of one file are a scene, and any other sample is its own.
    """
    size = parse_blocks(options.split_by)
    if size is not None:
        return block_of(pair.images[0], size)
    match = re.search(options.group, name) if options.group else None
    if match:
        return match.group(match.lastindex or 0)
    return name if pair.page is None else name.rpartition("/")[0]


def unused(root: Path, options: FolderOptions) -> dict[Path, str]:
    """For each file below ``root`` that no split uses the reason; hidden files and those that options name are left out.

    A split that cannot be made uses nothing; why that is, ``check_data`` says.
    """
    used: set[Path] = {root / name for name in _named_files(options)}
    paired: set[Path] = set()
    for split in folder_splits(options):
        try:
            files, _ = split_files(root, split, options)
        except DataError:
            continue
        used.update(path for pair in files.values() for path in (*pair.images, *pair.masks))
    try:
        files, _ = _pair_files(_sources(root, options))
        paired.update(path for pair in files.values() for path in (*pair.images, *pair.masks))
    except DataError:  # splits in sub-folders of their own
        pass
    sources = _sources(root, options)
    rest = (root / name for name in walk(root))
    return {path: _reason(path, path in paired, sources) for path in rest if path not in used}


def _named_files(options: FolderOptions) -> list[str]:
    """Files that options may name beside folders: lists and tables."""
    named = (options.train, options.val, options.test, options.classes, options.colours)
    return [name for name in named if isinstance(name, str) and name]


def _reason(path: Path, paired: bool, sources: Sequence[Source]) -> str:
    ending = path.suffix.lower()
    if ending not in IMAGE_SUFFIXES:
        return f"its ending {ending} is not one that is read" if ending else "it has no ending by which it could be read"
    if paired:
        return "no split takes it"
    for source, kind in zip(sources, [*["an image"] * (len(sources) - 1), "a mask"], strict=True):
        if source.base in path.parents and source.key(path.relative_to(source.base).as_posix()) is not None:
            return f"{kind} without a {'mask' if kind == 'an image' else 'n image'} of the same name".replace("a n ", "an ")
    if any(source.base in path.parents for source in sources):
        return "neither images nor masks match its name"
    return "it lies outside of the folders of images and masks"


def _sources(root: Path, options: FolderOptions, images: Sequence[str] | None = None, masks: str | None = None) -> list[Source]:
    """One source per input, then that of the masks; ``images`` and ``masks`` are other places than those of the options."""
    places = image_folders(options) if images is None else images
    suffixes = (options.image_suffix,) * len(places) if isinstance(options.image_suffix, str) else options.image_suffix
    if len(suffixes) != len(places):
        raise OptionError(f"folder: image_suffix needs one entry, or one for each of {counted(len(places), 'input')}")
    inputs = [make_source(root, place, suffix=suffix, option="images") for place, suffix in zip(places, suffixes, strict=True)]
    return [*inputs, make_source(root, options.masks if masks is None else masks, suffix=options.mask_suffix, option="masks")]


def _files_of_sub_folder(root: Path, split: str, named: str, options: FolderOptions) -> tuple[Files, list[Problem]]:
    """The files of a split that is a folder: ``train/images``, ``images/train``, or ``train/`` in what a pattern's stars match."""
    folders = image_folders(options)
    patterns = any("*" in place for place in (*folders, options.masks))
    if (root / named).is_dir() and not (patterns and not _sources(root / named, options)[0].base.is_dir()):
        return _pair_files(_sources(root / named, options))
    if any((root / name / named).is_dir() for name in folders if "*" not in name) and not patterns:
        return _pair_files(_sources(root, options, [f"{name}/{named}" for name in folders], f"{options.masks}/{named}"))
    if patterns:
        files, problems = _pair_files(_sources(root, options))
        chosen = {key: pair for key, pair in files.items() if key.startswith(f"{named.strip('/')}/")}
        if chosen:
            return chosen, problems
    raise DataError(f"{split} = '{named}': there is no such list file or sub-folder in {root} or in its image folder.")


def _pair_files(sources: Sequence[Source]) -> tuple[Files, list[Problem]]:
    """Samples in the order of their keys, and problems of files without partner. Raises :class:`DataError` where nothing pairs."""
    for source in sources:
        require_folder(source)
    *columns, labels = _keyed_files(sources)
    common = sorted(key for key in columns[0] if key in labels and all(key in column for column in columns))
    problems = []
    for source, column in zip(sources, columns, strict=False):
        unpaired = sorted(set(column) - set(common))
        if unpaired:
            others = " or ".join(other.place for other in sources if other is not source)
            hint = _more_masks_hint(unpaired, common, sources) or _near(unpaired, [key for key in labels if key not in columns[0]])
            text = f"{some(unpaired)} in {source.place}, but without a partner of the same stem in {others}. {hint}"
            problems.append(Problem(text))
    unpaired = sorted(set(labels) - set().union(*columns))
    if unpaired:
        problems.append(Problem(f"{some(unpaired)} in {sources[-1].place}, but without an image of the same stem.", "warning"))
    if not common:
        hint = _near(sorted(columns[0]), labels)
        raise DataError(f"no image in {sources[0].place} has a mask of the same stem in {sources[-1].place}. {hint}")
    problems += _masks_left_out(sources, columns[0], labels)
    return {key: Pair(tuple(column[key][0] for column in columns), tuple(labels[key])) for key in common}, problems


def _near(names: Sequence[str], others: Sequence[str] | dict[str, list[Path]]) -> str:
    """The nearest miss in a sentence, else general advice."""
    return near_miss(names, others, suffix_options=_SUFFIX_OPTIONS) or _ADVICE


def _keyed_files(sources: Sequence[Source]) -> list[dict[str, list[Path]]]:
    """The files of each source by key; of patterns with a ``*`` in folders and names the reading by which images and masks pair."""
    found = files_of(sources)
    if sources[0].by_first and sources[-1].by_first and not found[0].keys() & found[-1].keys():
        by_first = files_of(sources, first=True)
        if by_first[0].keys() & by_first[-1].keys() and all(len(paths) == 1 for paths in by_first[0].values()):
            return by_first
    for source, files in zip(sources, found, strict=True):
        if not files:
            raise DataError(_nothing_in(source))
        if not source.several or source is not sources[-1]:
            _refuse_twins(files)
    if any(path in paths for key, paths in found[-1].items() for path in found[0].get(key, ())):
        advice = _same_files_advice(found[0])
        raise DataError(f"images and masks are the same files in {sources[0].place}: how do their names differ? {advice}")
    return found


def _same_files_advice(files: dict[str, list[Path]]) -> str:
    """What to type for one folder of images and masks, from two names of which one begins as the other."""
    keys = sorted(files)
    for key, after in pairwise(keys):
        rest = after.removeprefix(key)
        if rest != after and not rest[:1].isdigit():
            return f"If '{after}' is the mask of '{key}': mask_suffix={rest}."
    return 'Set mask_suffix (or image_suffix), or patterns such as masks="data/*_mask.png".'


def _nothing_in(source: Source) -> str:
    others = sorted({os.path.splitext(name)[1].lower() for name in walk(source.base)} - IMAGE_SUFFIXES - {""})
    seen = f" It holds files that are not read: {', '.join(others[:5])}." if others else ""
    if "*" in source.place:
        return f"no picture matches {source.place} (read are {', '.join(sorted(IMAGE_SUFFIXES))}).{seen}"
    return f"{source.place} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) of the names that are asked for.{seen}"


def _refuse_twins(files: dict[str, list[Path]]) -> None:
    for paths in files.values():
        if len(paths) > 1:
            raise DataError(
                f"{paths[0]} and {paths[1]} have the same stem: which of them counts? Remove one, or narrow the pattern "
                '("**" stands for folders; several masks of one image need a second "*" in the name: masks="masks/*_mask*.png").'
            )


def _more_masks_hint(unpaired: Sequence[str], common: Sequence[str], sources: Sequence[Source]) -> str:
    """What to type where images without a mask look like further masks of other images: ``a_mask_1`` beside ``a_mask``."""
    known = set(common)
    for name in unpaired:
        start = next((name[:end] for end in range(len(name) - 1, 0, -1) if name[:end] in known), None)
        if start is not None and "mask" in name[len(start) :].lower() and len(sources) == 2:
            return f"'{name}' may be a further mask of '{start}': a pattern takes several, "
            f'masks="{sources[-1].text}/*_mask*.png".'
    return ""


def _masks_left_out(sources: Sequence[Source], images: dict[str, list[Path]], labels: dict[str, list[Path]]) -> list[Problem]:
    """A warning for pictures beside the masks whose names begin as a mask's does and go on: further masks that are not read."""
    source = sources[-1]
    if source.several:
        return []
    starts = {path.stem: key for key, paths in labels.items() if key in images for path in paths}
    taken = {str(path) for paths in (*labels.values(), *images.values()) for path in paths}
    left = [name for name in walk(source.base, source.depth) if str(source.base / name) not in taken and _goes_on(name, starts)]
    if not left:
        return []
    return [
        Problem(
            f"{some(left)} in {source.base}, but not read: one mask per image is. If they are further masks of the same images, "
            f'write a pattern that takes them all: masks="{source.text}/*_mask*.png".',
            "warning",
        )
    ]


def _goes_on(name: str, starts: Collection[str]) -> bool:
    """True where a picture's name is one of ``starts`` with a number behind it: ``a_mask_1``, ``a_mask (2)``."""
    stem, ending = os.path.splitext(name.rsplit("/", 1)[-1])
    number = re.fullmatch(r"(.+?)[_\- (]*\d+\)?", stem)
    return ending.lower() in IMAGE_SUFFIXES and number is not None and number.group(1) in starts


def _ignored_splits(files: Files, options: FolderOptions) -> list[Problem]:
    """A warning where sub-folders are called as splits are, but splits are made by hash."""
    tops = {key.split("/")[0] for key in files if "/" in key}
    named = sorted(top for top in tops if top.lower() in _SPLIT_NAMES)
    if not named or options.group or options.split_by:
        return []
    wanted = [f"{next(split for split in ('train', 'val', 'test') if top.lower().startswith(split))}={top}" for top in named]
    return [
        Problem(
            f"sub-folders are called {' and '.join(named)}, but all images are divided anew by their hash. To keep the sub-folders as "
            f"splits: {','.join(wanted)}.",
            "warning",
        )
    ]


def _expand_pages(files: Files, options: FolderOptions) -> Files:
    """With ``pages=samples`` one sample per page, else the files as they are."""
    if options.pages != "samples":
        return files
    result: Files = {}
    for key, pair in files.items():
        counts = {path: page_count(path) for path in (*pair.images, *pair.masks)}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{path} has {counted(count, 'page')}" for path, count in counts.items())
            raise DataError(f"pages=samples needs as many pages in masks as in images, but {listed}.")
        count = next(iter(counts.values()))
        digits = max(3, len(str(count - 1)))
        result.update({f"{key}/{page:0{digits}d}": Pair(pair.images, pair.masks, page) for page in range(count)})
    return result


def _cut_by_share(files: Files, split: str, options: FolderOptions) -> Files:
    """The files of one split: scenes in the order of their hashes, cut at the shares, whatever the order of files on disk."""
    scene = {name: scene_of(name, pair, options) for name, pair in files.items()}
    scenes = sorted(set(scene.values()), key=lambda text: hashlib.sha256(text.encode()).digest())
    names = folder_splits(options)
    if len(scenes) < len(names):
        raise DataError(
            f"{counted(len(scenes), 'image or scene', 'images or scenes')} cannot make {counted(len(names), 'split')}."
            f"{_more_scenes_advice(options)}"
        )
    cuts = [0, *(round(sum(options.split[: i + 1]) * len(scenes)) for i in range(len(names)))]
    for i in range(len(names)):  # at least one scene each
        cuts[i + 1] = min(max(cuts[i + 1], cuts[i] + 1), len(scenes) - (len(names) - 1 - i))
    index = names.index(split)
    chosen = set(scenes[cuts[index] : cuts[index + 1]])
    return {name: pair for name, pair in files.items() if scene[name] in chosen}


def _more_scenes_advice(options: FolderOptions) -> str:
    if options.split_by:
        return f" Make the blocks smaller: split_by={options.split_by} puts all tiles into them."
    if options.pages == "samples" and not options.group:
        return (
            ' All pages of one file are one scene, for neighbouring pages are alike. group=".*" takes each page by itself, '
            "but then scores are too good."
        )
    return ""


def _read_list(root: Path, file: Path, files: Files) -> tuple[Files, list[Problem]]:
    """The files that a list names, and a warning where it repeats names."""
    base = os.path.abspath(root)
    names = {key: [_plain(path, base) for path in (*pair.images, *pair.masks)] for key, pair in files.items()}
    keys, unknown = read_list(file, index_names(names).key)
    if unknown:
        example = next(iter(files))
        hint = near_miss(unknown, files)
        raise DataError(
            f"{file} lists stems without image and mask: {some(unknown)} not there. The folders hold '{example}', for example."
            f"{f' {hint}' if hint else ''}"
        )
    repeated = len(keys) - len(set(keys))
    problems = [Problem(f"{file} names {counted(repeated, 'sample')} twice; each counts once.", "warning")] if repeated else []
    return {key: files[key] for key in keys}, problems


def _plain(path: Path, base: str) -> str:
    """A path below ``base`` without ending."""
    absolute = os.path.abspath(path)
    relative = absolute[len(base) :].lstrip("/") if absolute.startswith(base) else absolute
    return os.path.splitext(relative)[0].replace(os.sep, "/")
