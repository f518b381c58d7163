"""Specs of Python objects: an ``nn.Module``, a function that builds one, or a ``torch.utils.data.Dataset``."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.errors import ConfigError, DataError
from segbench.plugin.choice import slug
from segbench.plugin.objects import ObjectSpec
from segbench.plugin.options import Options
from segbench.plugin.specs import DatasetSpec, LossSpec, ModelSpec, Sample, Task

if TYPE_CHECKING:
    from torch import Tensor

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Parts of a dataset that is given whole, by the hash of each sample's position."""

_IMAGE_KEYS, _MASK_KEYS = ("image", "input", "pixel_values"), ("mask", "label", "labels", "target")


def model_object(model: Any, name: str = "") -> ObjectSpec:
    """The spec of a module (a copy of it, with its weights), of a function ``build(task)`` or ``build(task, options)``, or of a spec.

    Raises :class:`ConfigError` for anything else.
    """
    from torch import nn

    if isinstance(model, ModelSpec | LossSpec):
        return ObjectSpec(model, digest_of(model))
    if isinstance(model, nn.Module):
        return ObjectSpec(ModelSpec(name=_name(name or type(model).__name__), summary="a module", build=_Copied(model)), digest_of(model))
    if callable(model):
        label = name or getattr(model, "__name__", type(model).__name__)
        return ObjectSpec(ModelSpec(name=_name(label), summary="built by a function", build=_Built(model)), digest_of(model))
    raise ConfigError(
        "a model is a name, a torch.nn.Module, a function build(task) that returns one, or a segbench.ModelSpec, "
        f"not {type(model).__name__}"
    )


def dataset_object(dataset: Any, *, classes: Sequence[str] | None = None, ignore_index: int = 255, name: str = "") -> ObjectSpec:
    """The spec of datasets by split (``{"train": .., "val": ..}``), of one dataset that is divided 70 / 15 / 15, or of a spec.

    A dataset gives pairs (image, mask), mappings with ``image`` and ``mask``, or :class:`~segbench.Sample`: images (C, H, W) as tensors, or
    (H, W, C) as arrays and PIL pictures, in 8 bits or as floats; masks (H, W) of class ids. ``classes`` are the names in the order of
    their ids. Raises :class:`ConfigError` for what is no dataset, or where the classes are not known.
    """
    if isinstance(dataset, DatasetSpec):
        return ObjectSpec(dataset, digest_of(dataset))
    parts = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
    if not parts or not all(hasattr(part, "__getitem__") and hasattr(part, "__len__") for part in parts.values()):
        raise ConfigError(
            "a dataset is a name, a torch.utils.data.Dataset with a length, a mapping of split names to such datasets, or a "
            f"segbench.DatasetSpec, not {type(dataset).__name__}"
        )
    first = next(iter(parts.values()))
    named = classes or getattr(first, "classes", None)
    if not named:
        raise ConfigError("the classes of a dataset object are not known: give classes=[..], their names in the order of their ids")
    channels = {key: int(value.shape[0]) for key, value in _sample(first[0], "first").inputs.items()}
    colour = tuple(key for key, count in channels.items() if count == 3)
    task = Task(class_names=tuple(map(str, named)), inputs=channels, ignore_index=ignore_index, rgb=colour)
    whole = list(parts) == [""]
    spec = DatasetSpec(
        name=_name(name or type(first).__name__),
        summary="a dataset object",
        task=_Always(task),
        splits=tuple(SHARES) if whole else tuple(parts),
        load=_Loaded(parts),
        embedded=True,
        recipe="quick-test",
    )
    return ObjectSpec(spec, digest_of(dataset))


def digest_of(value: Any) -> str:
    """A digest of an object's code and state: equal for equal objects, also in another process."""
    import cloudpickle  # type: ignore[import-untyped]
    from torch import nn

    digest = hashlib.blake2b(digest_size=8)
    if isinstance(value, nn.Module):
        digest.update(_source(type(value)).encode() + repr(value).encode())
        for key, tensor in value.state_dict().items():
            digest.update(key.encode() + tensor.detach().cpu().contiguous().flatten().view(_bytes()).numpy().tobytes())
        return digest.hexdigest()
    if inspect.isroutine(value) or inspect.isclass(value):
        digest.update(_source(value).encode())
        return digest.hexdigest()
    try:
        digest.update(cloudpickle.dumps(value))
    except Exception as error:  # a foreign object may raise anything while it is pickled
        raise ConfigError(
            f"an object of {type(value).__name__} cannot be pickled ({type(error).__name__}: {error}), and processes that train and load "
            "need copies of it. Leave out open files, locks and sessions, and open them on first use."
        ) from None
    return digest.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        import cloudpickle

        return str(hashlib.sha256(cloudpickle.dumps(value)).hexdigest())


