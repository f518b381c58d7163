"""The rules that every dataset keeps."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, Problem, Sample, Task, resolve
from segbench.testing.check import Check, ConformanceError, during, fail, refuse_unfit_defaults
from segbench.util.sequences import counted

STORED = (torch.uint8, torch.int16, torch.uint16, torch.float32)


def task_reads_no_data(subject: DatasetSubject) -> None:
    """``task(options)`` gives the same Task each time, and option defaults keep their own limits."""
    refuse_unfit_defaults(subject.spec.options)
    lacking = [name for name in subject.spec.remedies if name not in subject.spec.options.model_fields]
    if lacking:
        fail(f"remedies name {', '.join(lacking)}, which no option is called")
    first, again = subject.make_task(), subject.make_task()
    if not isinstance(first, Task):
        fail(f"task returned {type(first).__name__} instead of a Task")
    if first != again:
        fail("task gives two different tasks for the same options")


def splits_are_declared(subject: DatasetSubject) -> None:
    """Split names are distinct texts, and unions are made of declared splits."""
    names = subject.splits
    if not names or len(set(names)) != len(names):
        fail(f"splits {names} must name at least one split, each once")
    for union, parts in subject.spec.unions.items():
        missing = [name for name in (union, *parts) if name not in names]
        if missing or isinstance(parts, str):
            fail(f"the union '{union}' = {parts} speaks of {missing}, which is not among splits {names}")


def splits_load(subject: DatasetSubject) -> None:
    """Every split can be loaded from this folder; the other checks go on with those that can."""
    for reason in subject.missing.values():
        fail(reason)


def samples_fit_the_task(subject: DatasetSubject) -> None:
    """Inputs (C, H, W) in a stored dtype, mask int64 (H, W) of the same size, labels within the task's range, ids texts."""
    for split in subject.present:
        if not len(subject.samples(split)):
            fail(f"split '{split}' is empty")
        for index, sample in subject.some(split):
            _check_sample(sample, subject.make_task(), f"{split}[{index}]")


def splits_end(subject: DatasetSubject) -> None:
    """An index past the end raises IndexError, so that loops over a split end."""
    for split in subject.present:
        samples = subject.samples(split)
        for index in (len(samples), len(samples) + 1):
            try:
                samples[index]
            except IndexError:
                continue
            except Exception as error:
                fail(f"{split}[{index}] raised {type(error).__name__} instead of IndexError: {error}")
            fail(f"'{split}' has {counted(len(samples), 'sample')}, but index {index} gives one: raise IndexError past the end")


def splits_share_no_sample(subject: DatasetSubject) -> None:
    """No id and no image stands in two splits, other than in declared unions; a union is exactly its parts."""
    unions = subject.spec.unions
    for one, other in combinations(subject.present, 2):
        if _related(one, other, unions):
            continue
        same = set(subject.ids(one)) & set(subject.ids(other))
        if same:
            fail(f"'{one}' and '{other}' share {len(same)} sample(s), such as '{min(same)}': split apart, or declare it in unions")
        twins = subject.digests(one).keys() & subject.digests(other).keys()
        if twins:
            twin = min(twins)
            fail(
                f"'{subject.digests(one)[twin]}' of '{one}' is the same image as '{subject.digests(other)[twin]}' of '{other}': "
                "a model would be scored on what it was trained on"
            )
    for union, parts in unions.items():
        if not {union, *parts} <= set(subject.present):
            continue
        union_ids, part_ids = sorted(subject.ids(union)), sorted(i for part in parts for i in subject.ids(part))
        if subject.complete and union_ids != part_ids:
            has = counted(len(union_ids), "sample")
            fail(f"'{union}' has {has}, but {' + '.join(parts)} have {len(part_ids)}: a union is exactly its parts")


def order_and_ids_are_stable(subject: DatasetSubject) -> None:
    """Loading again gives the same ids in the same order with the same content; ids of a split differ."""
    for split in subject.present:
        ids = subject.ids(split)
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            fail(f"the id '{twice[0]}' stands twice in '{split}': ids name samples in confusion matrices and pictures")
        again = subject.load(split)
        if len(again) != len(subject.samples(split)):
            fail(f"'{split}' has {counted(len(subject.samples(split)), 'sample')}, and {len(again)} when loaded again")
        for index, sample in subject.some(split):
            other = _read(again, index, split)
            if other.id != sample.id:
                fail(f"{split}[{index}] is '{sample.id}' and, loaded again, '{other.id}': sort file names, and seed random numbers")
            if digest(other) != digest(sample):
                fail(f"{split}[{index}] has other content when loaded again: derive random numbers from a seed and the index")


