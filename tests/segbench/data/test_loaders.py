from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from segbench.config.settings import DataSettings, TrainSettings
from segbench.data.batches import EvalBatch, TrainBatch
from segbench.data.cache.cache import cached
from segbench.data.loaders import TrainItems, eval_loader, resolve_workers, train_loader
from segbench.errors import ConfigError, DataError
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation, Sample, Task

NORM = {"image": Normalisation((0.5, 0.4, 0.3), (0.25, 0.2, 0.5), scale=1 / 255)}
TASK = Task(class_names=("a", "b", "c"), normalisation=NORM)
PLAN = InputPlan((("image",),), (3,), NORM)


def _samples(count: int, size: tuple[int, int] = (18, 24)) -> list[Sample]:
    generator = torch.Generator().manual_seed(0)
    return [
        Sample(
            {"image": torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)},
            torch.randint(0, 3, size, generator=generator),
            f"s{i}",
        )
        for i in range(count)
    ]


class Failing(Sequence[Sample]):
    """A split of which one file is broken."""

    def __init__(self, samples: list[Sample], broken: int) -> None:
        self.samples = samples
        self.broken = broken

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if index == self.broken:
            raise OSError("image file is truncated")
        return self.samples[index]


def _settings(**values: Any) -> TrainSettings:
    return TrainSettings(**{"batch_size": 4, "image_size": "12x16", "workers": 0, **values})


def _epoch(samples: Sequence[Sample], epoch: int = 0, size: tuple[int, int] = (12, 16), **values: Any) -> list[TrainBatch]:
    loader = train_loader(samples, task=TASK, plan=PLAN, settings=_settings(**values), seed=7)
    loader.set_epoch(epoch, size)
    try:
        return list(loader)
    finally:
        loader.close()


def _same(left: Sequence[TrainBatch], right: Sequence[TrainBatch]) -> bool:
    return len(left) == len(right) and all(
        a.ids == b.ids
        and torch.equal(a.mask, b.mask)
        and all(torch.equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))
        and all(torch.equal(a.extras[name], b.extras[name]) for name in a.extras)
        for a, b in zip(left, right, strict=True)
    )


def edges(mask: Tensor) -> dict[str, Tensor]:
    assert mask.dtype == torch.int64
    return {"edges": (mask[:, 1:] != mask[:, :-1]).float()}


@pytest.mark.parametrize("policy", ["standard", "enhanced"])
def test_batches_do_not_depend_on_the_number_of_workers(policy: str) -> None:
    samples = _samples(11)
    alone = _epoch(samples, augmentation=policy)
    assert _same(alone, _epoch(samples, augmentation=policy, workers=1))
    assert _same(alone, _epoch(samples, augmentation=policy, workers=2))


def test_an_epoch_can_be_repeated_without_those_before_it() -> None:
    samples = _samples(9)
    loader = train_loader(samples, task=TASK, plan=PLAN, settings=_settings(workers=2, augmentation="enhanced"), seed=7)
    epochs = []
    for epoch in range(3):
        loader.set_epoch(epoch, (12, 16))
        epochs.append(list(loader))
    loader.close()
    assert _same(epochs[2], _epoch(samples, epoch=2, augmentation="enhanced"))
    assert not _same(epochs[1], epochs[2])


def test_a_sample_is_drawn_the_same_on_every_process_and_in_every_batch() -> None:
    items = TrainItems(_samples(4), TASK, PLAN, "enhanced", 5, None)
    one, other = items[3, 12, 16, 2, 0], items[3, 12, 16, 2, 0]
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert torch.equal(one["mask"], other["mask"])
    later = items[4, 12, 16, 2, 0]
    assert isinstance(later, dict)
    assert not torch.equal(one["inputs"]["image"], later["inputs"]["image"])


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(workers: int) -> None:
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    _epoch(_samples(6), augmentation="enhanced", workers=workers)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_growing_size_reaches_persistent_workers() -> None:
    loader = train_loader(_samples(8), task=TASK, plan=PLAN, settings=_settings(workers=2), seed=0)
    shapes = []
    for epoch, size in enumerate([(8, 8), (12, 10), (12, 10)]):
        loader.set_epoch(epoch, size)
        shapes.append({(tuple(b.inputs[0].shape[-2:]), tuple(b.mask.shape[-2:])) for b in loader})
    loader.close()
    assert shapes == [{((8, 8), (8, 8))}, {((12, 10), (12, 10))}, {((12, 10), (12, 10))}]


