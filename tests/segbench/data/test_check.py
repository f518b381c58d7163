from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from segbench import DataError, DatasetSpec, NoOptions, Problem, Sample, Task
from segbench.data.check import DataReport, check_dataset
from segbench.data.check_labels import count_values
from segbench.data.problem_text import problem_sentences

Array = npt.NDArray[Any]
TASK = Task(class_names=("ground", "water", "roof"))


@dataclass
class Memory:
    """A dataset in memory: what a split holds is a list of samples or of errors to raise."""

    splits: dict[str, list[Any]]
    unions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: list[Problem] = field(default_factory=list)

    def check(self, task: Task = TASK) -> DataReport:
        spec = DatasetSpec(
            name="memory",
            summary="",
            task=lambda options: task,
            splits=tuple(self.splits),
            load=lambda root, split, options: _Raising(self.splits[split]),
            unions=self.unions,
            check_data=lambda root, options: self.own,
        )
        return check_dataset(spec, NoOptions(), task, None)

    def messages(self, severity: str | None = None, task: Task = TASK) -> list[str]:
        """Messages, without those on splits of one or two samples, which most of these are."""
        return [p.message for p in self.check(task).problems if severity in (None, p.severity) and not _on_few_samples(p)]


def _messages(report: DataReport) -> list[str]:
    """Messages, without those on splits of one or two samples."""
    return [problem.message for problem in report.problems if not _on_few_samples(problem)]


def _on_few_samples(problem: Problem) -> bool:
    return "say little" in problem.message or "training needs at least 2" in problem.message


class _Raising(Sequence[Any]):
    def __init__(self, items: list[Any]) -> None:
        if items and isinstance(items[0], str):
            raise DataError(items[0])
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def _sample(name: str, label: Sequence[int] = (0, 1, 2, 255), *, image: Tensor | None = None) -> Sample:
    mask = torch.tensor([label, label], dtype=torch.int64)
    if image is None:
        seed = torch.Generator().manual_seed(sum(map(ord, name)))
        image = torch.randint(0, 255, (3, *mask.shape), dtype=torch.uint8, generator=seed)
    return Sample({"image": image}, mask, name)


def test_healthy_data_has_no_problem_and_right_figures() -> None:
    report = Memory({"train": [_sample("a"), _sample("b", (0, 0, 1, 2))], "val": [_sample("c")]}).check()
    train, val = report.splits

    assert report.ok
    assert _messages(report) == []
    assert train.class_pixels == (6, 4, 4)
    assert train.class_samples == (2, 2, 2)
    assert train.class_shares == pytest.approx((6 / 14, 4 / 14, 4 / 14))
    assert train.ignored_share == 2 / 16
    assert train.sizes == {"2x4": 2}
    assert val.samples == 1


def test_a_label_of_37_is_named_with_its_count_and_its_image() -> None:
    report = Memory({"train": [_sample("a"), _sample("b", (0, 1, 2, 37))]}).check()

    assert not report.ok
    assert report.splits[0].outside_pixels == {37: 2}
    (message,) = _messages(report)
    assert message.startswith("label value 37 (2 pixels) in b, but ids 0 to 2 are classes and 255 is ignored.")


@pytest.mark.parametrize(
    ("labels", "ignore", "advice"),
    [
        ((0, 1, 2, 255), -1, "declare it (ignore=255); if it is a class"),
        ((0, 1, 2, -1), 255, "declare it (ignore=-1); if it is a class"),
        ((1, 2, 3, 3), 255, 'Labels seem to start at 1: value_map="1:0,2:1,3:2"'),
        ((0, 100, 200, 200), 255, 'value_map="0:0,100:1,200:2"'),
        (tuple(range(0, 100, 7)), 255, "saved as a photograph or smoothed"),
        ((0, 127, 255, 255), 255, 'With 255 there are as many values as classes: value_map="0:0,127:1,255:2" if it is a class too.'),
        ((0, 1, 37, 38), 255, "map the values to classes (value_map) or to the ignore index"),
    ],
    ids=["undeclared 255", "undeclared -1", "from one", "spread", "photograph", "spread to 255", "unknown"],
)
def test_the_likely_reason_of_values_outside_is_told(labels: tuple[int, ...], ignore: int, advice: str) -> None:
    task = replace(TASK, ignore_index=ignore)
    messages = Memory({"train": [_sample("a", labels)]}).messages("error", task)

    assert advice in messages[0]


