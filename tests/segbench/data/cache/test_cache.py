from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.config.settings import DataSettings, TrainSettings
from segbench.data.batches import TrainBatch
from segbench.data.cache import entry as entries
from segbench.data.cache.cache import cache_folder, cache_key, cached
from segbench.data.cache.entry import CachedSamples, open_entry
from segbench.data.cache.resized import LayeredSamples, samples_at, training_samples
from segbench.data.loaders import train_loader
from segbench.data.transforms import Policy
from segbench.errors import DataError
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation, Sample, Task

NORM = {"image": Normalisation((0.5,) * 3, (0.25,) * 3, scale=1 / 255)}
TASK = Task(class_names=("a", "b", "c"), normalisation=NORM)
PLAN = InputPlan((("image",),), (3,), NORM)


class Split(Sequence[Sample]):
    """Samples that count how often they are decoded."""

    def __init__(self, count: int = 6, size: tuple[int, int] = (18, 24), dtype: torch.dtype = torch.uint8) -> None:
        self.length, self.size, self.dtype = count, size, dtype
        self.decoded = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if index >= self.length:
            raise IndexError(index)
        self.decoded += 1
        generator = torch.Generator().manual_seed(index)
        height, width = self.size[0] + index % 2, self.size[1]
        image = torch.randint(0, 256, (3, height, width), generator=generator).to(self.dtype)
        mask = torch.randint(0, 4, (height, width), generator=generator)
        return Sample({"image": image}, torch.where(mask == 3, 255, mask), f"s{index}")


def _data(folder: Path, gigabytes: float = 1.0) -> DataSettings:
    return DataSettings(cache_dir=str(folder), cache_gb=gigabytes)


def _entries(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "decoded").iterdir() if p.is_dir())


def _equal(left: Sample, right: Sample) -> bool:
    return (
        left.id == right.id
        and torch.equal(left.mask, right.mask)
        and left.mask.dtype == right.mask.dtype
        and left.inputs.keys() == right.inputs.keys()
        and all(x.dtype == right.inputs[k].dtype and torch.equal(x, right.inputs[k]) for k, x in left.inputs.items())
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.float32])
def test_cached_samples_are_the_samples(tmp_path: Path, dtype: torch.dtype) -> None:
    split = Split(dtype=dtype)
    found = cached(split, key="k", settings=_data(tmp_path))
    assert isinstance(found, CachedSamples)
    assert len(found) == 6
    assert all(_equal(a, b) for a, b in zip(found, split, strict=True))


def test_odd_labels_and_missing_values_survive(tmp_path: Path) -> None:
    image = torch.tensor([[[float("nan"), -1.5], [float("inf"), 0.0]]])
    for value in (-1, 300, 70_000, 255):
        sample = Sample({"sar": image}, torch.tensor([[0, value], [1, 0]]), "x")
        (found,) = cached([sample], key=f"k{value}", settings=_data(tmp_path))
        assert torch.equal(found.mask, sample.mask)
        assert found.mask.dtype == torch.int64
        assert torch.equal(found.inputs["sar"].nan_to_num(7.0), image.nan_to_num(7.0))


def test_a_split_is_decoded_once(tmp_path: Path) -> None:
    split = Split()
    for _ in range(3):
        list(cached(split, key="k", settings=_data(tmp_path)))
    assert split.decoded == 6


def test_another_key_or_length_is_another_entry(tmp_path: Path) -> None:
    cached(Split(), key="k", settings=_data(tmp_path))
    for other, key in ((Split(), "k2"), (Split(5), "k")):
        assert len(cached(other, key=key, settings=_data(tmp_path))) == len(other)
        assert other.decoded == len(other)
    assert cache_key("camvid", "train", "d", version="1") != cache_key("camvid", "val", "d", version="1")


def test_nobody_can_write_into_the_cache(tmp_path: Path) -> None:
    found = cached(Split(), key="k", settings=_data(tmp_path))
    before = found[0]
    found[0].inputs["image"].zero_()
    found[0].mask.fill_(2)
    assert _equal(found[0], before)
    assert _equal(cached(Split(), key="k", settings=_data(tmp_path))[0], before)


def test_cached_samples_can_be_sent_to_a_spawned_worker(tmp_path: Path) -> None:
    found = cached(Split(), key="k", settings=_data(tmp_path))
    payload = pickle.dumps(found)
    assert len(payload) < 5_000
    assert _equal(pickle.loads(payload)[3], found[3])


def _cut(entry: Path) -> None:
    (entry / "data.bin").write_bytes((entry / "data.bin").read_bytes()[:-1])


def _half_an_index(entry: Path) -> None:
    (entry / "index.json").write_text((entry / "index.json").read_text()[:50])