def test_an_epoch_left_early_does_not_leak_into_the_next() -> None:
    loader = train_loader(_samples(12), task=TASK, plan=PLAN, settings=_settings(workers=2), seed=7)
    loader.set_epoch(0, (12, 16))
    next(iter(loader))
    loader.set_epoch(1, (12, 16))
    second = list(loader)
    loader.close()
    assert _same(second, _epoch(_samples(12), epoch=1))


def test_processes_see_each_image_once() -> None:
    ids = []
    for rank in (0, 1):
        loader = train_loader(_samples(16), task=TASK, plan=PLAN, settings=_settings(), seed=0, rank=rank, world_size=2)
        assert len(loader) == 2
        ids += [name for batch in loader for name in batch.ids]
    assert sorted(ids) == sorted(f"s{i}" for i in range(16))


def test_a_batch_of_one_never_comes() -> None:
    assert [len(batch.ids) for batch in _epoch(_samples(9))] == [4, 4]
    assert [len(batch.ids) for batch in _epoch(_samples(10))] == [4, 4, 2]
    with pytest.raises(DataError, match="at least 2 samples"):
        train_loader(_samples(1), task=TASK, plan=PLAN, settings=_settings(), seed=0)
    with pytest.raises(ConfigError, match=r"batch_size 1"):
        train_loader(_samples(4), task=TASK, plan=PLAN, settings=_settings(batch_size=1), seed=0)


def test_inputs_are_normalised_in_float32() -> None:
    sample = Sample({"image": torch.tensor([51, 102, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 2)}, torch.zeros(2, 2).long(), "x")
    (batch,) = _epoch([sample, sample], size=(2, 2), augmentation="none")
    (image,) = batch.inputs
    assert image.dtype == torch.float32
    expected = [(51 / 255 - 0.5) / 0.25, (102 / 255 - 0.4) / 0.2, (255 / 255 - 0.3) / 0.5]
    torch.testing.assert_close(image[0, :, 0, 0], torch.tensor(expected), rtol=1e-6, atol=1e-6)
    exact = (sample.inputs["image"].float() * (1 / 255) - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.25, 0.2, 0.5]
    ).view(3, 1, 1)
    assert torch.equal(image[1], exact)


def _fused(dtype: torch.dtype) -> tuple[Task, InputPlan, list[Sample]]:
    norms = {"sar": Normalisation((-10.0, -20.0), (5.0, 4.0)), "optical": Normalisation((100.0,), (50.0,))}
    task = Task(class_names=("a", "b"), inputs={"sar": 2, "optical": 1}, normalisation=norms, rgb=())
    plan = InputPlan((("sar", "optical"),), (3,), norms, early_fusion=True)
    sar = torch.tensor([-5.0, -16.0]).view(2, 1, 1).repeat(1, 6, 6)
    optical = torch.full((1, 6, 6), 300).to(dtype)
    return task, plan, [Sample({"sar": sar, "optical": optical}, torch.ones(6, 6).long(), f"{i}") for i in range(2)]


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.float32, torch.float64, torch.int64])
def test_several_inputs_are_concatenated_by_channel(dtype: torch.dtype) -> None:
    task, plan, samples = _fused(dtype)
    (batch,) = train_loader(samples, task=task, plan=plan, settings=_settings(image_size=4), seed=0)
    (image,) = batch.inputs
    assert image.shape == (2, 3, 4, 4)
    torch.testing.assert_close(image[0, :, 1, 1], torch.tensor([1.0, 1.0, 4.0]))


def test_separate_groups_stay_separate() -> None:
    task, plan, samples = _fused(torch.int16)
    apart = InputPlan((("optical",), ("sar",)), (1, 2), plan.normalisation)
    (batch,) = train_loader(samples, task=task, plan=apart, settings=_settings(image_size=4), seed=0)
    assert [tuple(x.shape) for x in batch.inputs] == [(2, 1, 4, 4), (2, 2, 4, 4)]


def test_missing_values_become_the_mean_and_do_not_spread() -> None:
    task, plan, samples = _fused(torch.float32)
    for sample in samples:
        sample.inputs["sar"][0, 2, 3] = float("nan")
        sample.inputs["sar"][1, 0, 0] = float("-inf")
    for image_size in (6, 3, 9):
        (batch,) = train_loader(samples, task=task, plan=plan, settings=_settings(image_size=image_size, augmentation="none"), seed=0)
        assert torch.isfinite(batch.inputs[0]).all()
        if image_size == 6:
            assert batch.inputs[0][0, 0, 2, 3] == 0
            assert (batch.inputs[0][0, 0] == 1.0).sum() == 35


