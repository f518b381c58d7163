"""Check of a dataset: the census of its splits, the problems that follow from it, and the files that no split uses. It prints nothing."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from segbench.config.dataset_file import DATASET_FILE
from segbench.data.census import CensusProgress, SplitCount, SplitStatistics, count_split, reason
from segbench.data.check_labels import Remedies
from segbench.data.problems import (
    PALETTES_DISAGREE,
    advice_on_values,
    problems_between_folds,
    problems_between_splits,
    problems_of_dtypes,
    problems_of_masks,
    problems_of_ranges,
    problems_of_split,
    problems_of_training,
    problems_of_undeclared,
)
from segbench.data.reader.read import IMAGE_SUFFIXES, reader_identity
from segbench.plugin.chosen import Chosen
from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, Problem, Sample, Task, resolve
from segbench.util.cache_dir import user_cache
from segbench.util.files import replacing
from segbench.util.sequences import counted

_FORMAT = 7  # of a census that is kept in the user's cache; raised when the check changes


@dataclass(frozen=True)
class Unused:
    """Files that no split uses: how many of which kind lie where, why, and one of them."""

    where: str
    count: int
    reason: str
    example: str


@dataclass(frozen=True)
class DataReport:
    """The result of a check: ``ok`` where no problem prevents a run."""

    dataset: str
    problems: tuple[Problem, ...]
    splits: tuple[SplitStatistics, ...]
    unused: tuple[Unused, ...] = ()

    @property
    def ok(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)

    def to_record(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {"ok": self.ok, **asdict(self)}


def census_of(
    dataset: Chosen[DatasetSpec],
    task: Task,
    root: Path | None,
    *,
    digest: str = "",
    splits: Sequence[str] | None = None,
    trained: str | None = "train",
    most: int | None = None,
    folds: bool = False,
    progress: CensusProgress | None = None,
) -> DataReport:
    """The check of a chosen dataset; one without errors is kept in the user's cache under the data's ``digest``, where one is given.

    ``splits`` are those that a run uses (all by default), ``trained`` the one it trains on, ``most`` how many samples of each are read;
    ``folds``: the splits are divided anew into folds of whole scenes.
    """
    key = json.dumps(
        [
            _FORMAT,
            str(dataset.choice.name),
            str(dataset.options),
            digest,
            dataset.code.identity,
            reader_identity(),
            splits,
            trained,
            most,
            folds,
        ]
    )
    file = user_cache() / "census" / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"
    kept = _read_report(file) if digest else None
    if kept is not None:
        return kept
    report = check_dataset(
        dataset.spec, dataset.options, task, root, splits=splits, trained=trained, most=most, folds=folds, progress=progress
    )
    if digest and report.ok:  # an error may lie in what is installed or readable now, of which the key knows nothing
        _write_report(file, report)
    return report


def check_dataset(
    spec: DatasetSpec,
    options: Options,
    task: Task,
    root: Path | None,
    *,
    splits: Sequence[str] | None = None,
    trained: str | None = "train",
    most: int | None = None,
    folds: bool = False,
    progress: CensusProgress | None = None,
) -> DataReport:
    """Check a dataset, whatever state it is in: all splits, or those that are named.

    It finds: what the dataset's own checks say, splits and files that cannot be read, inputs that are not what the task declares,
    sizes of image and label that differ, label values that are no class (with the likely reasons), a training split of one class, masks
    that write a class in two ways, palettes that disagree, classes without a pixel, missing values, mixed dtypes, samples that occur
    twice or nearly twice, splits that share samples without being declared unions, and files that no split uses.
    """
    problems = [Problem(message) for message in (resolve(spec.check)(task, options) if spec.check else ())]
    if spec.check_data:
        problems += [p for p in _run_own_check(spec, options, root) if splits is None or not p.where or p.where in splits]
    counts = []
    for split in spec.split_names(options):
        if splits is not None and split not in splits:
            continue
        samples = _open_split(spec, options, root, split, problems)
        if samples is None:
            if splits is not None:  # a split that a run uses, unlike one that is merely not here
                problems = [replace(problem, severity="error") if problem.where == split else problem for problem in problems]
            continue
        if split in spec.unions and splits is None:
            problems += _problems_of_union(spec, options, root, split, samples)
            continue
        counts.append(count_split(samples, split, task, most=most, progress=progress))
    remedies = Remedies(spec.remedies)
    declared = "value_map" in remedies and bool(options.value_map)  # type: ignore[attr-defined]  # remedies are names of options
    of_masks = list(problems_of_masks(counts, task, remedies, declared=declared))
    agree = not any(problem.message.startswith(PALETTES_DISAGREE) for problem in of_masks)
    advice = (
        advice_on_values(counts, task, remedies) if agree else ""
    )  # where palettes disagree no index means a class: no value is explained
    problems += [problem for count in counts for problem in problems_of_split(count, task, remedies, advice=advice)]
    train = next((count for count in counts if count.split == trained), None)
    problems += [*problems_of_training(train, task, remedies, declared=_labels_are_declared(options)), *of_masks]
    if folds:
        problems += problems_between_folds(counts, _scenes(spec, options, root, counts))
    else:
        problems += problems_between_splits(counts, train, spec.unions, task, remedies)
    problems += problems_of_dtypes(counts)
    problems += [problem for count in counts for problem in (*problems_of_ranges(count), *problems_of_undeclared(count))]
    unused = () if splits is not None else tuple(_unused(spec, options, root, counts))
    return DataReport(spec.name, tuple(dict.fromkeys(problems)), tuple(count.statistics(task) for count in counts), unused)


def _labels_are_declared(options: Options) -> bool:
    """True where options give stored values or colours their classes."""
    return any(getattr(options, name, None) for name in ("value_map", "colours", "reduce_zero"))


def _run_own_check(spec: DatasetSpec, options: Options, root: Path | None) -> list[Problem]:
    assert spec.check_data is not None
    try:
        return list(resolve(spec.check_data)(root, options))
    except Exception as error:  # a plugin may raise anything; only the problem is noted, and the check goes on
        return [Problem(reason(error))]


def _open_split(spec: DatasetSpec, options: Options, root: Path | None, split: str, problems: list[Problem]) -> Sequence[Sample] | None:
    """The samples of a split; where it does not open, the reason is added unless the dataset's own check has given one already."""
    try:
        samples: Sequence[Sample] = resolve(spec.load)(root, split, options)
        if len(samples):
            return samples
        problems.append(Problem(f"split '{split}' is empty", where=split))
    except Exception as error:  # as above
        text = reason(error)
        if not any(problem.where in ("", split) and (problem.where or problem.message in text) for problem in problems):
            problems.append(Problem(text, where=split))
    return None


