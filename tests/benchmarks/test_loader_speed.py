"""An epoch of training batches from the decoded cache against one that decodes PNG files: ``pytest tests/benchmarks --benchmark-only``.

Measured as CPU time per image on one core of a Xeon, 480x360 PNG files as in CamVid:

    policy    training size   PNG      cache
    standard  176x240         8.0 ms   0.6 ms
    standard  360x480         8.4 ms   2.1 ms
    enhanced  176x240         8.8 ms   2.7 ms
    enhanced  360x480        12.3 ms   6.2 ms
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from segbench.config.settings import DataSettings, TrainSettings
from segbench.data.cache.resized import training_samples
from segbench.data.loaders import TrainLoader, train_loader
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import Normalisation, Sample, Task

NORM = {"image": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=1 / 255)}
TASK = Task(class_names=tuple(f"c{i}" for i in range(11)), ignore_index=11, normalisation=NORM)
PLAN = InputPlan((("image",),), (3,), NORM)
COUNT = 24
SIZES = {"176x240": (176, 240), "360x480": (360, 480)}


class PngFolder(Sequence[Sample]):
    """Image and label files, decoded on each access."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        image = np.array(Image.open(self.root / f"{index}.png"))
        label = np.array(Image.open(self.root / f"{index}_label.png"))
        return Sample({"image": torch.from_numpy(image).permute(2, 0, 1)}, torch.from_numpy(label).long(), str(index))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> PngFolder:
    """Pictures that compress about as photographs do: smooth areas under some noise."""
    root = tmp_path_factory.mktemp("png")
    random = np.random.default_rng(0)
    for i in range(COUNT):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((480, 360), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse).astype(np.int16) + random.integers(-6, 7, (360, 480, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / f"{i}.png")
        label = Image.fromarray(random.integers(0, 12, (12, 16), dtype=np.uint8)).resize((480, 360), Image.Resampling.NEAREST)
        label.save(root / f"{i}_label.png")
    return PngFolder(root)


def _loader(samples: Sequence[Sample], train: TrainSettings) -> TrainLoader:
    return train_loader(samples, task=TASK, plan=PLAN, settings=train, seed=0)


def _epoch(loader: TrainLoader, epoch: int, size: tuple[int, int]) -> int:
    loader.set_epoch(epoch, size)
    return sum(len(batch.ids) for batch in loader)


@pytest.mark.parametrize("policy", ["standard", "enhanced"])
@pytest.mark.parametrize("size", SIZES)
def test_a_cached_epoch_is_faster_than_decoding(
    benchmark: BenchmarkFixture, folder: PngFolder, tmp_path: Path, policy: Literal["standard", "enhanced"], size: str
) -> None:
    train = TrainSettings(image_size=size, augmentation=policy, workers=0)
    data = DataSettings(cache_dir=str(tmp_path))
    cached, decoding = _loader(training_samples(folder, key="k", task=TASK, data=data, train=train), train), _loader(folder, train)
    ratios = []
    for epoch in range(10):
        started = time.process_time()
        _epoch(cached, epoch, SIZES[size])
        between = time.process_time()
        _epoch(decoding, epoch, SIZES[size])
        ratios.append((time.process_time() - between) / (between - started))
    benchmark.extra_info["times_faster"] = sorted(round(ratio, 2) for ratio in ratios)
    benchmark(_epoch, cached, 0, SIZES[size])
    assert sorted(ratios)[1] > 1.2  # all pairs of epochs but one: a gain of 2 to 13 times is not left to chance