@pytest.mark.parametrize("values", [[0, 0, 5], [-1, 3, 3], [-(10**9), 10**9, 0], []])
def test_values_are_counted_however_far_apart(values: list[int]) -> None:
    assert count_values(torch.tensor(values, dtype=torch.int64)) == {v: values.count(v) for v in values}


def test_an_unreadable_sample_is_a_problem_and_the_others_are_read() -> None:
    report = Memory({"train": [_sample("a"), DataError("cannot read b.png: truncated"), _sample("c")]}).check()

    assert _messages(report) == ["cannot read b.png: truncated"]
    assert report.splits[0].unreadable == 1
    assert report.splits[0].sizes == {"2x4": 2}


def test_any_exception_of_a_sample_is_caught_and_many_are_counted() -> None:
    report = Memory({"train": [_sample("a"), *(ValueError(f"fault {i}") for i in range(7))]}).check()

    assert report.splits[0].unreadable == 7
    assert _messages(report) == ["fault 0 (6 more like it)"], "they differ in a number only"


def test_reasons_that_are_not_alike_are_named_up_to_five() -> None:
    reasons = [ValueError(f"fault {'x' * i}") for i in range(7)]

    assert Memory({"train": [_sample("a"), *reasons]}).messages()[-2:] == ["fault xxxx", "and 2 more samples that cannot be read"]


def test_a_training_split_of_one_sample_is_refused_and_a_test_split_is_not() -> None:
    report = Memory({"train": [_sample("a")], "test": [_sample("b", image=torch.arange(24).flip(0).view(3, 2, 4).to(torch.uint8))]}).check()

    assert [(p.where, p.message) for p in report.problems if p.severity == "error"] == [("train", "1 sample: training needs at least 2")]


def test_a_split_that_does_not_open_leaves_the_others_checked() -> None:
    report = Memory({"train": [_sample("a")], "val": ["there is no val.txt"]}).check()

    assert [(p.where, p.message) for p in report.problems if p.where == "val"] == [("val", "there is no val.txt")]
    assert [s.split for s in report.splits] == ["train"]


def test_what_the_datasets_own_check_said_is_not_repeated() -> None:
    data = Memory({"train": [_sample("a")], "test": ["no test here"]}, own=[Problem("no test here, as so often", "warning", "test")])

    assert data.messages("error") == []
    assert data.messages() == ["no test here, as so often"]


def test_a_crash_of_the_datasets_own_check_is_a_problem() -> None:
    def crash(root: Path | None, options: NoOptions) -> list[Problem]:
        raise KeyError("boom")

    spec = DatasetSpec(name="x", summary="", task=lambda o: TASK, splits=("train",), load=lambda *a: [_sample("a")], check_data=crash)

    assert _messages(check_dataset(spec, NoOptions(), TASK, None)) == ["'boom'"]


def test_sizes_of_image_and_label_must_agree() -> None:
    odd = _sample("b", image=torch.arange(60).view(3, 5, 4).to(torch.uint8))

    assert Memory({"train": [_sample("a"), odd]}).messages() == ["b has 'image' of 5x4 pixels, but a label of 2x4"]


def test_channels_types_and_names_of_inputs_must_be_the_declared_ones() -> None:
    messages = Memory(
        {
            "train": [
                _sample("a"),
                _sample("b", image=torch.zeros(4, 2, 4, dtype=torch.uint8)),
                _sample("c", image=torch.zeros(3, 2, 4, dtype=torch.float64)),
                Sample({"picture": torch.zeros(3, 2, 4)}, torch.zeros(2, 4, dtype=torch.int64), "d"),
                Sample({"image": torch.ones(3, 2, 4)}, torch.zeros(2, 4, dtype=torch.int32), "e"),
            ]
        }
    ).messages("error")

    assert messages == [
        "b has 'image' with the shape (4, 2, 4) instead of (3, height, width)",
        "c has 'image' as torch.float64; uint8, int16, uint16 or float32 can be stored",
        "d has the inputs picture, but the task declares image",
        "e has a label of torch.int32 (2, 4) instead of int64 (height, width)",
    ]