def test_padding_is_zero_after_normalisation_and_ignored_in_the_mask() -> None:
    bright = [Sample({"image": torch.full((3, 20, 20), 250, dtype=torch.uint8)}, torch.ones(20, 20).long(), f"{i}") for i in range(16)]
    batches = _epoch(bright, size=(20, 20), augmentation="enhanced", batch_size=16)
    padding = batches[0].mask == 255
    assert 0 < padding.float().mean() < 0.6
    for channel in range(3):
        assert (batches[0].inputs[0][:, channel][padding] == 0).all()
        assert (batches[0].inputs[0][:, channel][~padding] != 0).all()
    assert batches[0].mask.dtype == torch.int64


def test_prepare_fills_the_extras_from_the_moved_mask() -> None:
    loader = train_loader(_samples(8), task=TASK, plan=PLAN, settings=_settings(workers=1), seed=0, prepare=edges)
    for batch in loader:
        assert torch.equal(batch.extras["edges"], (batch.mask[..., 1:] != batch.mask[..., :-1]).float())
    loader.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_one_clear_message(workers: int) -> None:
    loader = train_loader(Failing(_samples(8), 5), task=TASK, plan=PLAN, settings=_settings(workers=workers), seed=0)
    with pytest.raises(DataError) as caught:
        list(loader)
    loader.close()
    assert str(caught.value) == "sample 5 cannot be read (OSError: image file is truncated). 'segbench data check' lists all such files."


def _with(mask: Tensor | None = None, **inputs: Tensor) -> Sample:
    base = _samples(1)[0]
    return Sample({**base.inputs, **inputs}, base.mask if mask is None else mask, "odd")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (_with(torch.full((18, 24), 37)), "sample 'odd' has the label 37, but the task has 3 classes (0 to 2) and ignores 255"),
        (_with(torch.full((18, 24), -1)), "has the label -1"),
        (_with(torch.zeros(9, 24).long()), "input 'image' is 3x18x24 where 3x9x24 was expected"),
        (_with(image=torch.zeros(4, 18, 24)), "input 'image' is 4x18x24 where 3x18x24 was expected"),
        (_with(torch.zeros(1, 18, 24).long()), "its mask has the shape (1, 18, 24)"),
        (Sample({"picture": torch.zeros(3, 4, 4)}, torch.zeros(4, 4).long(), "odd"), "has no input 'image' (it has picture)"),
    ],
)
def test_samples_that_do_not_fit_the_task_are_named(sample: Sample, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        _epoch([sample, sample])


def test_ignored_labels_are_no_mistake() -> None:
    (batch,) = _epoch([_with(torch.full((18, 24), 255))] * 2)
    assert (batch.mask == 255).all()


@pytest.mark.parametrize(("ignore_index", "highest"), [(-1, 299), (999, 299), (-1, 200)])
def test_more_classes_than_8_bits_hold(ignore_index: int, highest: int) -> None:
    task = Task(class_names=tuple(f"c{i}" for i in range(300)), normalisation=NORM, ignore_index=ignore_index)
    mask = torch.full((18, 24), highest)
    mask[0] = ignore_index
    (batch,) = train_loader([_with(mask)] * 2, task=task, plan=PLAN, settings=_settings(image_size="18x24", augmentation="none"), seed=0)
    assert torch.equal(batch.mask[0], mask)


def test_workers_can_be_spawned() -> None:
    items = TrainItems(_samples(4), TASK, PLAN, "enhanced", 5, edges)
    copy = pickle.loads(pickle.dumps(items))
    one, other = items[0, 9, 9, 1, 0], copy[0, 9, 9, 1, 0]
    assert isinstance(one, dict)
    assert torch.equal(one["inputs"]["image"], other["inputs"]["image"])


def test_moving_a_batch_keeps_what_it_holds() -> None:
    (batch,) = _epoch(_samples(4))
    moved = batch.to("meta")
    assert {x.device.type for x in (*moved.inputs, moved.mask)} == {"meta"}
    assert moved.ids == batch.ids
    assert batch.to("cpu").mask is batch.mask


def test_workers_follow_the_cores() -> None:
    def workers(setting: int | Literal["auto"] = "auto", **how: Any) -> int:
        return resolve_workers(setting, _samples(40), **{"device": "cpu", "cores": 2, **how})

    assert workers(5) == 5
    assert [workers(cores=cores) for cores in (1, 2, 4, 64)] == [0, 1, 2, 2]
    assert [workers(cores=cores, device="cuda") for cores in (1, 2, 4, 64)] == [1, 1, 3, 8]
    assert workers(cores=16, device="cuda", world_size=4) == 3
    assert resolve_workers("auto", _samples(8), device="cpu", cores=8) == 0
    assert resolve_workers(2, _samples(8), device="cpu", cores=8) == 2


def test_a_decoded_cache_needs_fewer_workers_on_a_cpu(tmp_path: Path) -> None:
    decoded = cached(_samples(40), key="k", settings=DataSettings(cache_dir=str(tmp_path)))
    assert [resolve_workers("auto", decoded, device="cpu", cores=cores) for cores in (1, 2, 4)] == [0, 0, 1]
    assert resolve_workers("auto", decoded, device="cuda", cores=16) == 8


MIXED = [(18, 24), (24, 18), (18, 24), (9, 12), (30, 30), (24, 18), (18, 24), (9, 12), (18, 24), (60, 20)]


def _mixed() -> list[Sample]:
    return [Sample(sample.inputs, sample.mask, f"s{i}") for i, size in enumerate(MIXED) for sample in _samples(1, size)]


def _evaluated(samples: Sequence[Sample], **how: Any) -> list[EvalBatch]:
    keywords = {"image_size": (12, 12), "resize": "keep-aspect", "batch_size": 2, "workers": 0, **how}
    return list(eval_loader(samples, task=TASK, plan=PLAN, **keywords))


def test_evaluation_shares_batches_among_equal_sizes_only() -> None:
    batches = _evaluated(_mixed())
    assert sorted(index for batch in batches for index in batch.indices) == list(range(10))
    for batch in batches:
        assert len(set(batch.content)) == 1
        assert tuple(batch.inputs[0].shape[-2:]) == batch.content[0]
        assert [tuple(mask.shape) for mask in batch.masks] == [MIXED[i] for i in batch.indices]
        assert batch.ids == tuple(f"s{i}" for i in batch.indices)
        assert list(batch.indices) == sorted(batch.indices)
        assert all(mask.dtype == torch.int64 for mask in batch.masks)
    assert {batch.content[0] for batch in batches} == {(9, 12), (12, 9), (12, 12), (12, 4)}


def test_labels_are_never_resized() -> None:
    samples = _mixed()
    for batch in _evaluated(samples):
        for index, mask in zip(batch.indices, batch.masks, strict=True):
            assert torch.equal(mask, samples[index].mask)


@pytest.mark.parametrize("how", [{"batch_size": 1}, {"batch_size": 64}, {"workers": 1, "batch_size": 3}])
def test_what_is_evaluated_does_not_depend_on_batches_or_workers(how: dict[str, int]) -> None:
    def by_index(batches: list[EvalBatch]) -> dict[int, Tensor]:
        return {index: x for batch in batches for index, x in zip(batch.indices, batch.inputs[0], strict=True)}

    expected, found = by_index(_evaluated(_mixed())), by_index(_evaluated(_mixed(), **how))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[index], expected[index]) for index in expected)