def _wrong_offsets(entry: Path) -> None:
    index = json.loads((entry / "index.json").read_text())
    index["samples"][0]["mask"][2] = 10**9
    (entry / "index.json").write_text(json.dumps(index))


def _older_format(entry: Path) -> None:
    index = json.loads((entry / "index.json").read_text())
    (entry / "index.json").write_text(json.dumps({**index, "format": 0}))


def _not_a_mapping(entry: Path) -> None:
    (entry / "index.json").write_text("[1, 2]")


def _no_data(entry: Path) -> None:
    (entry / "data.bin").unlink()


@pytest.mark.parametrize("damage", [_cut, _half_an_index, _wrong_offsets, _older_format, _not_a_mapping, _no_data])
def test_a_damaged_entry_is_built_anew(tmp_path: Path, damage: Any) -> None:
    cached(Split(), key="k", settings=_data(tmp_path))
    damage(_entries(tmp_path)[0])
    split = Split()
    found = cached(split, key="k", settings=_data(tmp_path))
    assert split.decoded == 6
    assert isinstance(found, CachedSamples)
    assert _equal(found[5], Split()[5])


def test_a_split_beyond_the_bound_is_not_cached_and_says_so(tmp_path: Path) -> None:
    notes: list[str] = []
    split = Split(100)
    assert cached(split, key="k", settings=_data(tmp_path, 1e-5), report=notes.append) is split
    assert len(notes) == 1
    assert "data.cache_gb is 1e-05" in notes[0]
    assert split.decoded < 20  # found out from the first samples
    assert _entries(tmp_path) == []


def test_no_cache_on_demand(tmp_path: Path) -> None:
    split = Split()
    assert cached(split, key="k", settings=_data(tmp_path, 0), report=pytest.fail) is split
    assert list(tmp_path.iterdir()) == []


def test_the_longest_unused_entries_make_room(tmp_path: Path) -> None:
    size = 6 * (18 * 24 + 12) * 4 + 4096  # of one entry with its index, roughly, from above
    bound = 3.2 * size / 1e9
    for age, key in ((5, "a"), (4, "b"), (3, "c")):
        found = cached(Split(), key=key, settings=_data(tmp_path, bound))
        assert isinstance(found, CachedSamples)
        os.utime(found.directory, (time.time() - age * 86_400,) * 2)
    cached(Split(), key="a", settings=_data(tmp_path, bound))  # used again
    for key in ("d", "e"):
        cached(Split(), key=key, settings=_data(tmp_path, bound))
    kept = {json.loads((entry / "index.json").read_text())["key"] for entry in _entries(tmp_path)}
    assert {"a", "d", "e"} <= kept
    assert "b" not in kept
    used = sum(file.stat().st_size for entry in _entries(tmp_path) for file in entry.iterdir())
    assert used <= bound * 1e9


def test_entries_in_use_are_not_removed(tmp_path: Path) -> None:
    notes: list[str] = []
    first = cached(Split(), key="a", settings=_data(tmp_path, 1.5e-5), report=notes.append)
    second = cached(Split(), key="b", settings=_data(tmp_path, 1.5e-5), report=notes.append)
    assert isinstance(first, CachedSamples)
    assert isinstance(second, Split)
    assert first.directory.exists()
    assert len(notes) == 1


def test_a_folder_that_cannot_be_written_leaves_the_run_going(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notes: list[str] = []
    split = Split()
    assert cached(split, key="k", settings=_data(tmp_path / "file"), report=notes.append) is split
    assert notes[0].startswith("decoded cache not used, samples are read anew each time: ")


def test_a_full_disk_leaves_the_run_going_and_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(entries, "_write", full)
    notes: list[str] = []
    split = Split()
    assert cached(split, key="k", settings=_data(tmp_path), report=notes.append) is split
    assert "No space left on device" in notes[0]
    assert _entries(tmp_path) == []


def test_a_broken_sample_is_reported_while_decoding(tmp_path: Path) -> None:
    class Broken(Split):
        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            if index == 4:
                raise ValueError("bad header")
            return super().__getitem__(index)

    with pytest.raises(DataError, match=r"sample 4 cannot be read \(ValueError: bad header\)"):
        cached(Broken(), key="k", settings=_data(tmp_path))
    assert _entries(tmp_path) == []


def test_an_interrupted_build_leaves_no_entry(tmp_path: Path) -> None:
    class Interrupted(Split):
        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            if index == 3:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    with pytest.raises(KeyboardInterrupt):
        cached(Interrupted(), key="k", settings=_data(tmp_path))
    assert _entries(tmp_path) == []


def test_builders_that_start_together_decode_once(tmp_path: Path) -> None:
    class Slow(Split):
        def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
            time.sleep(0.01)
            return super().__getitem__(index)

    splits = [Slow() for _ in range(3)]
    # file locks belong to the open file, so threads stand for processes here
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda split: cached(split, key="k", settings=_data(tmp_path)), splits))
    assert sorted(split.decoded for split in splits) == [0, 0, 6]
    assert all(isinstance(samples, CachedSamples) and _equal(samples[5], Split()[5]) for samples in found)
    assert len(_entries(tmp_path)) == 1


