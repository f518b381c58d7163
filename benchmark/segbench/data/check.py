"""Check of a dataset: reads every sample once and reports problems with figures. It prints nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segbench.data.check_labels import advise, count_values, describe_values, outside_values
from segbench.data.samples import STORED_DTYPES
from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, Problem, Sample, Task, resolve
from segbench.util.sequences import counted

_MOST_NAMED = 5  # samples that a message names before it counts the others

CheckProgress = Callable[[str, int, int], None]
"""``progress(split, samples read, samples in all)``."""


@dataclass(frozen=True)
class SplitStatistics:
    """Figures of one split. Shares are of all pixels, class shares of the labelled ones; None where nothing could be counted."""

    split: str
    samples: int
    unreadable: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # "360x480" (height x width of the label) -> samples
    class_pixels: tuple[int, ...] = ()
    class_samples: tuple[int, ...] = ()  # samples in which the class occurs
    ignored_share: float | None = None
    outside_pixels: dict[int, int] = field(default_factory=dict)  # label values that are no class
    missing_share: dict[str, float] = field(default_factory=dict)  # input -> share of NaN and infinite values

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Share of each class among the labelled pixels."""
        total = sum(self.class_pixels)
        return tuple(count / total if total else 0.0 for count in self.class_pixels)


@dataclass(frozen=True)
class DataReport:
    """The result of a check: ``ok`` where no problem prevents a run."""

    dataset: str
    problems: tuple[Problem, ...]
    splits: tuple[SplitStatistics, ...]

    @property
    def ok(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)


@dataclass
class _Tally:
    """Counts while a split is read."""

    split: str
    pixels: int = 0
    ignored: int = 0
    class_pixels: Counter[int] = field(default_factory=Counter)
    class_samples: Counter[int] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    outside: Counter[int] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)
    values: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=dict)  # message -> ids
    unreadable: dict[str, str] = field(default_factory=dict)  # id -> reason
    contents: dict[str, str] = field(default_factory=dict)  # digest -> id
    unlabelled: list[str] = field(default_factory=list)
    holders: dict[int, list[str]] = field(default_factory=dict)  # label value outside -> ids


def check_dataset(
    spec: DatasetSpec, options: Options, task: Task, root: Path | None, *, progress: CheckProgress | None = None
) -> DataReport:
    """Check every split of a dataset, whatever state it is in.

    It finds: what the dataset's own checks say, splits and files that cannot be read, inputs that are not what the task declares,
    sizes of image and label that differ, label values that are no class (with the likely reason), classes without a pixel,
    missing values, samples that occur twice, and splits that share samples without being declared unions.
    """
    problems = [Problem(message) for message in (resolve(spec.check)(task, options) if spec.check else ())]
    if spec.check_data:
        problems += _run_own_check(spec, options, root)
    tallies = []
    for split in spec.split_names(options):
        samples = _open_split(spec, options, root, split, problems)
        if samples is None:
            continue
        if split in spec.unions:
            problems += _problems_of_union(spec, options, root, split, samples)
            continue
        tally = _read_split(samples, split, task, progress)
        problems += _problems_of_split(tally, len(samples), task)
        tallies.append((tally, len(samples)))
    problems += _problems_between_splits([tally for tally, _ in tallies], task)
    statistics = tuple(_split_statistics(tally, count, task) for tally, count in tallies)
    return DataReport(spec.name, tuple(dict.fromkeys(problems)), statistics)


def _run_own_check(spec: DatasetSpec, options: Options, root: Path | None) -> list[Problem]:
    assert spec.check_data is not None
    try:
        return list(resolve(spec.check_data)(root, options))
    except Exception as error:  # a plugin may raise anything; only the problem is noted, and the check goes on
        return [Problem(_reason(error))]


def _open_split(spec: DatasetSpec, options: Options, root: Path | None, split: str, problems: list[Problem]) -> Sequence[Sample] | None:
    """The samples of a split; where it does not open, the reason is added unless the dataset's own check has given one already."""
    try:
        samples: Sequence[Sample] = resolve(spec.load)(root, split, options)
        if len(samples):
            return samples
        problems.append(Problem(f"split '{split}' is empty", where=split))
    except Exception as error:  # as above
        text = _reason(error)
        if not any(problem.where == split or problem.message in text for problem in problems):
            problems.append(Problem(text, where=split))
    return None


def _read_split(samples: Sequence[Sample], split: str, task: Task, progress: CheckProgress | None) -> _Tally:
    tally = _Tally(split)
    names = getattr(samples, "ids", None)
    for index in range(len(samples)):
        try:
            sample = samples[index]
        except Exception as error:  # a damaged file is a finding
            tally.unreadable[str(names[index]) if names else f"sample {index}"] = _reason(error)
        else:
            _count_sample(sample, tally, task)
        if progress:
            progress(split, index + 1, len(samples))
    return tally


def _count_sample(sample: Sample, tally: _Tally, task: Task) -> None:
    for fault in _find_faults(sample, task):
        tally.faults.setdefault(fault, []).append(sample.id)
    digest = _image_digest(sample)
    if digest in tally.contents:
        tally.faults.setdefault("holds the same image as another of this split", []).append(f"{sample.id} = {tally.contents[digest]}")
    tally.contents.setdefault(digest, sample.id)
    for name, image in sample.inputs.items():
        if image.dtype.is_floating_point:
            tally.values[name] += image.numel()
            tally.missing[name] += image.numel() - int(np.isfinite(image.numpy()).sum())
    _count_label(sample, tally, task)