def _name(text: str) -> str:
    return slug(text.replace("<", "").replace(">", ""))


@dataclass(frozen=True)
class _Copied:
    """``build`` of a module: a copy of it, with its weights."""

    model: Any

    def __call__(self, task: Task, options: Options) -> Any:
        return copy.deepcopy(self.model)


@dataclass(frozen=True)
class _Built:
    """``build`` by a function of the task, and of the options where it takes two arguments."""

    function: Callable[..., Any]

    def __call__(self, task: Task, options: Options) -> Any:
        count = len(inspect.signature(self.function).parameters)
        return self.function(*(task, options)[:count])


@dataclass(frozen=True)
class _Always:
    task: Task

    def __call__(self, options: Options) -> Task:
        return self.task


@dataclass(frozen=True)
class _Loaded:
    """``load`` of dataset objects."""

    parts: Mapping[str, Any]

    def __call__(self, root: Path | None, split: str, options: Options) -> ObjectSamples:
        if split in self.parts:
            return ObjectSamples(self.parts[split], split, tuple(range(len(self.parts[split]))))
        whole = self.parts[""]
        return ObjectSamples(whole, "", tuple(i for i in range(len(whole)) if _split_of(i) == split))


class ObjectSamples(Sequence[Sample]):
    """Samples of a dataset object, at ``places`` of it."""

    def __init__(self, dataset: Any, split: str, places: tuple[int, ...]) -> None:
        self.dataset, self.places = dataset, places
        self.ids = tuple(f"{split}/{place}" if split else str(place) for place in places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return _sample(self.dataset[self.places[index]], self.ids[index])


def _split_of(index: int) -> str:
    share = int.from_bytes(hashlib.sha256(str(index).encode()).digest()[:4], "big") / 2**32
    edge = 0.0
    for split, width in SHARES.items():
        edge += width
        if share < edge:
            return split
    return next(reversed(SHARES))


def _sample(item: Any, id: str) -> Sample:
    if isinstance(item, Sample):
        return item
    if isinstance(item, Mapping):
        image, mask = (_first_of(item, keys, id) for keys in (_IMAGE_KEYS, _MASK_KEYS))
    elif isinstance(item, Sequence) and len(item) >= 2:
        image, mask = item[0], item[1]
    else:
        raise DataError(
            f"sample {id} is {type(item).__name__}: give a pair (image, mask), a mapping with 'image' and 'mask', or segbench.Sample"
        )
    images = image if isinstance(image, Mapping) else {"image": image}
    return Sample({key: _image(value, id) for key, value in images.items()}, _mask(mask, id), id)


def _first_of(item: Mapping[str, Any], keys: Sequence[str], id: str) -> Any:
    for key in keys:
        if key in item:
            return item[key]
    raise DataError(f"sample {id} has the keys {', '.join(map(str, item))}, but none of {', '.join(keys)}")


def _image(value: Any, id: str) -> Tensor:
    """An image (C, H, W) in a dtype that is stored."""
    import torch

    tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(_channels_first(np.array(value), id))
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim != 3:
        raise DataError(f"sample {id} has an image of the shape {tuple(tensor.shape)}: (C, H, W) is expected, or (H, W, C) of an array")
    stored = (torch.uint8, torch.int16, torch.uint16, torch.float32)
    return tensor.contiguous() if tensor.dtype in stored else tensor.float().contiguous()


def _channels_first(array: Any, id: str) -> Any:
    if array.dtype == object:
        raise DataError(f"sample {id} has an image that is no tensor, array or PIL picture")
    last = array.ndim == 3 and array.shape[2] in (1, 2, 3, 4)
    return np.ascontiguousarray(array.transpose(2, 0, 1) if last else array)


def _mask(value: Any, id: str) -> Tensor:
    """A mask (H, W) int64."""
    import torch

    tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
    if tensor.ndim == 3 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 2 or (tensor.is_floating_point() and not torch.equal(tensor, tensor.round())):
        raise DataError(f"sample {id} has a mask of the shape {tuple(tensor.shape)} and {tensor.dtype}: class ids (H, W) are expected")
    return tensor.long().contiguous()