def workers_can_read(subject: DatasetSubject) -> None:
    """A split can be pickled, and a loader's worker reads the same samples."""
    for split in subject.present:
        samples = subject.samples(split)
        with during(f"pickling '{split}'"):
            copy = pickle.loads(pickle.dumps(samples))
        for index, sample in subject.some(split, most=3):
            if digest(_read(copy, index, split)) != digest(sample):
                fail(f"{split}[{index}] differs after pickling")
    split = subject.present[0]
    expected = [(index, digest(sample)) for index, sample in subject.some(split, most=3)]
    with during(f"reading '{split}' in a loader's worker"):
        digests = [digest(sample) for sample in _in_worker(subject.samples(split), [index for index, _ in expected])]
    if digests != [known for _, known in expected]:
        fail(f"a loader's worker reads other samples of '{split}' than this process")


def groups_fit(subject: DatasetSubject) -> None:
    """``groups`` names one scene per sample."""
    if subject.spec.groups is None:
        return
    for split in subject.present:
        with during(f"groups of '{split}'"):
            groups = list(resolve(subject.spec.groups)(subject.root, split, subject.options))
        if len(groups) != len(subject.samples(split)) or not all(isinstance(g, str) for g in groups):
            samples = counted(len(subject.samples(split)), "sample")
            fail(f"groups gives {counted(len(groups), 'entry', 'entries')} for the {samples} of '{split}': one text per sample")


def check_data_finds_no_error(subject: DatasetSubject) -> None:
    """``check_data`` runs on this data, gives Problems, and none is an error."""
    if subject.spec.check_data is None:
        return
    with during("check_data"):
        problems = list(resolve(subject.spec.check_data)(subject.root, subject.options))
    for problem in problems:
        if not isinstance(problem, Problem):
            fail(f"check_data yields {type(problem).__name__} instead of Problem")
        if problem.severity == "error":
            fail(f"check_data: {problem.message}")


def _check_sample(sample: Any, task: Task, where: str) -> None:
    if not isinstance(sample, Sample):
        fail(f"{where} is {type(sample).__name__} instead of a Sample")
    if not isinstance(sample.id, str) or not sample.id:
        fail(f"{where} has the id {sample.id!r}: give a text that never changes")
    if tuple(sample.inputs) != tuple(task.inputs):
        fail(f"{where} has the inputs {tuple(sample.inputs)}, but the task declares {tuple(task.inputs)}")
    mask = sample.mask
    if mask.dtype != torch.int64 or mask.ndim != 2:
        fail(f"the mask of {where} is {mask.dtype} {tuple(mask.shape)}: int64 (H, W) was expected")
    for name, channels in task.inputs.items():
        value = sample.inputs[name]
        if value.dtype not in STORED:
            fail(f"'{name}' of {where} is {value.dtype}: keep it as it is stored, one of uint8, int16, uint16, float32")
        if tuple(value.shape) != (channels, *mask.shape):
            fail(f"'{name}' of {where} has shape {tuple(value.shape)}: ({channels}, {mask.shape[0]}, {mask.shape[1]}) fits task and mask")
    labels = set(torch.unique(mask).tolist())
    wrong = sorted(labels - set(range(task.num_classes)) - {task.ignore_index})
    if wrong:
        fail(f"{where} has the label(s) {wrong[:5]}: only 0 to {task.num_classes - 1} and {task.ignore_index} (ignore) are declared")


def _related(one: str, other: str, unions: Any) -> bool:
    def leaves(name: str) -> set[str]:
        return {leaf for part in unions[name] for leaf in leaves(part)} if name in unions else {name}

    return bool(leaves(one) & leaves(other))


def _read(samples: Sequence[Sample], index: int, split: str) -> Sample:
    with during(f"reading {split}[{index}]"):
        return samples[index]


