"""The census of a split: every sample read once by several threads, and what was seen added up. It judges nothing and prints nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.data.check_labels import count_values, outside_values
from segbench.data.near_duplicates import Array, structure
from segbench.data.reader.facts import Colour, FileFacts, collect_facts
from segbench.data.samples import STORED_DTYPES
from segbench.plugin.specs import Sample, Task
from segbench.util.devices import usable_cores
from segbench.util.sequences import evenly_spaced

CensusProgress = Callable[[str, int, int], None]
"""``progress(split, samples read, samples in all)``."""

USUAL_NODATA = (-9999.0, -99999.0, -32767.0, -32768.0, -3.4028234663852886e38, -1.7976931348623157e308)
"""Lowest values by which GIS tools mark missing pixels."""

_WAITING = 64  # samples that may be read ahead of the one that is counted


@dataclass(frozen=True)
class SplitStatistics:
    """Figures of one split. Shares are of all pixels, class shares of the labelled ones; None where nothing could be counted.

    samples         in the split; ``read`` of them were looked at
    dtypes          input -> dtype as stored -> images
    ranges          input -> smallest and largest value
    orientations    EXIF orientation tag -> images that carry it (1 is left out)
    nodata_share    share of image pixels that the files mark as missing
    pages           pages of a file -> files (1 is left out)
    palettes        palettes among the masks that give an index different colours (each mask shows those of the indices that it uses)
    readers         what the files were read by -> files
    files           image and mask files that were read
    """

    split: str
    samples: int
    unreadable: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # "360x480" (height x width of the label) -> samples
    class_pixels: tuple[int, ...] = ()
    class_samples: tuple[int, ...] = ()  # samples in which the class occurs
    ignored_share: float | None = None
    outside_pixels: dict[int, int] = field(default_factory=dict)  # label values that are no class
    missing_share: dict[str, float] = field(default_factory=dict)  # input -> share of NaN and infinite values
    read: int = 0
    dtypes: dict[str, dict[str, int]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    orientations: dict[int, int] = field(default_factory=dict)
    nodata_share: float = 0.0
    pages: dict[int, int] = field(default_factory=dict)
    palettes: int = 0
    readers: dict[str, int] = field(default_factory=dict)
    files: int = 0

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Share of each class among the labelled pixels."""
        total = sum(self.class_pixels)
        return tuple(count / total if total else 0.0 for count in self.class_pixels)


@dataclass(frozen=True)
class SeenInput:
    """One input of a sample: its values as the dataset gives them, and the dtype that its file stores."""

    dtype: str
    values: int
    missing: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SeenSample:
    """Figures of one sample; of one that cannot be read only ``error``."""

    id: str
    error: str | None = None
    faults: tuple[str, ...] = ()
    digest: str = ""
    constant: bool = False
    structure: Array | None = None
    inputs: dict[str, SeenInput] = field(default_factory=dict)
    size: str = ""
    pixels: int = 0
    labels: dict[int, int] = field(default_factory=dict)
    facts: tuple[FileFacts, ...] = ()


