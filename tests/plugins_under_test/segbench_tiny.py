"""A tiny plugin for training tests: importable by name, so that its objects can be sent to other processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import LossBatch, LossSpec, ModelSpec, Normalisation, Options, Progress, Sample, Task, hookimpl, option

NORMALISATION = {"image": Normalisation((0.5,) * 3, (0.25,) * 3, 1 / 255)}


def task(classes: int = 3) -> Task:
    return Task(class_names=tuple("abcdefgh"[:classes]), normalisation=NORMALISATION)


class Samples(Sequence[Sample]):
    """Images of 2 x 2 coloured blocks, one colour per class; the first rows of odd images are ignored."""

    def __init__(self, count: int, *, first: int = 0, size: int = 16, classes: int = 3) -> None:
        self.length, self.first, self.size, self.classes = count, first, size, classes

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < self.length:
            raise IndexError(index)
        number = self.first + index
        generator = torch.Generator().manual_seed(number)
        half = self.size // 2
        mask = torch.randint(0, self.classes, (2, 2), generator=generator).repeat_interleave(half, 0).repeat_interleave(half, 1)
        colour = torch.stack([mask == channel for channel in range(3)]) * 180
        image = (colour + torch.randint(0, 60, (3, self.size, self.size), generator=generator)).to(torch.uint8)
        if number % 2:
            mask = mask.clone()
            mask[: 1 + number % 5] = 255
        return Sample({"image": image}, mask, f"sample-{number}")


class Net(nn.Module):
    """Two convolutions; with normalisation and dropout, or with neither, so that a batch's images do not meet."""

    def __init__(self, classes: int, *, mixing: bool) -> None:
        super().__init__()
        inner: list[nn.Module] = [nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.1)] if mixing else [nn.ReLU()]
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *inner)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))  # type: ignore[no-any-return]


class TwoHeads(Net):
    """Logits at half the size, an auxiliary head, and an output that no loss looks at."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, mixing=False)
        self.side = nn.Conv2d(8, classes, 1)
        self.unused = nn.Conv2d(8, classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        features = self.body(image)
        return {"out": functional.avg_pool2d(self.head(features), 2), "aux": self.side(features), "other": self.unused(features)}


class Unpooling(nn.Module):
    """Max unpooling has no deterministic kernel, not even on the CPU."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        small, places = functional.max_pool2d(self.conv(image), 2, return_indices=True)
        return functional.max_unpool2d(small, places, [2, 2])


class Tracked(nn.Module):
    """Cross-entropy with a learned temperature, in two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> dict[str, Tensor]:
        loss = functional.cross_entropy(outputs["logits"] * self.temperature, batch.mask, ignore_index=255)
        return {"fit": loss, "size": 1e-3 * self.temperature.square()}


class Breaks(nn.Module):
    """Cross-entropy that is no number from one step on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, outputs: Mapping[str, Tensor], batch: LossBatch, progress: Progress) -> Tensor:
        loss = functional.cross_entropy(outputs["logits"], batch.mask, ignore_index=255)
        return loss * float("nan") if progress.step >= self.at else loss


class Summed:
    """Mean over valid pixels, zero where there is none."""

    def __call__(self, logits: Tensor, mask: Tensor) -> Tensor:
        valid = (mask != 255).sum().clamp(min=1)
        return functional.cross_entropy(logits, mask, ignore_index=255, reduction="sum") / valid


class BreaksOptions(Options):
    at: int = option(5, minimum=0, help="optimiser step")


def build_mixing(task: Task, options: Options) -> nn.Module:
    return Net(task.num_classes, mixing=True)


def build_plain(task: Task, options: Options) -> nn.Module:
    return Net(task.num_classes, mixing=False)


def build_two_heads(task: Task, options: Options) -> nn.Module:
    return TwoHeads(task.num_classes)


def build_unpooling(task: Task, options: Options) -> nn.Module:
    return Unpooling(task.num_classes)


def build_ce(task: Task, options: Options) -> Summed:
    return Summed()


def build_tracked(task: Task, options: Options) -> nn.Module:
    return Tracked()


def build_breaks(task: Task, options: Any) -> nn.Module:
    return Breaks(options.at)


@hookimpl
def segbench_models() -> Iterable[ModelSpec]:
    return [
        ModelSpec(
            name="mixing",
            summary="-",
            build=build_mixing,
            head=("head.",),
            parts={"encoder": ("body.",), "head": ("head.",)},
        ),
        ModelSpec(name="plain", summary="-", build=build_plain, head=("head.",)),
        ModelSpec(name="two-heads", summary="-", build=build_two_heads, aux_weights={"aux": 0.5, "other": 0.0}, head=("head.", "side.")),
        ModelSpec(name="unpooling", summary="-", build=build_unpooling),
    ]


@hookimpl
def segbench_losses() -> Iterable[LossSpec]:
    return [
        LossSpec(name="mean-ce", summary="-", build=build_ce),
        LossSpec(name="tracked", summary="-", build=build_tracked, takes="batch"),
        LossSpec(name="breaks", summary="-", build=build_breaks, takes="batch", options=BreaksOptions),
    ]


def record_gradients(job: Any, place: Any, emit: Any) -> Any:
    """What a process does in tests of several processes: the averaged gradient of its share of a quadratic."""
    from segbench.util.distributed import average_buffers, average_gradients, gathered, share_state, total

    torch.manual_seed(place.rank)  # different weights until they are shared
    layer, norm = nn.Linear(2, 1), nn.BatchNorm1d(1)
    share_state(layer, place)
    weight, idle, single = next(layer.parameters()), nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    weight.grad = torch.full_like(weight, float(place.rank))
    if place.first:
        single.grad = torch.ones(1)
    average_gradients([weight, idle, single], place)
    assert norm.running_mean is not None
    norm.running_mean.fill_(float(place.rank))
    average_buffers(norm, place)
    emit("rank", {"rank": place.rank})
    return {
        "weights": gathered({place.rank: weight.detach()}, place),
        "gradient": weight.grad,
        "idle": idle.grad,
        "single": single.grad,
        "mean": norm.running_mean,
        "sum": total(torch.tensor([1, place.rank]), place).tolist(),
    }


def fail_in_second(job: Any, place: Any, emit: Any) -> Any:
    from segbench.util.distributed import barrier

    if not place.first:
        raise ValueError("the second process has had enough")
    barrier(place)


def hang_in_second(job: Any, place: Any, emit: Any) -> Any:
    if place.first:
        raise ValueError("the first process has had enough")
    time.sleep(600)


def evaluate_shared(job: Any, place: Any, emit: Any) -> Any:
    """Score a checkpoint together."""
    from segbench.measure.quality.evaluate import evaluate
    from segbench.networks.load import load_network
    from segbench.plugin.chosen import Plugin
    from segbench.plugin.registry import Catalog

    path, training = job
    catalog = Catalog()
    catalog.add(sys.modules[__name__], Plugin(name="tiny:all", package="tiny", version="1", editable=False))
    return evaluate(
        load_network(path, catalog).network,
        training.val_samples,
        task=training.task,
        plan=training.plan,
        settings=training.settings,
        detailed=True,
        device=place.device,
        rank=place.rank,
        world_size=place.world_size,
        want_pictures=(0, 5),
    )
