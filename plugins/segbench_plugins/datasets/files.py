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
from PIL import Image

from segbench import DataError, Normalisation, Problem, Sample, counted

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


def read_image(path: Source, *, channels: int, page: int = 0, name: Path | None = None) -> Array:
    """Pixels (C, H, W) of a picture, uint8 or uint16; a grey one is repeated where three channels are expected."""
    try:
        with Image.open(path) as picture:
            picture.seek(page)
            sixteen_bit = picture.mode.startswith("I")
            stored_channels = 1 if sixteen_bit else len({"P": "RGB", "1": "L"}.get(picture.mode, picture.mode).replace("A", ""))
            if stored_channels not in (1, 3) or (channels == 1 and stored_channels == 3) or channels not in (1, 3):
                raise DataError(f"{path} has {counted(stored_channels, 'channel')} ({picture.mode}), but {channels} are declared.")
            plain = picture if sixteen_bit else picture.convert("RGB" if stored_channels == 3 else "L")
            pixels = np.asarray(plain, np.uint16 if sixteen_bit else np.uint8)
    except DataError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and struct.error for damaged files
        raise unreadable(name or path, error) from error
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.repeat(pixels, 3, axis=0) if len(pixels) == 1 and channels == 3 else pixels


def read_mask(path: Source) -> Array:
    """Class ids (H, W) of a mask as stored: a paletted file gives its indices; colour pictures are refused."""
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "P", "1", "I", "I;16"):
                raise DataError(
                    f"{path} is a picture in colours ({picture.mode}), but a mask holds one class id per pixel (a single channel, or a "
                    "palette). Convert its colours to ids first."
                )
            return np.asarray(picture).astype(np.uint8) if picture.mode == "1" else np.asarray(picture)
    except DataError:
        raise
    except Exception as error:  # as above
        raise unreadable(path, error) from error


def read_raster(path: Path) -> Array:
    """Bands (C, H, W) of a GeoTIFF in their stored dtype."""
    try:
        import rasterio
    except ImportError:
        raise DataError(f"{path}: {RASTERIO_HINT}") from None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # its position on earth is not needed
            with rasterio.open(path) as file:
                bands: Array = file.read()
                return bands
    except Exception as error:  # rasterio may pass on any error of GDAL
        raise unreadable(path, error) from error


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


def count_pages(path: Path) -> int:
    """Pages of a TIFF stack."""
    try:
        with Image.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except Exception as error:  # as above
        raise unreadable(path, error) from error


def unreadable(path: Source, error: Exception) -> DataError:
    """The error for a file that exists but cannot be decoded."""
    return DataError(f"cannot read {path}: {error or type(error).__name__}. Is it complete? Copy or download it again.")


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