def test_processes_share_the_evaluated_images_without_duplicates() -> None:
    shares = [[i for b in _evaluated(_mixed(), rank=rank, world_size=3) for i in b.indices] for rank in range(3)]
    assert sorted(index for share in shares for index in share) == list(range(10))


def test_images_of_many_sizes_do_not_pile_up() -> None:
    samples = [Sample({"image": torch.zeros(3, 4, 4 + i, dtype=torch.uint8)}, torch.zeros(4, 4 + i).long(), f"{i}") for i in range(150)]
    seen: list[int] = []
    read: list[int] = []

    class Watched(Sequence[Sample]):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            read.append(index)
            return samples[index]

    for batch in eval_loader(Watched(), task=TASK, plan=PLAN, image_size=None, resize="none", batch_size=8, workers=0):
        seen += batch.indices
        assert len(read) - len(seen) <= 65
    assert sorted(seen) == list(range(150))


def test_evaluation_can_be_repeated() -> None:
    loader = eval_loader(_mixed(), task=TASK, plan=PLAN, image_size=(12, 12), resize="warp", batch_size=4, workers=0)
    first, second = ([b.indices for b in loader] for _ in range(2))
    assert first == second == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_in_evaluation_is_one_clear_message(workers: int) -> None:
    with pytest.raises(DataError, match=r"^sample 3 cannot be read \(OSError: image file is truncated\)"):
        list(eval_loader(Failing(_samples(16), 3), task=TASK, plan=PLAN, image_size=None, resize="none", batch_size=4, workers=workers))


def test_samples_from_numpy_are_left_as_they_are() -> None:
    array = np.full((3, 18, 24), 7, dtype=np.uint8)
    sample = Sample({"image": torch.from_numpy(array)}, torch.zeros(18, 24).long(), "n")
    _epoch([sample, sample], augmentation="enhanced")
    assert (array == 7).all()
