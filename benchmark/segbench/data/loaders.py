"""Loaders: samples read and moved in workers, normalised in the main process on the training device."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segbench.config.settings import TrainSettings
from segbench.data.augmentation import PluginAugmentation
from segbench.data.batch_order import count_batches, drawn_batches, epoch_batches, sample_seed
from segbench.data.batches import EvalBatch, Normaliser, TrainBatch, planned_normalisation, stack
from segbench.data.cache.entry import CachedSamples
from segbench.data.cache.resized import LayeredSamples, samples_at
from segbench.data.class_pixels import ClassPixels, balanced_shares
from segbench.data.samples import Fields, read_fields
from segbench.data.transforms import POLICIES, Box, Policy, Resize, augment, evaluation_size, resize_image
from segbench.errors import ConfigError, DataError, SegbenchError
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import AugmentationSpec, Sample, Task
from segbench.util.devices import usable_cores
from segbench.util.image_size import Size, parse_growing_size

Prepare = Callable[[Tensor], Mapping[str, Tensor]]
Key = tuple[int, int, int, int, int]
"""Epoch, height, width, index, and how often the sample was drawn before in this epoch.

Sent to the worker with each sample, so that persistent workers are never out of date.
"""

_MOST_WAITING = 64
_FEW_SAMPLES = 32
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Failure:
    """An error on its way from a worker to the main process, which raises it without the worker's traceback."""

    error: SegbenchError


class TrainLoader:
    """The training batches of one process, epoch by epoch; see :func:`train_loader`."""

    def __init__(
        self,
        items: TrainItems,
        batch_size: int,
        *,
        workers: int,
        rank: int,
        world_size: int,
        device: torch.device,
        shares: Sequence[float] | None = None,
    ) -> None:
        self._order = _EpochOrder(len(items), batch_size, items.seed, rank, world_size, shares)
        self._normalise = Normaliser(items.plan, device)
        self._device = device
        self._loader = _data_loader(items, workers=workers, device=device, batch_sampler=self._order, collate_fn=_collate)
        self.batch_size = batch_size
        self.workers = workers

    def __len__(self) -> int:
        return len(self._order)

    def set_epoch(self, epoch: int, size: Size) -> None:
        """Set the epoch and size of the next iteration: everything random in it follows from the seed and ``epoch``."""
        self._order.epoch, self._order.size = epoch, size

    def __iter__(self) -> Iterator[TrainBatch]:
        for stored in _iterate(self._loader):
            inputs, extras, mask, content = (_to_device(stored[key], self._device) for key in ("inputs", "extras", "mask", "content"))
            yield TrainBatch(self._normalise(inputs, content=content), mask.to(torch.int64), extras, tuple(stored["ids"]))

    def close(self) -> None:
        """End the workers."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
            self._loader._iterator = None


def train_loader(
    samples: Sequence[Sample],
    *,
    task: Task,
    plan: InputPlan,
    settings: TrainSettings,
    seed: int,
    prepare: Prepare | None = None,
    augmentation: Chosen[AugmentationSpec] | None = None,
    class_pixels: ClassPixels | None = None,
    rank: int = 0,
    world_size: int = 1,
    device: str | torch.device = "cpu",
) -> TrainLoader:
    """Training batches of ``settings.batch_size`` images per process, on ``device``.

    An epoch is a permutation of the samples, shared out among the processes; with ``train.sampler = balanced`` as many draws with
    replacement (:func:`~segbench.data.class_pixels.balanced_shares` of ``class_pixels``). The order, and all that is random about a
    sample, depend on (seed, epoch, index) alone, not on workers, processes or what was loaded before. ``prepare`` gets each
    mask (H, W) int64 after geometry. The last, incomplete batch is dropped where a process would get a single image of it.

    ``augmentation`` is what ``settings.augmentation`` names where a plugin gives it (:class:`PluginError` where it is at fault).

    Raises :class:`DataError` where there are fewer than two samples per process, :class:`ConfigError` for batches of one.
    """
    if settings.batch_size < 2:
        raise ConfigError(
            "train.batch_size 1: batch normalisation needs at least two images. Use 2, with a smaller train.image_size if short of memory."
        )
    if len(samples) < 2 * world_size:
        raise DataError(f"training needs at least {2 * world_size} samples (two per process), the split has {len(samples)}")
    device = torch.device(device)
    first_size = parse_growing_size(settings.image_size)[0][1]
    transform = None if augmentation is None else PluginAugmentation(augmentation, task)
    items = TrainItems(samples, task, plan, _policy(settings, augmentation), seed, prepare, transform)
    if transform is not None:
        transform.try_padding(items.placed(0, first_size)[0], first_size)
    workers = resolve_workers(settings.workers, samples, device=device, world_size=world_size)
    shares = None
    if settings.sampler == "balanced":
        assert class_pixels is not None, "balanced sampling needs the pixels of each class in each image"
        shares = balanced_shares(class_pixels).tolist()
    loader = TrainLoader(items, settings.batch_size, workers=workers, rank=rank, world_size=world_size, device=device, shares=shares)
    loader.set_epoch(0, first_size)
    return loader


def _policy(settings: TrainSettings, augmentation: Chosen[AugmentationSpec] | None) -> Policy:
    """The geometry of ``settings.augmentation``; a plugin's transform gets samples that have been brought to the training size, no more."""
    policy = next((name for name in POLICIES if name == settings.augmentation), None)
    if augmentation is not None:
        return "none"
    if policy is None:
        raise ConfigError(f"train.augmentation={settings.augmentation} is a plugin's: train_loader needs it as augmentation=..")
    return policy


