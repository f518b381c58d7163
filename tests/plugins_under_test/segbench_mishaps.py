"""A plugin of tiny parts in which things go wrong on demand: found by its entry point, also in worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import (
    BackendError,
    BackendSpec,
    DatasetSpec,
    LossSpec,
    ModelSpec,
    Normalisation,
    Options,
    Recipe,
    Reporter,
    Sample,
    Target,
    Task,
    hookimpl,
    option,
)

How = Literal["nothing", "raise", "exit", "abort", "segfault", "kill", "hang", "chatty", "nan", "memory", "child"]


def go_wrong(how: str) -> None:
    """Do it."""
    if how == "raise":
        raise ValueError("the loss [bold]fell[/bold] over\nin two lines")
    if how == "exit":
        sys.exit("leaving on my own")
    if how == "abort":
        os.abort()
    if how == "segfault":
        os.kill(os.getpid(), 11)
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "hang":
        time.sleep(600)
    if how == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if how == "chatty":
        print("a line of noise\n" * 200_000, flush=True)
        print("and on stderr", file=sys.stderr, flush=True)


class DotOptions(Options):
    width: int = option(4, minimum=1, help="channels")
    weights: str | None = option(None, help="a file")


class FragileOptions(DotOptions):
    above: int = option(1000, help="out of memory in training above this batch size")
    crash_at: int = option(0, help="abort at this batch size, outside of training")
    killed_after: int = option(0, help="killed after so many calls of a process, outside of training; 0: never")


class Dot(nn.Module):
    """Two convolutions."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(channels, width, 3, padding=1)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(functional.relu(self.body(torch.cat(inputs, 1))))  # type: ignore[no-any-return]


class StackOptions(Options):
    depth: int = option(20, minimum=1, help="convolutions, all alike: what a call takes is proportional to their number")
    width: int = option(24, minimum=1, help="channels")


class Stack(nn.Module):
    """So many equal convolutions between a stem and a head."""

    def __init__(self, channels: int, options: StackOptions, classes: int) -> None:
        super().__init__()
        width = options.width
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(nn.Conv2d(width, width, 3, padding=1) for _ in range(options.depth)))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(self.stem(image)))  # type: ignore[no-any-return]


class Fragile(Dot):
    """Breaks at some batch sizes."""

    def __init__(self, channels: int, options: FragileOptions, classes: int) -> None:
        super().__init__(channels, options.width, classes)
        self.above, self.crash_at = options.above, options.crash_at
        self.calls, self.killed_after = 0, options.killed_after

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.training and inputs[0].shape[0] > self.above:
            go_wrong("memory")
        if not self.training and inputs[0].shape[0] == self.crash_at:
            go_wrong("abort")
        self.calls += not self.training
        if self.killed_after and self.calls == self.killed_after:
            go_wrong("kill")
        return super().forward(*inputs)


class Sleep(nn.Module):
    """Sleeps, and returns the features that it was given."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.milliseconds = milliseconds

    def forward(self, features: Tensor, *_: Any) -> Tensor:
        time.sleep(self.milliseconds / 1000)
        return features


class Sleeper(nn.Module):
    """A head behind modules that sleep: 1 ms in ``short``, 2 x 4 ms in ``long``.

    ``fed`` gets what cannot be copied, ``idle`` is not called.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.short, self.long, self.fed, self.idle = Sleep(1.0), nn.ModuleList([Sleep(4.0), Sleep(4.0)]), Sleep(0.0), Sleep(0.0)
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.fed(self.short(image), (number for number in range(3)))
        for each in self.long:
            features = each(features)
        return self.head(features)  # type: ignore[no-any-return]


def build_sleeper(task: Task, _: Options) -> nn.Module:
    return Sleeper(sum(task.inputs.values()), task.num_classes)


def build_dot(task: Task, options: DotOptions) -> nn.Module:
    return Dot(sum(task.inputs.values()), options.width, task.num_classes)


def build_stack(task: Task, options: StackOptions) -> nn.Module:
    return Stack(sum(task.inputs.values()), options, task.num_classes)


def build_fragile(task: Task, options: FragileOptions) -> nn.Module:
    return Fragile(sum(task.inputs.values()), options, task.num_classes)


class MishapOptions(Options):
    how: How = option("nothing", help="what goes wrong")
    at: int = option(1, minimum=1, help="at which call of a process")
    file: str = option("", help="file that gets the process id; where it was there before, nothing goes wrong")