def test_classes_without_a_pixel_and_classes_that_cannot_be_learnt_are_warned_of() -> None:
    messages = Memory({"train": [_sample("a", (0, 1, 1))], "val": [_sample("b", (0, 2, 2))]}).messages("warning")

    assert messages == [
        "no label pixel of roof: it has no IoU here",
        "no label pixel of water: it has no IoU here",
        "roof in 'val' cannot be learnt: 'train' has no pixel of it",
    ]


def test_missing_values_are_counted_for_each_input() -> None:
    image = torch.rand(3, 2, 4)
    image[0, 0, 0], image[1, 1, 1] = torch.nan, torch.inf
    report = Memory({"train": [_sample("a", image=image)]}).check()

    assert report.splits[0].missing_share == {"image": 2 / 24}
    assert _messages(report) == ["8.33% of the values of 'image' are missing (nodata, transparent, NaN or infinite)"]


def test_samples_without_labels_and_mostly_ignored_splits_are_warned_of() -> None:
    messages = Memory({"train": [_sample("a"), _sample("b", (255,) * 4), _sample("c", (255,) * 4)]}).messages("warning")

    assert messages[0].startswith("75% of the pixels are ignored (label value 255")
    assert messages[1] == "b, c without a single labelled pixel"


def test_splits_that_share_an_image_are_found_by_its_content() -> None:
    twin = replace(_sample("a"), id="renamed")

    assert Memory({"train": [_sample("a")], "test": [_sample("b"), twin]}).messages() == [
        "splits 'train' and 'test' share 1 image: a = renamed. Scores would be too good: remove them from one of the two."
    ]


def test_mirrored_images_of_another_split_are_noted_without_an_option_that_the_dataset_lacks() -> None:
    image = torch.randint(0, 255, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(3).repeat(32 * 11)[: 32 * 32].reshape(32, 32)
    first, second = (Sample({"image": one}, mask, name) for name, one in (("a", image), ("b", image.flip(2))))
    found = [text for text in Memory({"train": [first], "val": [second]}).messages() if "look like" in text]

    assert found == ["1 image of 'val' look like images of 'train', copied, mirrored or turned: b ~ a. Scores would be too good."]


def test_declared_unions_may_share_but_must_be_complete() -> None:
    train, val = [_sample("a")], [_sample("b")]
    unions = {"trainval": ("train", "val")}

    assert Memory({"train": train, "val": val, "trainval": train + val}, unions).messages() == []
    assert Memory({"train": train, "val": val, "trainval": train}, unions).messages() == ["'trainval' has 1 sample, but train + val have 2"]


def test_an_image_twice_in_a_split_is_warned_of() -> None:
    twin = replace(_sample("a"), id="copy")

    assert Memory({"train": [_sample("a"), twin]}).messages("warning") == ["copy = a holds the same image as another of this split"]


def test_empty_splits_and_missing_packages_are_problems() -> None:
    spec = DatasetSpec(
        name="x", summary="", task=lambda o: TASK, splits=("train",), load=lambda *a: [], check=lambda task, options: ["needs rasterio"]
    )

    assert _messages(check_dataset(spec, NoOptions(), TASK, None)) == ["needs rasterio", "split 'train' is empty"]


def test_progress_is_told_for_each_sample() -> None:
    told: list[tuple[str, int, int]] = []
    spec = DatasetSpec(
        name="x",
        summary="",
        task=lambda o: TASK,
        splits=("train",),
        load=lambda *a: _Raising([_sample("a"), DataError("no"), _sample("b")]),
    )
    check_dataset(spec, NoOptions(), TASK, None, progress=lambda *step: told.append(step))

    assert told == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3)]


def test_instance_ids_of_two_classes_are_explained() -> None:
    task = Task(class_names=("ground", "cell"))
    samples = [_sample(str(start), (0, start, start + 1, start + 2)) for start in (1001, 1004)]
    (message,) = Memory({"train": samples}).messages("error", task)[:1]
    assert "instance ids" in message
    assert 'value_map="0:0,*:1"' in message