class TrainItems(Dataset[Any]):
    """Training samples as a worker prepares them: read, augmented by a policy and a plugin's transform, with the loss's extras."""

    def __init__(
        self,
        samples: Sequence[Sample],
        task: Task,
        plan: InputPlan,
        policy: Policy,
        seed: int,
        prepare: Prepare | None,
        transform: PluginAugmentation | None = None,
    ) -> None:
        self.samples, self.task, self.plan, self.policy, self.seed, self.prepare = samples, task, plan, policy, seed, prepare
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> dict[str, Any] | Failure:
        epoch, height, width, index, before = key
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(sample_seed(self.seed, epoch, index, *([before] if before else [])))
                return self._item(index, (height, width))
        except SegbenchError as error:
            return Failure(error)

    def _item(self, index: int, size: Size) -> dict[str, Any]:
        moved, content = self.placed(index, size)
        moved = moved if self.transform is None else self.transform(moved, size)
        extras = dict(self.prepare(moved.mask.to(torch.int64))) if self.prepare else {}
        return {"inputs": moved.inputs, "mask": moved.mask, "extras": extras, "content": content, "id": moved.id}

    def placed(self, index: int, size: Size) -> tuple[Fields, Box]:
        """A sample under the policy's geometry, at its own size where a plugin's transform asks for that, and the box of its content."""
        native = self.transform is not None and self.transform.native
        source = self.samples if native else samples_at(self.samples, size, self.policy)
        fields = read_fields(source, index, task=self.task, normalisation=planned_normalisation(self.plan))
        return (fields, (0, 0, *size)) if native else augment(fields, policy=self.policy, size=size, task=self.task)


class EvalLoader:
    """The evaluation batches of one process; see :func:`eval_loader`. Can be iterated again and again."""

    def __init__(self, items: EvalItems, indices: Sequence[int], *, batch_size: int, workers: int, device: torch.device) -> None:
        self._normalise = Normaliser(items.plan, device)
        self._batch_size = batch_size
        self._device = device
        self._loader = _data_loader(items, workers=workers, device=device, batch_size=None, sampler=indices, collate_fn=_unchanged)

    def __iter__(self) -> Iterator[EvalBatch]:
        waiting: dict[Size, list[dict[str, Any]]] = {}
        waiting_items = 0
        for item in _iterate(self._loader):
            group = waiting.setdefault(tuple(item["size"]), [])  # pinning makes a list of it
            group.append(item)
            waiting_items += 1
            if len(group) < self._batch_size and waiting_items < max(_MOST_WAITING, 2 * self._batch_size):
                continue
            # full, or so many sizes are waiting that memory would grow with the split: the largest group is yielded
            size = max(waiting, key=lambda s: len(waiting[s]))
            waiting_items -= len(waiting[size])
            yield self._batch(waiting.pop(size))
        yield from (self._batch(group) for group in waiting.values())

    def _batch(self, items: Sequence[dict[str, Any]]) -> EvalBatch:
        stored = {name: stack([item["inputs"][name] for item in items]) for name in items[0]["inputs"]}
        masks = [item["mask"].to(self._device, non_blocking=True).to(torch.int64) for item in items]
        return EvalBatch(
            inputs=self._normalise(_to_device(stored, self._device)),
            masks=masks,
            ids=tuple(item["id"] for item in items),
            indices=tuple(item["index"] for item in items),
            content=[(height, width) for height, width in (item["size"] for item in items)],
        )


def eval_loader(
    samples: Sequence[Sample],
    *,
    task: Task,
    plan: InputPlan,
    image_size: Size | None,
    resize: Resize,
    batch_size: int,
    workers: int | Literal["auto"] = "auto",
    rank: int = 0,
    world_size: int = 1,
    device: str | torch.device = "cpu",
) -> EvalLoader:
    """Evaluation batches on ``device``: images resized as :func:`~segbench.data.transforms.evaluation_size` says, labels never.

    Only images of equal resized size share a batch, in the order of the split; nothing is padded or repeated, and each image
    goes to exactly one process.
    """
    device = torch.device(device)
    items = EvalItems(samples, task, plan, image_size, resize)
    count = min(resolve_workers(workers, samples, device=device, world_size=world_size), len(samples) // 8)
    return EvalLoader(items, range(rank, len(samples), world_size), batch_size=batch_size, workers=count, device=device)


class EvalItems(Dataset[Any]):
    """Evaluation samples as a worker prepares them: read, with their inputs resized."""

    def __init__(self, samples: Sequence[Sample], task: Task, plan: InputPlan, image_size: Size | None, resize: Resize) -> None:
        self.samples, self.task, self.plan, self.image_size, self.resize = samples, task, plan, image_size, resize

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any] | Failure:
        try:
            fields = read_fields(self.samples, index, task=self.task, normalisation=planned_normalisation(self.plan))
        except SegbenchError as error:
            return Failure(error)
        size = evaluation_size((fields.mask.shape[0], fields.mask.shape[1]), self.image_size, self.resize)
        inputs = {name: resize_image(image, size) for name, image in fields.inputs.items()}
        return {"inputs": inputs, "mask": fields.mask, "id": fields.id, "index": index, "size": size}