@dataclass
class SplitCount:
    """Counts of a split while its samples come in, and the samples that problems name."""

    split: str
    samples: int
    read: int = 0
    pixels: int = 0
    ignored: int = 0
    class_pixels: Counter[int] = field(default_factory=Counter)
    class_samples: Counter[int] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    outside: Counter[int] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)
    values: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    dtypes: dict[str, Counter[str]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    extremes: dict[str, list[tuple[float, str]]] = field(default_factory=dict)  # input -> largest absolute value and id of each image
    undeclared: dict[str, dict[float, list[str]]] = field(default_factory=dict)  # input -> usual mark of missing pixels -> ids
    faults: dict[str, list[str]] = field(default_factory=dict)  # message -> ids
    unreadable: dict[str, str] = field(default_factory=dict)  # id -> reason
    contents: dict[str, str] = field(default_factory=dict)  # digest of the inputs -> id; constant pictures left out
    constant: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    holders: dict[int, list[str]] = field(default_factory=dict)  # label value outside -> ids
    only_zero: list[str] = field(default_factory=list)  # ids of samples whose labels are 0 and the ignore index alone
    without_ignored: list[str] = field(default_factory=list)  # ids of samples with a class above 0 and nothing ignored
    with_both: int = 0  # samples with a class above 0 and something ignored
    ids: list[str] = field(default_factory=list)
    structures: list[Array | None] = field(default_factory=list)
    facts: list[FileFacts] = field(default_factory=list)

    def add(self, sample: SeenSample, task: Task) -> None:
        """Count one sample."""
        self.read += 1
        if sample.error is not None:
            self.unreadable[sample.id] = sample.error
            return
        self.facts += sample.facts
        self.ids.append(sample.id)
        self.structures.append(sample.structure)
        for fault in sample.faults:
            self.faults.setdefault(fault, []).append(sample.id)
        self._add_content(sample)
        for name, one in sample.inputs.items():
            self._add_input(name, one, sample.id)
        self._add_labels(sample, task)

    def _add_content(self, sample: SeenSample) -> None:
        if sample.constant:
            self.constant.append(sample.id)
            return
        if sample.digest in self.contents:
            twice = f"{sample.id} = {self.contents[sample.digest]}"
            self.faults.setdefault("holds the same image as another of this split", []).append(twice)
        self.contents.setdefault(sample.digest, sample.id)

    def _add_input(self, name: str, one: SeenInput, id: str) -> None:
        self.dtypes.setdefault(name, Counter())[one.dtype] += 1
        if one.low is not None and one.high is not None:
            low, high = self.ranges.get(name, (one.low, one.high))
            self.ranges[name] = (min(low, one.low), max(high, one.high))
            marked = one.low in USUAL_NODATA
            if marked:
                self.undeclared.setdefault(name, {}).setdefault(one.low, []).append(id)
            if one.low != one.high:
                self.extremes.setdefault(name, []).append((max(0.0 if marked else abs(one.low), abs(one.high)), id))
        self.values[name] += one.values
        self.missing[name] += one.missing

    def _add_labels(self, sample: SeenSample, task: Task) -> None:
        outside = outside_values(sample.labels, task)
        classes = {value: count for value, count in sample.labels.items() if 0 <= value < task.num_classes}
        ignored = sample.labels.get(task.ignore_index, 0)
        self.sizes[sample.size] += 1
        self.outside.update(outside)
        self.class_pixels.update(classes)
        self.class_samples.update(classes.keys())
        self.seen.update(outside, classes)
        self.pixels += sample.pixels
        self.ignored += ignored
        for value in outside:
            self.holders.setdefault(value, []).append(sample.id)
        if not classes and not outside:
            self.unlabelled.append(sample.id)
        above = any(value > 0 for value in classes)
        if above and ignored:
            self.with_both += 1
        elif above:
            self.without_ignored.append(sample.id)
        elif ignored:
            self.only_zero.append(sample.id)

    def statistics(self, task: Task) -> SplitStatistics:
        """The figures of the split."""
        images = [facts for facts in self.facts if facts.role == "image"]
        sizes = sum(facts.size[0] * facts.size[1] for facts in images)
        empty = sum(facts.missing * facts.size[0] * facts.size[1] for facts in images)
        return SplitStatistics(
            split=self.split,
            samples=self.samples,
            unreadable=len(self.unreadable),
            sizes=dict(self.sizes.most_common()),
            class_pixels=tuple(self.class_pixels[index] for index in range(task.num_classes)),
            class_samples=tuple(self.class_samples[index] for index in range(task.num_classes)),
            ignored_share=self.ignored / self.pixels if self.pixels else None,
            outside_pixels=dict(sorted(self.outside.items())),
            missing_share={name: self.missing[name] / count for name, count in self.values.items() if count},
            read=self.read,
            dtypes={name: dict(counts.most_common()) for name, counts in self.dtypes.items()},
            ranges=dict(self.ranges),
            orientations=dict(sorted(Counter(facts.orientation for facts in images if facts.orientation != 1).items())),
            nodata_share=empty / sizes if sizes else 0.0,
            pages=dict(sorted(Counter(facts.pages for facts in self.facts if facts.pages > 1).items())),
            palettes=_count_palettes({facts.palette for facts in self.facts if facts.role == "mask" and facts.palette is not None}),
            readers=dict(Counter(facts.reader for facts in self.facts).most_common()),
            files=len({facts.path for facts in self.facts}),
        )

    def paths(self) -> set[Path]:
        """The files that were read."""
        return {facts.path for facts in self.facts}


def _count_palettes(used: Iterable[tuple[tuple[int, Colour], ...]]) -> int:
    """Palettes of which these are parts: parts belong to one palette as long as no index has two colours."""
    palettes: list[dict[int, Colour]] = []
    for part in sorted(used, key=len, reverse=True):
        entries = dict(part)
        whole = next((one for one in palettes if all(one.get(index, colour) == colour for index, colour in part)), None)
        if whole is None:
            palettes.append(entries)
        else:
            whole.update(entries)
    return len(palettes)


def count_split(
    samples: Sequence[Sample], split: str, task: Task, *, most: int | None = None, progress: CensusProgress | None = None
) -> SplitCount:
    """Counts of a split; of one with more than ``most`` samples those at even distances. What cannot be read is counted as such."""
    count = SplitCount(split, len(samples))
    positions = list(evenly_spaced(len(samples), most)) if most else list(range(len(samples)))
    names = getattr(samples, "ids", None)
    for index, seen in enumerate(_examined(samples, positions, names, task)):
        count.add(seen, task)
        if progress:
            progress(split, index + 1, len(positions))
    return count


def _examined(samples: Sequence[Sample], positions: Sequence[int], names: Sequence[str] | None, task: Task) -> Iterator[SeenSample]:
    """Figures of each sample, in order; several are read at a time, as decoding leaves the interpreter's lock."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(positions), _WAITING):
            yield from pool.map(lambda index: _examine(samples, index, names, task), positions[start : start + _WAITING])


def _examine(samples: Sequence[Sample], index: int, names: Sequence[str] | None, task: Task) -> SeenSample:
    with collect_facts() as facts:
        try:
            sample = samples[index]
        except Exception as error:  # a plugin may raise anything, and a damaged file is a finding
            return SeenSample(str(names[index]) if names else f"sample {index}", error=reason(error))
    stored = [one for one in facts if one.role == "image"]
    images = list(sample.inputs.items())
    own = [one.dtype for one in stored] if len(stored) == len(images) else [str(image.dtype).removeprefix("torch.") for _, image in images]
    inputs = {name: _see_input(image, dtype) for (name, image), dtype in zip(images, own, strict=True)}
    return SeenSample(
        id=sample.id,
        faults=tuple(_find_faults(sample, task, stored)),
        digest=_image_digest(sample),
        constant=all(one.low == one.high for one in inputs.values()),
        structure=structure(_without_marks(images[0][1].numpy(), inputs[images[0][0]].low)) if images and images[0][1].ndim == 3 else None,
        inputs=inputs,
        size="x".join(map(str, sample.mask.shape)),
        pixels=sample.mask.numel(),
        labels=count_values(sample.mask),
        facts=tuple(facts),
    )


def _without_marks(image: npt.NDArray[Any], low: float | None) -> npt.NDArray[Any]:
    """An image with NaN in place of a usual mark of missing pixels, whose size would hide everything else."""
    if low not in USUAL_NODATA:
        return image
    values = image.astype(np.float32)
    marked: npt.NDArray[Any] = np.where(values == np.float32(low), np.float32(np.nan), values)
    return marked


def _see_input(image: Tensor, dtype: str) -> SeenInput:
    values = image.numpy()
    if not image.dtype.is_floating_point:
        low, high = (float(values.min()), float(values.max())) if values.size else (None, None)
        return SeenInput(dtype, 0, 0, low, high)
    finite = np.isfinite(values)
    missing = values.size - int(finite.sum())
    known = values[finite] if missing else values
    low, high = (float(known.min()), float(known.max())) if known.size else (None, None)
    return SeenInput(dtype, values.size, missing, low, high)


def _find_faults(sample: Sample, task: Task, images: Sequence[FileFacts]) -> Iterator[str]:
    if set(sample.inputs) != set(task.inputs):
        yield f"has the inputs {', '.join(sample.inputs)}, but the task declares {', '.join(task.inputs)}"
    if sample.mask.dtype != torch.int64 or sample.mask.ndim != 2:
        yield f"has a label of {sample.mask.dtype} {tuple(sample.mask.shape)} instead of int64 (height, width)"
    for name, image in sample.inputs.items():
        if image.dtype not in STORED_DTYPES:
            yield f"has '{name}' as {image.dtype}; uint8, int16, uint16 or float32 can be stored"
        if image.ndim != 3 or image.shape[0] != task.inputs.get(name, image.shape[0]):
            yield f"has '{name}' with the shape {tuple(image.shape)} instead of ({task.inputs.get(name)}, height, width)"
        elif image.shape[1:] != sample.mask.shape:
            advice = _advice_on_sizes(image, sample.mask, images)
            yield f"has '{name}' of {_size_text(image)} pixels, but a label of {_size_text(sample.mask)}{advice}"


def _advice_on_sizes(image: Tensor, mask: Tensor, images: Sequence[FileFacts]) -> str:
    """Advice for an image that its orientation tag turned and a mask that was not turned; else empty."""
    tag = next((facts.orientation for facts in images if facts.orientation in (5, 6, 7, 8)), None)
    if tag is None or image.shape[1:] != mask.shape[::-1]:
        return ""
    return (
        f": the image's orientation tag (EXIF {tag}) is applied, and the mask was drawn on the pixels as they are stored. Remove the "
        "tag of the image (exiftool -Orientation= FILE), or turn the mask as viewers turn the image"
    )


def _image_digest(sample: Sample) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, image in sorted(sample.inputs.items()):
        digest.update(f"{name} {image.dtype} {tuple(image.shape)}".encode())
        digest.update(np.ascontiguousarray(image.numpy()).data)
    return digest.hexdigest()


def _size_text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[-2:]))


def reason(error: Exception) -> str:
    """An error's message, the name of its type where it has none."""
    return str(error).strip() or type(error).__name__