def _scenes(spec: DatasetSpec, options: Options, root: Path | None, counts: Sequence[SplitCount]) -> dict[str, dict[str, str]]:
    """Scene of each sample id, by split, where the dataset tells scenes and its samples their ids without being read."""
    scenes: dict[str, dict[str, str]] = {}
    for count in counts if spec.groups else ():
        ids = getattr(resolve(spec.load)(root, count.split, options), "ids", None)
        if ids is not None:
            assert spec.groups is not None
            scenes[count.split] = dict(zip(ids, resolve(spec.groups)(root, count.split, options), strict=True))
    return scenes


def _problems_of_union(spec: DatasetSpec, options: Options, root: Path | None, split: str, samples: Sequence[Sample]) -> list[Problem]:
    """A declared union has to be as long as its parts together; its samples are read as theirs."""
    try:
        parts = sum(len(resolve(spec.load)(root, part, options)) for part in spec.unions[split])
    except Exception:  # reported where the part itself is checked
        return []
    if parts == len(samples):
        return []
    return [Problem(f"'{split}' has {counted(len(samples), 'sample')}, but {' + '.join(spec.unions[split])} have {parts}", where=split)]


def _unused(spec: DatasetSpec, options: Options, root: Path | None, counts: Sequence[SplitCount]) -> Iterator[Unused]:
    """Files below the data folder that no split uses, as the dataset says; else images that no split read. By folder and reason."""
    if root is None or not root.is_dir():
        return
    reasons: Mapping[Path, str] = resolve(spec.unused)(root, options) if spec.unused else {}
    read = {path.resolve() for count in counts for path in count.paths()}
    if not read and not reasons:
        return
    groups: dict[tuple[str, str], list[str]] = {}
    for path in _files_below(root):
        if path == root / DATASET_FILE:
            continue
        if path in reasons or (not spec.unused and path.resolve() not in read and path.suffix.lower() in IMAGE_SUFFIXES):
            why = reasons.get(path, f"{path.suffix or 'no ending'}: no split reads it")
            groups.setdefault((path.parent.relative_to(root).as_posix(), why), []).append(path.name)
    for (where, why), names in sorted(groups.items()):
        yield Unused(where, len(names), why, min(names))


def _files_below(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts):
            yield path


def _read_report(file: Path) -> DataReport | None:
    try:
        return _reports().validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None


@functools.cache
def _reports() -> TypeAdapter[DataReport]:
    return TypeAdapter(DataReport)


def _write_report(file: Path, report: DataReport) -> None:
    with contextlib.suppress(OSError):  # without the cache the data is read again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            unfinished.write_bytes(_reports().dump_json(report))