def _count_label(sample: Sample, tally: _Tally, task: Task) -> None:
    counts = count_values(sample.mask)
    outside = outside_values(counts, task)
    classes = {value: count for value, count in counts.items() if 0 <= value < task.num_classes}
    tally.sizes["x".join(map(str, sample.mask.shape))] += 1
    tally.outside.update(outside)
    tally.class_pixels.update(classes)
    tally.class_samples.update(classes.keys())
    tally.seen.update(outside, classes)
    tally.pixels += sample.mask.numel()
    tally.ignored += counts.get(task.ignore_index, 0)
    for value in outside:
        tally.holders.setdefault(value, []).append(sample.id)
    if not classes and not outside:
        tally.unlabelled.append(sample.id)


def _find_faults(sample: Sample, task: Task) -> Iterator[str]:
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
            yield f"has '{name}' of {_size_text(image)} pixels, but a label of {_size_text(sample.mask)}"


def _problems_of_split(tally: _Tally, samples: int, task: Task) -> Iterator[Problem]:
    if tally.unreadable:
        reasons = list(tally.unreadable.values())
        more = f" (and {len(reasons) - _MOST_NAMED} more)" if len(reasons) > _MOST_NAMED else ""
        for position, reason in enumerate(reasons[:_MOST_NAMED]):
            yield Problem(f"{reason}{more if position == _MOST_NAMED - 1 else ''}", where=tally.split)
    for fault, ids in tally.faults.items():
        twice = fault.startswith("holds the same")
        yield Problem(f"{_list_ids(ids)} {fault}", "warning" if twice else "error", where=tally.split)
    if tally.outside:
        holders = list(dict.fromkeys(name for names in tally.holders.values() for name in names))
        yield Problem(
            f"label value {describe_values(tally.outside)} in {_list_ids(holders)}, but ids 0 to {task.num_classes - 1} are classes and "
            f"{task.ignore_index} is ignored. {advise(tally.outside, tally.seen, task)}",
            where=tally.split,
        )
    empty = [name for index, name in enumerate(task.class_names) if not tally.class_pixels[index]]
    if empty and len(tally.unreadable) < samples:
        yield Problem(
            f"no label pixel of {', '.join(empty)}: {'it has' if len(empty) == 1 else 'they have'} no IoU here",
            "warning",
            where=tally.split,
        )
    if tally.ignored > tally.pixels / 2:
        yield Problem(
            f"{tally.ignored / tally.pixels:.0%} of the pixels are ignored (label value {task.ignore_index}). "
            f'If this value is a class, map it (value_map="{task.ignore_index}:1") or declare another ignore index.',
            "warning",
            where=tally.split,
        )
    if tally.unlabelled:
        yield Problem(f"{_list_ids(tally.unlabelled)} without a single labelled pixel", "warning", where=tally.split)
    for name, count in tally.missing.items():
        if count:
            share = count / tally.values[name]
            yield Problem(f"{share:.2%} of the values of '{name}' are NaN or infinite", "warning", where=tally.split)


def _problems_between_splits(tallies: list[_Tally], task: Task) -> Iterator[Problem]:
    for position, first in enumerate(tallies):
        for second in tallies[position + 1 :]:
            shared = [f"{first.contents[d]} = {second.contents[d]}" for d in first.contents if d in second.contents]
            if shared:
                yield Problem(
                    f"splits '{first.split}' and '{second.split}' share {counted(len(shared), 'image')}: {_list_ids(shared)}. "
                    "Scores would be too good.",
                    where=second.split,
                )
    train = next((tally for tally in tallies if tally.split == "train"), None)
    for tally in tallies:
        if train is None or tally is train or not train.class_pixels.total():
            continue
        unseen = [n for i, n in enumerate(task.class_names) if tally.class_pixels[i] and not train.class_pixels[i]]
        if unseen:
            yield Problem(
                f"{', '.join(unseen)} in '{tally.split}' cannot be learnt: 'train' has no pixel of it", "warning", where=tally.split
            )


def _problems_of_union(spec: DatasetSpec, options: Options, root: Path | None, split: str, samples: Sequence[Sample]) -> list[Problem]:
    """A declared union has to be as long as its parts together; its samples are read as theirs."""
    try:
        parts = sum(len(resolve(spec.load)(root, part, options)) for part in spec.unions[split])
    except Exception:  # reported where the part itself is checked
        return []
    if parts == len(samples):
        return []
    return [Problem(f"'{split}' has {counted(len(samples), 'sample')}, but {' + '.join(spec.unions[split])} have {parts}", where=split)]


def _split_statistics(tally: _Tally, samples: int, task: Task) -> SplitStatistics:
    return SplitStatistics(
        split=tally.split,
        samples=samples,
        unreadable=len(tally.unreadable),
        sizes=dict(tally.sizes.most_common()),
        class_pixels=tuple(tally.class_pixels[index] for index in range(task.num_classes)),
        class_samples=tuple(tally.class_samples[index] for index in range(task.num_classes)),
        ignored_share=tally.ignored / tally.pixels if tally.pixels else None,
        outside_pixels=dict(sorted(tally.outside.items())),
        missing_share={name: tally.missing[name] / count for name, count in tally.values.items() if count},
    )


def _image_digest(sample: Sample) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, image in sorted(sample.inputs.items()):
        digest.update(f"{name} {image.dtype} {tuple(image.shape)}".encode())
        digest.update(np.ascontiguousarray(image.numpy()).data)
    return digest.hexdigest()


def _size_text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[-2:]))


def _list_ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more


def _reason(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
