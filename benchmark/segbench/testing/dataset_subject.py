"""A dataset under test: its splits, samples and their digests, each read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segbench.options import Options
from segbench.specs import DatasetSpec, Sample, resolve
from segbench.testing.check import ConformanceError, during, fail


@dataclass(frozen=True)
class DatasetSubject:
    """A dataset with its options and, unless it is embedded, its folder.

    Of splits longer than ``most`` samples, that many evenly spaced ones are looked at (None: all).
    """

    spec: DatasetSpec
    options: Options
    root: Path | None = None
    most: int | None = 500
    _kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        with during("splits"):
            return self.spec.split_names(self.options)

    @property
    def missing(self) -> dict[str, str]:
        """Splits that cannot be loaded, each with the reason."""
        if "missing" not in self._kept:
            self._kept["missing"] = {split: reason for split in self.splits if (reason := self._refusal(split))}
        return self._kept["missing"]  # type: ignore[no-any-return]

    @property
    def present(self) -> tuple[str, ...]:
        """Splits that can be loaded, at least one: copies of a dataset are often partial."""
        found = tuple(split for split in self.splits if split not in self.missing)
        return found or fail("no split can be loaded")

    @property
    def complete(self) -> bool:
        """Whether every sample is looked at."""
        return self.most is None or all(len(self.samples(split)) <= self.most for split in self.present)

    def make_task(self) -> Any:
        """A new ``task(options)``."""
        with during("task"):
            return resolve(self.spec.task)(self.options)

    def load(self, split: str) -> Sequence[Sample]:
        """A new ``load(root, split, options)``."""
        if self.root is None and not self.spec.embedded:
            fail(f"dataset '{self.spec.name}' lies on disk: say where (root, or --data DIR), or declare it embedded")
        root = None if self.spec.embedded else self.root
        with during(f"loading '{split}'"):
            return resolve(self.spec.load)(root, split, self.options)  # type: ignore[no-any-return]

    def samples(self, split: str) -> Sequence[Sample]:
        """The samples of a split, loaded once."""
        key = f"samples of {split}"
        if key not in self._kept:
            self._kept[key] = self.load(split)
        return self._kept[key]  # type: ignore[no-any-return]

    def some(self, split: str, *, most: int = 8) -> Iterator[tuple[int, Sample]]:
        """A few evenly spaced samples with their indices, the first and the last among them."""
        for index in spaced(len(self.samples(split)), most):
            with during(f"reading {split}[{index}]"):
                sample = self.samples(split)[index]
            yield index, sample

    def ids(self, split: str) -> list[str]:
        """Ids of a split in order."""
        return [sample_id for sample_id, _ in self._digested(split)]

    def digests(self, split: str) -> dict[str, str]:
        """Digest of each image to its id."""
        return {image: sample_id for sample_id, image in self._digested(split)}

    def _refusal(self, split: str) -> str:
        try:
            self.samples(split)
        except ConformanceError as error:
            return str(error)
        return ""

    def _digested(self, split: str) -> list[tuple[str, str]]:
        key = f"digests of {split}"
        if key not in self._kept:
            count = len(self.samples(split))
            most = count if self.most is None else self.most
            self._kept[key] = [(sample.id, digest(sample, mask=False)) for _, sample in self.some(split, most=most)]
        return self._kept[key]  # type: ignore[no-any-return]


def spaced(count: int, most: int) -> list[int]:
    """Up to ``most`` evenly spaced indices below ``count``, both ends among them.

    >>> spaced(10, 4), spaced(2, 4)
    ([0, 3, 6, 9], [0, 1])
    """
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})


def digest(sample: Sample, *, mask: bool = True) -> str:
    """Hash of a sample's tensors: names, dtypes, shapes and values."""
    found = hashlib.sha256()
    tensors: dict[str, Tensor] = {**sample.inputs, **({"mask": sample.mask} if mask else {})}
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
