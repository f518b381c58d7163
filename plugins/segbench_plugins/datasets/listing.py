"""Common parts of datasets with a known layout: the files of a split, their samples, and a check of all splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segbench import DataError, Problem, Sample, counted, read_image
from segbench_plugins.datasets.files import Array, Samples, missing, require, tensor

Files = dict[str, tuple[Path, ...]]
"""For each sample id its files: one per input, then the label."""


@dataclass(frozen=True)
class Listing:
    """The files of one split; ``source`` is the list or folder that names them."""

    files: Files
    source: str


class LabelReader(Protocol):
    """Class ids int64 (H, W) of a label file."""

    def read(self, path: Path) -> Array: ...


@dataclass(frozen=True)
class LabelledSamples(Samples):
    """Pictures with labels: one ``image`` of ``channels`` channels, and the class ids that ``labels`` reads."""

    ids: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]
    labels: LabelReader
    channels: int = 3

    def read(self, index: int) -> Sample:
        image, label = self.files[index]
        pixels = read_image(image, channels=self.channels).pixels
        return Sample({"image": tensor(pixels)}, tensor(self.labels.read(label)), self.ids[index])


def complete_files(listing: Listing, *, split: str, partial: bool) -> Files:
    """The files of a split; with ``partial`` only the samples that have all of theirs.

    Raises :class:`DataError` for files that are not on disk, with ``partial`` where no sample is complete.
    """
    if not listing.files:
        raise DataError(f"split '{split}': {listing.source} names no sample.")
    if not partial:
        require((path for files in listing.files.values() for path in files), split=split, listed=listing.source)
        return listing.files
    files = {name: paths for name, paths in listing.files.items() if all(path.is_file() for path in paths)}
    if not files:
        raise DataError(_none_complete(listing, split))
    return files


def _none_complete(listing: Listing, split: str) -> str:
    lost = next(path for paths in listing.files.values() for path in paths if not path.is_file())
    count = counted(len(listing.files), "sample")
    return f"split '{split}': none of the {count} in {listing.source} has all its files: {lost} is not there, for one."


def open_split(listing: Listing, labels: LabelReader, *, split: str, partial: bool) -> LabelledSamples:
    """The samples of a split of pictures with labels."""
    files = complete_files(listing, split=split, partial=partial)
    return LabelledSamples(tuple(files), tuple(files.values()), labels)


def check_splits(
    listing_of: Callable[[Path, str, Any], Listing],
    root: Path,
    options: Any,
    *,
    splits: Iterable[str],
    optional: Sequence[str] = (),
    official: Mapping[str, int] | None = None,
) -> list[Problem]:
    """Problems of each split: not there, files missing, or fewer samples than the whole dataset has by ``official``.

    A split that is not there is an error, as it prevents training; a warning where it is ``optional``, or with ``partial`` where
    another split is there.
    """
    problems: list[Problem] = []
    absent: list[Problem] = []
    listings = {}
    for split in splits:
        try:
            listings[split] = listing_of(root, split, options)
        except DataError as error:
            absent.append(Problem(str(error), where=split))
    for problem in absent:
        mild = root.is_dir() and (problem.where in optional or (options.partial and listings))
        problems.append(Problem(problem.message, "warning" if mild else "error", problem.where))
    for split, listing in listings.items():
        problems += _check_files(listing, split, partial=options.partial, official=(official or {}).get(split))
    return problems


def _check_files(listing: Listing, split: str, *, partial: bool, official: int | None) -> list[Problem]:
    problem = missing((path for files in listing.files.values() for path in files), split=split, listed=listing.source)
    if problem and not partial:
        return [problem]
    used = sum(all(path.is_file() for path in files) for files in listing.files.values())
    if not used:
        return [Problem(_none_complete(listing, split), where=split)]
    if official and used < official:
        text = f"split '{split}' has {used} of the {official} samples of the whole dataset: scores do not compare with those of the whole."
        return [Problem(text, "warning", split)]
    if problem:
        left = len(listing.files) - used
        return [Problem(f"split '{split}': {counted(left, 'sample')} of {len(listing.files)} left out (partial=true).", "warning", split)]
    return []


def find_base(root: Path, candidates: Iterable[str], folders: Sequence[str], what: str) -> Path:
    """The first of ``root / candidate`` that has all ``folders``; raises :class:`DataError` with the layout that is expected."""
    if not root.is_dir():
        raise DataError(f"the data folder {root} is not there. {what}")
    for candidate in candidates:
        if all((root / candidate / folder).exists() for folder in folders):
            return root / candidate
    absent = " and ".join(folder for folder in folders if not (root / folder).exists())
    raise DataError(f"{root} does not look right: there is no {absent} in it. {what}")


def pair_files(
    images: Path, labels: Path, *, image_ending: str | Sequence[str], label_ending: str, prefix: str = "", pattern: str = "*"
) -> Files:
    """Pictures and labels that share their name but for its ending, by name: also those of which one is not on disk.

    ``pattern`` is the place below both folders (``*/*``: one folder deep).
    """
    endings = (image_ending,) if isinstance(image_ending, str) else tuple(image_ending)
    found = {_name(path, ending): path for ending in endings for path in images.glob(f"{pattern}{ending}")}
    labelled = {_name(path, label_ending): path for path in labels.glob(f"{pattern}{label_ending}")}
    places = {name: path.relative_to(images).parent for name, path in found.items()}
    places |= {name: path.relative_to(labels).parent for name, path in labelled.items() if name not in places}
    return {
        prefix + name: (
            found.get(name, images / places[name] / f"{name}{endings[0]}"),
            labelled.get(name, labels / places[name] / f"{name}{label_ending}"),
        )
        for name in sorted(places)
    }


def block_split(number: int, *, size: int, pattern: Sequence[str]) -> str:
    """The split of a numbered picture: blocks of ``size`` neighbours go to the splits of ``pattern`` in turn.

    It depends on the number alone, so that a shortened copy keeps each picture in its split.

    >>> [block_split(n, size=2, pattern=("train", "val")) for n in range(6)]
    ['train', 'train', 'val', 'val', 'train', 'train']
    """
    return pattern[number // size % len(pattern)]


def _name(path: Path, ending: str) -> str:
    return path.name[: -len(ending)]
