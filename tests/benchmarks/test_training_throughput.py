"""The harness's training against a bare, hand-written loop: ``pytest tests/benchmarks/test_training_throughput.py --benchmark-only -s``.

Same network (``deeplab-optimized``, 21 classes, 128 x 128), batch (8), precision, loss, optimiser, clipping and loader. The harness's
time is the one that ``run.json`` reports: an epoch with all its statistics, without validation and checkpoint. After each of its epochs the
bare loop runs one, so that both meet the same machine; an epoch is compared with the mean of the bare ones before and after it.

Measured as CPU time on one core of a busy Xeon, bf16, 4 batches per epoch, 12 pairs: 0.983 (0.965 to 1.001) of the bare loop's speed,
and 1.203 (1.194 to 1.213) times that of the same loop decoding PNG files.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional

from segbench.config.settings import Settings
from segbench.data.cache.resized import training_samples
from segbench.data.loaders import TrainLoader, train_loader
from segbench.networks.network import build_network
from segbench.plugin.inputs import InputPlan, plan_inputs
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import Normalisation, Sample, Task, resolve
from segbench.training.distributed import choose_precision
from segbench.training.fit import fit

PAIRS = 30
T_95 = 2.045  # two-sided, 29 degrees of freedom
IMAGES = 96
CLASSES = 21
TASK = Task(
    class_names=tuple(f"class-{k}" for k in range(CLASSES)), normalisation={"image": Normalisation((0.5,) * 3, (0.25,) * 3, 1 / 255)}
)


class PngFolder(Sequence[Sample]):
    """Images of CamVid's size as PNG files, decoded at each access."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < IMAGES:
            raise IndexError(index)
        image, mask = (np.array(Image.open(self.folder / f"{kind}{index}.png")) for kind in ("image", "mask"))
        return Sample({"image": torch.from_numpy(image).permute(2, 0, 1)}, torch.from_numpy(mask).long(), str(index))

    def write(self) -> PngFolder:
        generator = torch.Generator().manual_seed(0)
        for index in range(IMAGES):
            coarse = torch.randint(0, 256, (1, 3, 45, 60), generator=generator).float()
            smooth = functional.interpolate(coarse, size=(360, 480), mode="bilinear")[0]
            noisy = (smooth + torch.randn(3, 360, 480, generator=generator) * 4).clamp(0, 255)
            mask = functional.interpolate(torch.randint(0, CLASSES, (1, 1, 12, 16), generator=generator).float(), size=(360, 480))
            Image.fromarray(noisy.byte().permute(1, 2, 0).numpy()).save(self.folder / f"image{index}.png")
            Image.fromarray(mask[0, 0].byte().numpy()).save(self.folder / f"mask{index}.png")
        return self


class BareLoop:
    """What one would write by hand."""

    def __init__(self, network: torch.nn.Module, loss: Callable[..., Tensor], loader: TrainLoader, settings: Settings) -> None:
        self.network, self.loss, self.loader = network.train(), loss, loader
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=settings.train.lr, weight_decay=settings.train.weight_decay, fused=True)
        self.bf16 = choose_precision(settings.train.precision, torch.device("cpu")) == "bf16"
        self.epoch = 0

    def run(self) -> float:
        """Seconds of one epoch."""
        started = time.perf_counter()
        self.loader.set_epoch(self.epoch, (128, 128))
        for batch in self.loader:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
                logits: Tensor = self.network(*batch.inputs)["logits"]
            loss = self.loss(logits.float(), batch.mask)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.epoch += 1
        return time.perf_counter() - started


@pytest.fixture
def pngs(tmp_path: Path) -> PngFolder:
    (tmp_path / "png").mkdir()
    return PngFolder(tmp_path / "png").write()


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[Sequence[Sample], Sequence[Sample]], list[float]]:
    """Speeds of the harness over speeds of the bare loop, for the samples that each of them reads."""
    settings = Settings.model_validate({"train": {"epochs": PAIRS + 1, "batch_size": 8, "image_size": 128, "workers": 0, "lr": 1e-3}})
    catalog = load_catalog()
    model, loss = catalog.model("deeplab-optimized"), catalog.loss("ce")
    plan, model_task = plan_inputs(model.spec, TASK, model.options)

    def run(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[float]:
        network = build_network(model.spec, model_task, model.options, seed=0)
        bare = BareLoop(network, resolve(loss.spec.build)(TASK, loss.options), _loader(theirs, plan, settings), settings)
        harness_seconds: list[float] = []
        bare_seconds = [bare.run(), bare.run()][1:]  # the first call of every kernel is slow

        def emit(event: str, fields: Mapping[str, Any]) -> None:
            if event == "epoch":
                harness_seconds.append(fields["seconds"])
                bare_seconds.append(bare.run())

        fit(
            model=model,
            loss=loss,
            task=TASK,
            model_task=model_task,
            plan=plan,
            train_samples=ours,
            val_samples=None,
            settings=settings,
            seed=0,
            device="cpu",
            directory=tmp_path / "checkpoints",
            emit=emit,
            identity={},
        )
        around = [math.sqrt(a * b) for a, b in itertools.pairwise(bare_seconds)]
        return [b / h for b, h in zip(around, harness_seconds, strict=True)][1:]

    return run


def test_at_least_95_percent_of_a_bare_loop(
    benchmark: BenchmarkFixture, compare: Callable[..., list[float]], pngs: PngFolder, tmp_path: Path
) -> None:
    samples = _cached(pngs, tmp_path)
    ratios = benchmark.pedantic(compare, args=(samples, samples), rounds=1)  # type: ignore[no-untyped-call]
    low, middle, high = _interval(ratios)
    benchmark.extra_info["speed over the bare loop's, 95 % interval"] = [low, middle, high]
    print(f"\nspeed over the bare loop's: {middle:.3f} ({low:.3f} to {high:.3f}, {len(ratios)} pairs)")
    assert len(ratios) >= 10
    assert low >= 0.95


def test_faster_than_a_bare_loop_that_decodes_each_time_from_the_second_epoch(
    benchmark: BenchmarkFixture, compare: Callable[..., list[float]], pngs: PngFolder, tmp_path: Path
) -> None:
    ratios = benchmark.pedantic(compare, args=(_cached(pngs, tmp_path), pngs), rounds=1)  # type: ignore[no-untyped-call]
    low, middle, high = _interval(ratios)
    benchmark.extra_info["speed over that of a loop that decodes PNGs, 95 % interval"] = [low, middle, high]
    print(f"\nspeed over a decoding loop's: {middle:.3f} ({low:.3f} to {high:.3f}, {len(ratios)} pairs)")
    assert low > 1.0


def _cached(samples: PngFolder, folder: Path) -> Sequence[Sample]:
    settings = Settings.model_validate({"data": {"cache_dir": str(folder / "cache")}, "train": {"image_size": 128}})
    return training_samples(samples, key="pngs", task=TASK, data=settings.data, train=settings.train)


def _loader(samples: Sequence[Sample], plan: InputPlan, settings: Settings) -> TrainLoader:
    return train_loader(samples, task=TASK, plan=plan, settings=settings.train, seed=0)


def _interval(ratios: list[float]) -> tuple[float, float, float]:
    """Mean with its 95 % interval (Student's t)."""
    reach = T_95 * stdev(ratios) / math.sqrt(len(ratios))
    return fmean(ratios) - reach, fmean(ratios), fmean(ratios) + reach