def test_builders_in_other_processes_wait_for_each_other(tmp_path: Path) -> None:
    """One that is killed frees its lock."""
    code = "import pathlib, sys, time; from segbench.data.cache.cache import _locked\n"
    code += "with _locked(pathlib.Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    cached(Split(), key="k", settings=_data(tmp_path))
    lock = _entries(tmp_path)[0].with_suffix(".lock")
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(cached, Split(), key="k", settings=_data(tmp_path))
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            other.kill()
            assert isinstance(waiting.result(10), CachedSamples)


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(DataSettings()) == tmp_path / "xdg" / "segbench" / "decoded"
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "own"))
    assert cache_folder(DataSettings()) == tmp_path / "own" / "decoded"
    assert cache_folder(_data(tmp_path / "set")) == tmp_path / "set" / "decoded"


def _batches(samples: Sequence[Sample], train: TrainSettings, sizes: Sequence[tuple[int, int]]) -> list[TrainBatch]:
    loader = train_loader(samples, task=TASK, plan=PLAN, settings=train, seed=3)
    found = []
    for epoch, size in enumerate(sizes):
        loader.set_epoch(epoch, size)
        found += list(loader)
    loader.close()
    return found


@pytest.mark.parametrize("policy", ["none", "standard", "enhanced", "crop"])
@pytest.mark.parametrize("workers", [0, 1])
def test_training_from_the_cache_is_bit_equal(tmp_path: Path, policy: Policy, workers: int) -> None:
    train = TrainSettings(batch_size=2, image_size="10x14@0,18x24@0.5", workers=workers, augmentation=policy)
    split = Split()
    samples = training_samples(split, key="k", task=TASK, data=_data(tmp_path), train=train)
    assert isinstance(samples, CachedSamples if policy in ("enhanced", "crop") else LayeredSamples)
    sizes = [(10, 14), (18, 24), (7, 7)]
    for a, b in zip(_batches(samples, train, sizes), _batches(Split(), train, sizes), strict=True):
        assert a.ids == b.ids
        assert torch.equal(a.inputs[0], b.inputs[0])
        assert torch.equal(a.mask, b.mask)
    assert split.decoded == 6


def test_the_resized_layer_is_what_training_reads(tmp_path: Path) -> None:
    train = TrainSettings(batch_size=2, image_size="10x14", augmentation="standard")
    samples = training_samples(Split(), key="k", task=TASK, data=_data(tmp_path), train=train)
    assert isinstance(samples, LayeredSamples)
    assert tuple(samples.at((10, 14))[1].mask.shape) == (10, 14)
    assert tuple(samples.at((20, 20))[1].mask.shape) == (19, 24)
    assert tuple(samples[1].mask.shape) == (19, 24)
    assert samples_at(samples, (10, 14), "standard") is samples.at((10, 14))
    assert tuple(samples_at(samples, (10, 14), "enhanced")[1].mask.shape) == (19, 24)
    assert len(_entries(tmp_path)) == 2


def test_other_than_8_bit_is_kept_at_native_size_only(tmp_path: Path) -> None:
    train = TrainSettings(batch_size=2, image_size="10x14")
    samples = training_samples(Split(dtype=torch.int16), key="k", task=TASK, data=_data(tmp_path), train=train)
    assert isinstance(samples, CachedSamples)
    assert len(_entries(tmp_path)) == 1


def test_sizes_that_differ_are_found_before_they_are_warped_away(tmp_path: Path) -> None:
    sample = Sample({"image": torch.zeros(3, 8, 8, dtype=torch.uint8)}, torch.zeros(8, 6).long(), "odd")
    with pytest.raises(DataError, match="sample 'odd': input 'image' is 3x8x8 where 3x8x6 was expected"):
        training_samples([sample], key="k", task=TASK, data=_data(tmp_path), train=TrainSettings(image_size=4))


def test_an_entry_of_another_key_is_not_taken(tmp_path: Path) -> None:
    found = cached(Split(), key="k", settings=_data(tmp_path))
    assert isinstance(found, CachedSamples)
    assert open_entry(found.directory, key="k", count=6) is not None
    assert open_entry(found.directory, key="other", count=6) is None
    assert open_entry(found.directory, key="k", count=7) is None
