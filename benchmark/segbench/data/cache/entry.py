"""One entry of the decoded cache: a flat file of tensors with an index beside it, read through a memory map."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segbench.data.samples import load_sample
from segbench.plugin.specs import Sample

FORMAT = 1
DATA = "data.bin"
INDEX = "index.json"
_ALIGNMENT = 64
_PROBED = 8

Place = tuple[str, list[int], int]
"""Dtype, shape and offset of a tensor in the flat file."""


class TooLargeError(Exception):
    """The split needs more bytes than it may take; ``args[0]`` is about how many."""


class CachedSamples(Sequence[Sample]):
    """The samples of an entry. Each access copies them out of the map, so that nobody can write into the cache."""

    def __init__(self, directory: Path, records: Sequence[Mapping[str, Any]]) -> None:
        self.directory = directory
        self._records = records
        self._bytes: npt.NDArray[np.uint8] | None = self._mapped()

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        record = self._records[index]
        inputs = {name: self._tensor(place) for name, place in record["inputs"].items()}
        return Sample(inputs, self._tensor(record["mask"]).to(torch.int64), record["id"])

    @property
    def ids(self) -> tuple[str, ...]:
        """The samples' ids, without reading any."""
        return tuple(record["id"] for record in self._records)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bytes": None}  # a spawned worker maps the file anew

    def _tensor(self, place: Place) -> Tensor:
        if self._bytes is None:
            self._bytes = self._mapped()
        name, shape, offset = place
        dtype = np.dtype(name)
        part = self._bytes[offset : offset + _length(dtype, shape)]
        return torch.from_numpy(part.view(dtype).reshape(shape).copy())

    def _mapped(self) -> npt.NDArray[np.uint8]:
        return np.asarray(np.memmap(self.directory / DATA, dtype=np.uint8, mode="r"))


def open_entry(directory: Path, *, key: str, count: int) -> CachedSamples | None:
    """The entry in ``directory``, or None where there is none, it is damaged, or it is not this key's."""
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        size = (directory / DATA).stat().st_size
        if (index["format"], index["key"], index["bytes"], len(index["samples"])) != (FORMAT, key, size, count):
            return None
        if any(offset + _length(np.dtype(name), shape) > size for name, shape, offset in _places(index["samples"])):
            return None
        return CachedSamples(directory, index["samples"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_entry(samples: Sequence[Sample], directory: Path, *, key: str, limit: int) -> int:
    """Decode all samples into ``directory``; returns the bytes written.

    Raises :class:`TooLargeError` as soon as the first few samples show that all would take more than ``limit`` bytes, and
    whatever reading a sample or writing a file raises.
    """
    directory.mkdir(parents=True)
    records = []
    with (directory / DATA).open("wb") as file:
        for i in range(len(samples)):
            records.append(_write_sample(file, load_sample(samples, i)))
            expected = file.tell() * len(samples) // (i + 1)
            if expected > limit and i + 1 >= min(_PROBED, len(samples)):
                raise TooLargeError(expected)
        size = file.tell()
        file.flush()
        os.fsync(file.fileno())  # before the rename: after a power cut an entry is whole or absent
    index = {"format": FORMAT, "key": key, "bytes": size, "samples": records}
    (directory / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return size


def _write_sample(file: BinaryIO, sample: Sample) -> dict[str, Any]:
    inputs = {name: _write(file, tensor) for name, tensor in sample.inputs.items()}
    return {"id": sample.id, "inputs": inputs, "mask": _write(file, _narrow(sample.mask))}


def _write(file: BinaryIO, tensor: Tensor) -> Place:
    array = np.ascontiguousarray(tensor.numpy())
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
    offset = file.tell()
    file.write(array.data)
    return array.dtype.name, list(array.shape), offset


def _narrow(mask: Tensor) -> Tensor:
    low, high = (int(v) for v in mask.aminmax())
    for dtype in (torch.uint8, torch.int16):
        if torch.iinfo(dtype).min <= low and high <= torch.iinfo(dtype).max:
            return mask.to(dtype)
    return mask


def _places(records: Sequence[Mapping[str, Any]]) -> Iterator[Place]:
    for record in records:
        yield record["mask"]
        yield from record["inputs"].values()


def _length(dtype: np.dtype[Any], shape: Sequence[int]) -> int:
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))