def resolve_workers(
    setting: int | Literal["auto"],
    samples: Sequence[Sample],
    *,
    device: str | torch.device,
    world_size: int = 1,
    cores: int | None = None,
) -> int:
    """Worker processes of one loader, where ``cores`` (None: those usable here) are shared by ``world_size`` processes.

    ``auto`` beside a GPU: one per core but one, at most 8. On a CPU workers take their time from training (measured on two
    cores: from decoded samples none is fastest, from PNG files one halves the time of an epoch): one, or two from four cores
    on; one less where samples come out of the decoded cache; none for a handful of samples.
    """
    if setting != "auto":
        return setting
    own_cores = (usable_cores() if cores is None else cores) // world_size
    if torch.device(device).type != "cpu":
        return max(1, min(_MOST_WORKERS, own_cores - 1))
    if own_cores < 2 or len(samples) <= _FEW_SAMPLES:
        return 0
    return (2 if own_cores >= 4 else 1) - isinstance(samples, CachedSamples | LayeredSamples)


class _EpochOrder:
    """Batch sampler: yields keys, so that the epoch and the size travel to persistent workers with each index."""

    def __init__(self, count: int, batch_size: int, seed: int, rank: int, world_size: int, shares: Sequence[float] | None = None) -> None:
        self._count, self._batch_size, self._seed, self._rank, self._world_size = count, batch_size, seed, rank, world_size
        self._shares = shares
        self.epoch = 0
        self.size: Size = (1, 1)

    def __len__(self) -> int:
        return count_batches(self._count, self._batch_size, world_size=self._world_size)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, size = self.epoch, self.size
        common = {"seed": self._seed, "epoch": epoch, "rank": self._rank, "world_size": self._world_size}
        if self._shares is not None:
            drawn = drawn_batches(self._shares, self._batch_size, **common)
            return ([(epoch, *size, index, before) for index, before in batch] for batch in drawn)
        batches = epoch_batches(self._count, self._batch_size, **common)
        return ([(epoch, *size, index, 0) for index in batch] for batch in batches)


def _collate(items: Sequence[dict[str, Any] | Failure]) -> dict[str, Any] | Failure:
    good = []
    for item in items:
        if isinstance(item, Failure):
            return item
        good.append(item)
    first = good[0]
    size = tuple(first["mask"].shape)
    padded = any(item["content"] != (0, 0, *size) for item in good)
    return {
        "inputs": {name: stack([item["inputs"][name] for item in good]) for name in first["inputs"]},
        "extras": {name: stack([item["extras"][name] for item in good]) for name in first["extras"]},
        "mask": stack([item["mask"] for item in good]),
        "content": torch.tensor([item["content"] for item in good]) if padded else None,
        "ids": [item["id"] for item in good],
    }


def _unchanged(item: Any) -> Any:
    return item


def _data_loader(items: Dataset[Any], *, workers: int, device: torch.device, **options: Any) -> DataLoader[Any]:
    if workers:
        options["persistent_workers"] = "batch_sampler" in options  # evaluation is too seldom to keep a second set of processes
        options["worker_init_fn"] = _start_worker
        # forking inherits the samples and starts in milliseconds; where the system cannot, the default is used
        options["multiprocessing_context"] = "fork" if sys.platform == "linux" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # the user has set the number of workers
        # a generator of its own: the global random state must not depend on how often a loader was started
        generator = torch.Generator().manual_seed(0)
        return DataLoader(items, num_workers=workers, pin_memory=device.type == "cuda", generator=generator, **options)


def _iterate(loader: DataLoader[Any]) -> Iterator[dict[str, Any]]:
    with warnings.catch_warnings():
        # workers touch neither threads nor locks of the parent: torch runs them single-threaded
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
        iterator = iter(loader)
    for item in iterator:
        if isinstance(item, Failure):
            raise item.error
        yield item


def _start_worker(worker: int) -> None:
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process answers Ctrl-C and ends its workers


def _to_device(values: Any, device: torch.device) -> Any:
    if isinstance(values, Mapping):
        return {name: _to_device(value, device) for name, value in values.items()}
    return values if values is None else values.to(device, non_blocking=True)