def test_a_split_that_a_run_uses_has_to_be_there() -> None:
    spec = DatasetSpec(
        name="x",
        summary="",
        task=lambda options: TASK,
        splits=("train", "val"),
        load=lambda root, split, options: _Raising([_sample("a"), _sample("b")] if split == "train" else ["val.txt is not there"]),
        check_data=lambda root, options: [Problem("val is not here", "warning", "val")],
    )
    assert check_dataset(spec, NoOptions(), TASK, None).ok
    used = check_dataset(spec, NoOptions(), TASK, None, splits=["train", "val"])
    assert [problem.message for problem in used.problems if problem.severity == "error"] == ["val is not here"]
    assert check_dataset(spec, NoOptions(), TASK, None, splits=["train"]).ok


def test_advice_names_folder_where_a_dataset_has_no_option_for_it() -> None:
    (message,) = Memory({"train": [_sample("a", (1, 2, 3, 3))]}).messages("error")
    assert message.endswith("This dataset has no option value_map: read its files with the dataset 'folder', or write its labels anew.")


def test_two_kinds_of_masks_are_a_warning_where_a_dataset_reads_its_own_labels() -> None:
    task = Task(class_names=("ground", "water"))
    samples = [_sample("a", (0, 1, 1, 0)), _sample("b", (0, 255, 255, 0))]
    assert Memory({"train": samples}).messages("error", task) == []
    assert any(message.startswith("two kinds of masks") for message in Memory({"train": samples}).messages("warning", task))


def test_folds_are_warned_of_images_alike_in_different_scenes() -> None:
    noise = torch.randint(0, 256, (3, 32, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(3).repeat(32, 14)[:, :40]
    samples = {
        "train": [Sample({"image": noise}, mask, "a"), Sample({"image": noise.flip(2)}, mask, "b")],
        "val": [Sample({"image": (noise * 0.5).to(torch.uint8)}, mask, "c")],
    }

    def messages(**fields: Any) -> list[str]:
        spec = DatasetSpec(
            name="x",
            summary="",
            task=lambda options: TASK,
            splits=("train", "val"),
            load=lambda root, split, options: _Named(samples[split]),
            **fields,
        )
        return [m for m in _messages(check_dataset(spec, NoOptions(), TASK, None, folds=True)) if "other scenes" in m]

    assert messages()[0].startswith("2 images look like images of other scenes, copied, mirrored or turned: b ~ a, c ~ a.")
    scenes = {"train": ["one", "one"], "val": ["two"]}
    assert messages(groups=lambda root, split, options: scenes[split])[0].startswith("1 image look")


class _Named(list[Sample]):
    """Samples that tell their ids, as those of the built-in datasets do."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample.id for sample in self)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], DataReport]:
    """Check the ``folder`` dataset below ``tmp_path``, as a user would."""
    import segbench_plugins.datasets
    from segbench.plugin.chosen import Plugin
    from segbench.plugin.registry import Catalog
    from segbench.plugin.specs import resolve

    catalog = Catalog()
    catalog.add(segbench_plugins.datasets, Plugin(name="datasets"))

    def check(dataset: str) -> DataReport:
        chosen = catalog.dataset(dataset)
        return check_dataset(chosen.spec, chosen.options, resolve(chosen.spec.task)(chosen.options), tmp_path)

    return check


def _write(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_a_users_folder_with_every_fault_at_once(tmp_path: Path, folder: Callable[[str], DataReport]) -> None:
    for index in range(6):
        _write(tmp_path / "images" / f"{index}.png", np.full((8, 8, 3), index * 20))
        _write(tmp_path / "masks" / f"{index}.png", np.array([[0, 255] * 4] * 8))
    (tmp_path / "images" / "2.png").write_bytes(b"not a picture")
    _write(tmp_path / "masks" / "3.png", np.array([[0, 255]]))
    report = folder("folder[split=(0.5,0.5),ignore=254]")
    said = "\n".join(p.message for p in report.problems)

    assert not report.ok
    assert "cannot read" in said
    assert "2.png" in said
    assert "3 has 'image' of 8x8 pixels, but a label of 1x2" in said
    assert 'value_map="0:0,255:1"' in said


def test_a_folder_without_masks_is_explained_once(tmp_path: Path, folder: Callable[[str], DataReport]) -> None:
    _write(tmp_path / "images" / "a.png", np.zeros((8, 8, 3)))
    (tmp_path / "masks").mkdir()
    report = folder("folder")

    (sentence,) = problem_sentences(report.problems)
    assert sentence.startswith("train, val, test: ")
    assert "masks holds no pictures" in sentence
    assert report.splits == ()
