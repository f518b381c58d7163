"""Common parts of the datasets on disk: sequences of samples, image and mask files, and messages about missing files.

torch is imported where a tensor is made and nowhere else, so that a catalogue, a plan or a check of the layout does not wait for it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt

from segbench import DataError, Normalisation, Problem, Sample

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Source = Path | BinaryIO

IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=1 / 255)
"""Mean and deviation of ImageNet's photographs, which most pretrained encoders expect."""

RASTERIO_HINT = "reading GeoTIFF needs rasterio: pip install 'segbench[geo]'"


class Samples(Sequence[Sample]):
    """Samples that are made on access. Subclasses have ``ids`` and ``read``."""

    ids: tuple[str, ...]

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample at ``index``, which is in range."""

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self.read(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.read(index % len(self))


def tensor(array: Array) -> Tensor:
    """A tensor over the same memory where that is contiguous and may be written to, else over a copy."""
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def read_matlab(path: Path, *names: str) -> Array:
    """The array under ``names`` (a variable, then fields of it) of a MATLAB file; raises :class:`DataError` where it has none."""
    from scipy.io import loadmat

    try:
        value: Any = loadmat(path, simplify_cells=True)
        for name in names:
            value = value[name]
        return np.asarray(value, np.int64)
    except Exception as error:  # scipy raises many kinds for damaged files
        raise DataError(f"cannot read {'.'.join(names)} of {path}: {error or type(error).__name__}. Is it the official file?") from error


def find_root(root: Path, candidates: Iterable[str], needs: str, what: str) -> Path:
    """The first of ``root / candidate`` that contains ``needs``; raises :class:`DataError` with the layout that is expected."""
    for candidate in candidates:
        if (root / candidate / needs).exists():
            return root / candidate
    if not root.is_dir():
        raise DataError(f"the data folder {root} is not there. {what}")
    raise DataError(f"{root} does not look right: there is no {needs} in it. {what}")


def require(files: Iterable[Path], *, split: str, listed: str) -> None:
    """Raise :class:`DataError` where listed files are not on disk."""
    problem = missing(files, split=split, listed=listed)
    if problem:
        raise DataError(problem.message)


def missing(files: Iterable[Path], *, split: str, listed: str) -> Problem | None:
    """The problem of files that ``listed`` names but that do not exist; None where there are none."""
    names = [str(path) for path in files if not path.is_file()]
    if not names:
        return None
    return Problem(
        f"split '{split}': {some(names)} not there, but listed in {listed}. "
        "Copy them, shorten the list, or take what is there: partial=true.",
        where=split,
    )


def some(names: Sequence[str], limit: int = 3) -> str:
    """Names in a sentence, with the count of those left out.

    >>> some(["a"]), some(["a", "b", "c", "d", "e"])
    ('a is', 'a, b, c and 2 more are')
    """
    text = ", ".join(names[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{text}{more} {'is' if len(names) == 1 else 'are'}"