class Mishap:
    """Cross-entropy until something happens."""

    def __init__(self, options: MishapOptions) -> None:
        self.options, self.calls = options, 0

    def __call__(self, logits: Tensor, mask: Tensor) -> Tensor:
        self.calls += 1
        loss = functional.cross_entropy(logits, mask, ignore_index=255)
        file = Path(self.options.file) if self.options.file else None
        if self.calls != self.options.at or (file and file.exists()):
            return loss
        pids = [os.getpid()]
        if self.options.how in ("child", "hang"):
            pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
        if file:
            file.with_suffix(".part").write_text(" ".join(map(str, pids)))
            file.with_suffix(".part").rename(file)
        go_wrong("hang" if self.options.how == "child" else self.options.how)
        return loss * float("nan") if self.options.how == "nan" else loss


def build_mishap(task: Task, options: MishapOptions) -> Mishap:
    return Mishap(options)


class DotsOptions(Options):
    train: int = option(8, minimum=0, help="images")
    val: int = option(3, minimum=0, help="images")
    test: int = option(2, minimum=0, help="images")
    size: int = option(16, minimum=4, help="height and width")


class Dots(Sequence[Sample]):
    """Images whose left half is dark and class 0, the right half bright and class 1."""

    def __init__(self, split: str, count: int, size: int, channels: dict[str, int]) -> None:
        self.split, self.length, self.size, self.channels = split, count, size, channels

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        mask = torch.zeros(self.size, self.size, dtype=torch.long)
        mask[:, self.size // 2 + index % 2 :] = 1
        inputs = {name: (mask * 200 + index).to(torch.uint8).repeat(channels, 1, 1) for name, channels in self.channels.items()}
        return Sample(inputs, mask, f"{self.split}-{index}")


_IMAGE, _RADAR = {"image": 3}, {"sar": 2, "optical": 3}
_PARTS = ("train", "val", "test")


def _splits(options: DotsOptions) -> tuple[str, ...]:
    return (*(part for part in _PARTS if getattr(options, part)), "trainval")


def _load(channels: dict[str, int], split: str, options: DotsOptions) -> Sequence[Sample]:
    if split == "trainval":
        return [*Dots("train", options.train, options.size, channels), *Dots("val", options.val, options.size, channels)]
    return Dots(split, getattr(options, split), options.size, channels)


def load_dots(root: Path | None, split: str, options: DotsOptions) -> Sequence[Sample]:
    return _load(_IMAGE, split, options)


def load_radar_dots(root: Path | None, split: str, options: DotsOptions) -> Sequence[Sample]:
    return _load(_RADAR, split, options)


def _task(channels: dict[str, int]) -> Task:
    norms = {name: Normalisation((0.5,) * count, (0.5,) * count, 1 / 255) for name, count in channels.items()}
    return Task(class_names=("dark", "bright"), inputs=channels, normalisation=norms, rgb=())


def dots_task(options: Options) -> Task:
    return _task(_IMAGE)


def radar_task(options: Options) -> Task:
    return _task(_RADAR)


class CannedOptions(Options):
    refuses: int = option(0, help="batch size that it does not take")
    spins: bool = option(False, help="keep a core busy also while nothing is asked for")


def export_canned(network: nn.Module, inputs: tuple[Tensor, ...], folder: Path, options: CannedOptions, calibration: Any) -> Path:
    """A file with the answer to these very inputs."""
    if inputs[0].shape[0] == options.refuses:
        raise BackendError("the operator aten::canned has no translation")
    torch.save(network(*inputs), folder / "answer.pt")
    return folder / "answer.pt"


def load_canned(path: Path, options: CannedOptions, target: Target) -> Callable[..., Tensor]:
    answer: Tensor = torch.load(path, weights_only=True)

    def burn() -> None:
        while True:
            sum(range(10_000))

    if options.spins:
        threading.Thread(target=burn, daemon=True).start()

    def run(*inputs: Tensor) -> Tensor:
        time.sleep(0.001)
        return answer

    return run


@hookimpl
def segbench_models() -> Iterable[ModelSpec]:
    return [
        ModelSpec(name="dot", summary="two convolutions", build=build_dot, options=DotOptions, channels={"image": (3, 5)}),
        ModelSpec(name="stack", summary="many equal convolutions", build=build_stack, options=StackOptions),
        ModelSpec(name="dot-pair", summary="two inputs", build=build_dot, options=DotOptions, inputs=("sar", "optical")),
        ModelSpec(name="sleeper", summary="sleeps in its modules", build=build_sleeper),
        ModelSpec(name="fragile", summary="breaks at some batch sizes", build=build_fragile, options=FragileOptions),
    ]


@hookimpl
def segbench_losses() -> Iterable[LossSpec]:
    return [LossSpec(name="mishap", summary="something goes wrong", build=build_mishap, options=MishapOptions)]


@hookimpl
def segbench_datasets() -> Iterable[DatasetSpec]:
    common: dict[str, Any] = {"splits": _splits, "options": DotsOptions, "embedded": True, "unions": {"trainval": ("train", "val")}}
    return [
        DatasetSpec(name="dots", summary="halves", task=dots_task, load=load_dots, **common),
        DatasetSpec(name="other-dots", summary="halves, again", task=dots_task, load=load_dots, **common),
        DatasetSpec(name="radar-dots", summary="halves, two inputs", task=radar_task, load=load_radar_dots, **common),
    ]


class FrozenOptions(Options):
    how: How | Literal["refuse", "numbers", "shape", "missing"] = option("nothing", help="what goes wrong")
    at: Literal["export", "load", "call"] = option("export", help="where")
    shift: float = option(0.0, help="is added to the logits of class 0")
    dynamic: bool = option(False, help="takes any size, or says so")
    only: int = option(0, help="width above which a dynamic form computes something else")
    calibrates: bool = option(False, help="asks for calibration images, and keeps how many there were beside the file")
    precision: Literal["fp32", "bf16"] = option("fp32", help="what it says of its arithmetic")


def _calibrates(options: FrozenOptions) -> bool:
    return options.calibrates


def _missing(task: Task, options: FrozenOptions) -> list[str]:
    return ["the package 'frost' is not installed: pip install frost"] if options.how == "missing" else []


def export_frozen(network: nn.Module, inputs: tuple[Tensor, ...], folder: Path, options: FrozenOptions, calibration: Any) -> Path:
    """The whole module pickled: no format to ship, but a file that another process can run."""
    if options.at == "export" and options.how == "refuse":
        raise BackendError("the operator aten::frobnicate cannot be exported")
    if options.at == "export":
        go_wrong(options.how)
    torch.save((network, inputs[0].shape[-2:]), folder / "frozen.pkl")
    (folder / "calibration.txt").write_text(" ".join(str(tuple(images[0].shape)) for images in calibration))
    return folder / "frozen.pkl"


def load_frozen(path: Path, options: FrozenOptions, target: Target) -> Any:
    if options.at == "load":
        go_wrong(options.how)
    network, size = torch.load(path, weights_only=False)
    network.to(target.device)

    def call(*images: Tensor) -> Any:
        if options.at == "call":
            go_wrong(options.how)
        if not options.dynamic and images[0].shape[-2:] != size:
            raise ValueError(f"made for {tuple(size)}")
        logits = network(*images)
        logits[:, 0] += options.shift + (10.0 if options.only and images[0].shape[-1] > options.only else 0.0)
        if options.how == "numbers":
            logits[0, 0, 0, 0] = float("nan")
        return logits[..., :-1] if options.how == "shape" else logits

    return call


def build_twin(network: nn.Module, inputs: tuple[Tensor, ...], options: Options) -> Any:
    return network.forward


@hookimpl
def segbench_backends() -> Iterable[BackendSpec]:
    return [
        BackendSpec(
            name="frozen",
            summary="a pickled module",
            export=export_frozen,
            load=load_frozen,
            options=FrozenOptions,
            precisions=("fp32", "bf16"),
            calibrates=_calibrates,
            check=_missing,
            package="torch",
        ),
        BackendSpec(name="twin", summary="the network itself", build=build_twin, devices=("cpu",)),
        BackendSpec(
            name="canned",
            summary="a file with the answer",
            export=export_canned,
            load=load_canned,
            options=CannedOptions,
            precisions=("int8",),  # in full precision it would have to give the network's logits
        ),
        BackendSpec(name="elsewhere", summary="not on this device", build=build_twin, devices=("cuda",)),
    ]


TINY = {
    "train.epochs": 1,
    "train.batch_size": 4,
    "train.image_size": 16,
    "train.lr": 0.01,
    "train.workers": 0,
    "train.precision": "off",
    "eval.pictures": 0,
    "data.cache_gb": 0.0,
    "measure.latency": False,
    "measure.memory": False,
    "measure.threads": 1,
    "measure.restart_every": None,
    "measure.anchor": False,
}


@hookimpl
def segbench_recipes() -> Iterable[Recipe]:
    return [
        Recipe(name="tiny", summary="one epoch", settings=TINY, loss="ce", dataset="dots"),
        Recipe(name="tiny-long", summary="three epochs", settings={**TINY, "train.epochs": 3}, dataset="dots"),
    ]


def moody(result: Any, target: Any) -> str:
    raise RuntimeError("not today\nnor tomorrow")


@hookimpl
def segbench_reporters() -> Iterable[Reporter]:
    return [Reporter(name="moody", summary="never works", render=moody)]
