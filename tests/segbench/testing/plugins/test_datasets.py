"""Each dataset here breaks one rule, and the check of that rule must name it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from segbench import DatasetSpec, NoOptions, Options, Problem, Sample, Task, option
from segbench.testing import DatasetSubject, checks_for
from segbench.testing.check import run_all

TASK = Task(class_names=("a", "b"), inputs={"image": 3})
FIRST = {"train": 0, "val": 100, "test": 200}


def draw(seed: int, name: str) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, 8, 10), generator=generator, dtype=torch.uint8)
    mask = torch.randint(0, 2, (8, 10), generator=generator)
    mask[0] = 255
    return Sample({"image": image}, mask, name)


@dataclass(frozen=True)
class Drawn(Sequence[Sample]):
    """Samples drawn from seeds; ``change`` makes a rule break."""

    seeds: tuple[tuple[str, int], ...]
    change: Callable[[Sample], Any] = field(default=lambda sample: sample)

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: Any) -> Any:
        name, seed = self.seeds[index]
        return self.change(draw(seed, name))

    def __reduce__(self) -> Any:  # the default of ``change`` cannot be pickled by name
        return (Drawn, (self.seeds,))


def seeds_of(split: str, count: int = 3) -> tuple[tuple[str, int], ...]:
    return tuple((f"{split}-{i}", FIRST[split] + i) for i in range(count))


def load(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    if split == "trainval":
        return Drawn(seeds_of("train") + seeds_of("val"))
    return Drawn(seeds_of(split))


def spec(**fields: Any) -> DatasetSpec:
    return DatasetSpec(
        **{
            "name": "drawn",
            "summary": "",
            "task": lambda options: TASK,
            "splits": ("train", "val", "trainval"),
            "unions": {"trainval": ("train", "val")},
            "load": load,
            "embedded": True,
            **fields,
        }
    )


def changed(change: Callable[[Sample], Any]) -> DatasetSpec:
    """Samples as ``change`` makes them, in one split."""
    return spec(splits=("train",), unions={}, load=lambda root, split, options: Drawn(seeds_of(split), change))


def failures(given: DatasetSpec, **fields: Any) -> dict[str, str]:
    """Message of each failed check by name."""
    subject = DatasetSubject(given, given.options.resolve(), **fields)
    return {r.name: r.message for r in run_all(checks_for("datasets"), subject) if not r.passed}


def from_folder(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    assert root is not None
    return Drawn(tuple((line, i) for i, line in enumerate((root / f"{split}.txt").read_text().split())))


def test_a_generated_dataset_that_keeps_the_rules_passes() -> None:
    scenes = {"groups": lambda root, split, options: [f"scene{i}" for i in range(len(load(root, split, options)))]}
    given = spec(check_data=lambda root, options: [Problem("a bit small", severity="warning")], **scenes)
    assert failures(given) == {}
    assert failures(given, most=2) == {}


def test_remedies_are_options() -> None:
    assert failures(spec(remedies=("value_map",)))["task_reads_no_data"].endswith("remedies name value_map, which no option is called")


def test_a_dataset_on_disk_needs_its_folder(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("x y z")
    given = spec(splits=lambda options: ["train"], unions={}, load=from_folder, embedded=False)
    assert failures(given, root=tmp_path) == {}
    assert "dataset 'drawn' lies on disk: say where (root, or --data DIR)" in failures(given)["splits_load"]


def test_what_is_there_of_a_partial_copy_is_still_checked(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("x y z")
    (tmp_path / "val.txt").write_text("z")
    given = spec(splits=("train", "val", "test", "all"), unions={"all": ("train", "test")}, load=from_folder, embedded=False)
    failed = failures(given, root=tmp_path)
    assert set(failed) == {"splits_load", "splits_share_no_sample"}
    assert "loading 'test' raised FileNotFoundError" in failed["splits_load"]
    assert "'train' and 'val' share 1 sample(s), such as 'z'" in failed["splits_share_no_sample"]


class OutOfRange(Options):
    size: int = option(0, minimum=1)


COUNTER = itertools.count()


def restless_task(options: Options) -> Task:
    return replace(TASK, class_names=("a", f"b{next(COUNTER)}"))


def overlapping(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    return Drawn((("shared", 7), *seeds_of(split))) if split != "trainval" else Drawn((("shared", 7), *seeds_of("train"), *seeds_of("val")))


def twins(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    return Drawn(((f"{split}-twin", 7), *seeds_of(split)))


def short_union(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    return Drawn(seeds_of("train")) if split == "trainval" else load(root, split, options)


def reordered(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    seeds = seeds_of(split)
    turn = next(COUNTER) % 3
    return Drawn(seeds[turn:] + seeds[:turn])


def regenerated(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
    return Drawn(tuple((name, 1000 * next(COUNTER)) for name, _ in seeds_of(split)))


class Endless(Drawn):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index % len(self))

    def __reduce__(self) -> Any:
        return (Endless, (self.seeds,))


class KeyErrorAtEnd(Drawn):
    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise KeyError(index)
        return super().__getitem__(index)

    def __reduce__(self) -> Any:
        return (KeyErrorAtEnd, (self.seeds,))


class Unpicklable(Drawn):
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle an open file")


class ForgetsWhenPickled(Drawn):
    def __reduce__(self) -> Any:
        return (Drawn, (tuple((name, seed + 50) for name, seed in self.seeds),))


class OtherInWorker(Drawn):
    def __getitem__(self, index: Any) -> Any:
        name, seed = self.seeds[index]
        return draw(seed + 1000 * (torch.utils.data.get_worker_info() is not None), name)

    def __reduce__(self) -> Any:
        return (OtherInWorker, (self.seeds,))


def of(kind: type[Drawn]) -> DatasetSpec:
    return spec(splits=("train",), unions={}, load=lambda root, split, options: kind(seeds_of(split)))


def with_mask(mask: torch.Tensor) -> DatasetSpec:
    return changed(lambda sample: replace(sample, mask=mask))


def with_image(**inputs: torch.Tensor) -> DatasetSpec:
    return changed(lambda sample: replace(sample, inputs=inputs))


IMAGE = torch.zeros(3, 8, 10, dtype=torch.uint8)
ANY = {"*"}
BROKEN: dict[str, tuple[DatasetSpec, str, str, set[str]]] = {
    "default out of range": (spec(options=OutOfRange), "task_reads_no_data", "size = 0 does not fit: expected at least 1", set()),
    "another task each time": (spec(task=restless_task), "task_reads_no_data", "two different tasks for the same options", set()),
    "no task": (spec(task=lambda options: None), "task_reads_no_data", "task returned NoneType instead of a Task", ANY),
    "a split twice": (spec(splits=("train", "train"), unions={}), "splits_are_declared", "each once", ANY),
    "union of nothing": (spec(splits=("train",), unions={"all": ("train", "dev")}), "splits_are_declared", "speaks of ['all', 'dev']", ANY),
    "empty split": (
        spec(splits=("train",), unions={}, load=lambda r, s, o: Drawn(())),
        "samples_fit_the_task",
        "split 'train' is empty",
        ANY,
    ),
    "a split missing": (
        spec(splits=("train", "dev"), unions={}),
        "splits_load",
        "loading 'dev' raised KeyError: 'dev'",
        set(),
    ),
    "pairs": (changed(lambda s: (s.inputs["image"], s.mask)), "samples_fit_the_task", "train[0] is tuple instead of a Sample", ANY),
    "number as id": (changed(lambda s: Sample(s.inputs, s.mask, cast(str, 3))), "samples_fit_the_task", "train[0] has the id 3", ANY),
    "other inputs": (with_image(rgb=IMAGE), "samples_fit_the_task", "has the inputs ('rgb',), but the task declares ('image',)", ANY),
    "mask in uint8": (
        with_mask(torch.zeros(8, 10, dtype=torch.uint8)),
        "samples_fit_the_task",
        "is torch.uint8 (8, 10): int64 (H, W)",
        ANY,
    ),
    "mask with channel": (with_mask(torch.zeros(1, 8, 10).long()), "samples_fit_the_task", "is torch.int64 (1, 8, 10): int64 (H, W)", ANY),
    "image in float64": (with_image(image=IMAGE.double()), "samples_fit_the_task", "is torch.float64: keep it as it is stored", ANY),
    "image turned": (with_image(image=IMAGE.mT), "samples_fit_the_task", "has shape (3, 10, 8): (3, 8, 10) fits task and mask", ANY),
    "label out of range": (with_mask(torch.full((8, 10), 37)), "samples_fit_the_task", "has the label(s) [37]: only 0 to 1 and 255", ANY),
    "endless": (of(Endless), "splits_end", "'train' has 3 samples, but index 3 gives one: raise IndexError past the end", set()),
    "another error at the end": (of(KeyErrorAtEnd), "splits_end", "train[3] raised KeyError instead of IndexError", set()),
    "shared sample": (spec(load=overlapping), "splits_share_no_sample", "'train' and 'val' share 1 sample(s), such as 'shared'", set()),
    "same image under two names": (
        spec(splits=("train", "val"), unions={}, load=twins),
        "splits_share_no_sample",
        "'train-twin' of 'train' is the same image as 'val-twin' of 'val'",
        set(),
    ),
    "short union": (spec(load=short_union), "splits_share_no_sample", "'trainval' has 3 samples, but train + val have 6", set()),
    "an id twice": (changed(lambda s: replace(s, id="same")), "order_and_ids_are_stable", "the id 'same' stands twice in 'train'", ANY),
    "another order": (spec(splits=("train",), unions={}, load=reordered), "order_and_ids_are_stable", "and, loaded again, 'train-", set()),
    "other content": (
        spec(splits=("train",), unions={}, load=regenerated),
        "order_and_ids_are_stable",
        "has other content when loaded again",
        set(),
    ),
    "not picklable": (of(Unpicklable), "workers_can_read", "pickling 'train' raised TypeError: cannot pickle an open file", set()),
    "forgets when pickled": (of(ForgetsWhenPickled), "workers_can_read", "train[0] differs after pickling", set()),
    "other samples in workers": (of(OtherInWorker), "workers_can_read", "a loader's worker reads other samples of 'train'", set()),
    "groups too few": (spec(groups=lambda r, s, o: ["one"]), "groups_fit", "groups gives 1 entry for the 3 samples of 'train'", set()),
    "problems as texts": (
        spec(check_data=lambda r, o: ["bad"]),
        "check_data_finds_no_error",
        "check_data yields str instead of Problem",
        set(),
    ),
    "problems": (spec(check_data=lambda r, o: [Problem("half empty")]), "check_data_finds_no_error", "check_data: half empty", set()),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_rule_is_named(name: str) -> None:
    given, rule, message, besides = BROKEN[name]
    failed = failures(given)
    assert message in failed[rule]
    if besides != ANY:  # where samples are no samples, most checks fail
        assert set(failed) - {rule} == besides


def test_every_dataset_rule_is_broken_by_some_dataset() -> None:
    assert {rule for _, rule, _, _ in BROKEN.values()} == {check.name for check in checks_for("datasets")}


def test_unions_of_unions_are_followed() -> None:
    def nested(root: Path | None, split: str, options: Options) -> Sequence[Sample]:
        parts = {"trainval": ("train", "val"), "all": ("train", "val", "test")}.get(split, (split,))
        return Drawn(tuple(seed for part in parts for seed in seeds_of(part)))

    unions = {"trainval": ("train", "val"), "all": ("trainval", "test")}
    subject = DatasetSubject(spec(splits=("train", "val", "test", "trainval", "all"), unions=unions, load=nested), NoOptions())
    assert [r.message for r in run_all(checks_for("datasets"), subject) if not r.passed] == []