def _in_worker(samples: Any, indices: list[int]) -> Iterator[Sample]:
    loader: Any = DataLoader(samples, batch_size=None, sampler=indices, num_workers=1, collate_fn=_as_it_is, timeout=60)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of forking beside threads; the worker only reads
        warnings.simplefilter("ignore", DeprecationWarning)
        yield from loader


def _as_it_is(sample: Any) -> Any:
    return sample


CHECKS: tuple[Check[DatasetSubject], ...] = tuple(
    Check.of(function)
    for function in (
        task_reads_no_data,
        splits_are_declared,
        splits_load,
        samples_fit_the_task,
        splits_end,
        splits_share_no_sample,
        order_and_ids_are_stable,
        workers_can_read,
        groups_fit,
        check_data_finds_no_error,
    )
)


@dataclass(frozen=True)
class DatasetSubject:
    """A dataset with its options and, unless it is embedded, its folder.

    Of splits longer than ``most`` samples, that many evenly spaced ones are looked at (None: all).
    """

    spec: DatasetSpec
    options: Options
    root: Path | None = None
    most: int | None = 500
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        with during("splits"):
            return self.spec.split_names(self.options)

    @property
    def missing(self) -> dict[str, str]:
        """Splits that cannot be loaded, each with the reason."""
        if "missing" not in self._cache:
            self._cache["missing"] = {split: reason for split in self.splits if (reason := self._refusal(split))}
        return self._cache["missing"]  # type: ignore[no-any-return]

    @property
    def present(self) -> tuple[str, ...]:
        """Splits that can be loaded, at least one: copies of a dataset are often partial."""
        loadable = tuple(split for split in self.splits if split not in self.missing)
        return loadable or fail("no split can be loaded")

    @property
    def complete(self) -> bool:
        """True where every sample is checked."""
        return self.most is None or all(len(self.samples(split)) <= self.most for split in self.present)

    def make_task(self) -> Any:
        """A new ``task(options)``."""
        with during("task"):
            return self.spec.make_task(self.options, None if self.spec.embedded else self.root)

    def load(self, split: str) -> Sequence[Sample]:
        """A new ``load(root, split, options)``."""
        if self.root is None and not self.spec.embedded:
            fail(f"dataset '{self.spec.name}' lies on disk: say where (root, or --data DIR), or declare it embedded")
        root = None if self.spec.embedded else self.root
        with during(f"loading '{split}'"):
            return resolve(self.spec.load)(root, split, self.options)  # type: ignore[no-any-return]

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, loaded once."""
        key = f"samples of {split}"
        if key not in self._cache:
            self._cache[key] = self.load(split)
        return self._cache[key]  # type: ignore[no-any-return]

    def some(self, split: str, *, most: int = 8) -> Iterator[tuple[int, Sample]]:
        """A few evenly spaced samples with their indices, the first and the last among them."""
        for index in spaced(len(self.samples(split)), most):
            with during(f"reading {split}[{index}]"):
                sample = self.samples(split)[index]
            yield index, sample

    def ids(self, split: str) -> list[str]:
        """Ids of a split in order."""
        return [sample_id for sample_id, _ in self._digested(split)]

    def digests(self, split: str) -> dict[str, str]:
        """Digest of each image to its id."""
        return {image: sample_id for sample_id, image in self._digested(split)}

    def _refusal(self, split: str) -> str:
        try:
            self.samples(split)
        except ConformanceError as error:
            return str(error)
        return ""

    def _digested(self, split: str) -> list[tuple[str, str]]:
        key = f"digests of {split}"
        if key not in self._cache:
            count = len(self.samples(split))
            most = count if self.most is None else self.most
            self._cache[key] = [(sample.id, digest(sample, mask=False)) for _, sample in self.some(split, most=most)]
        return self._cache[key]  # type: ignore[no-any-return]


def spaced(count: int, most: int) -> list[int]:
    """Up to ``most`` evenly spaced indices below ``count``, both ends among them.

    >>> spaced(10, 4), spaced(2, 4)
    ([0, 3, 6, 9], [0, 1])
    """
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})


def digest(sample: Sample, *, mask: bool = True) -> str:
    """Hash of a sample's tensors: names, dtypes, shapes and values."""
    hasher = hashlib.sha256()
    tensors: dict[str, Tensor] = {**sample.inputs, **({"mask": sample.mask} if mask else {})}
    for name, tensor in tensors.items():
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
