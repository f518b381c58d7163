"""Image files as arrays that are read window by window: pictures by Pillow, GeoTIFF and other rasters by rasterio."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from segbench.data.samples import STORED_DTYPES
from segbench.data.tiling import Window
from segbench.errors import DataError
from segbench.util.image_size import Size
from segbench.util.sequences import first_line

Array = npt.NDArray[Any]

RASTERS = frozenset((".tif", ".tiff", ".vrt", ".jp2", ".img"))
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".gif"))
RASTERIO_HINT = "pip install 'segbench[geo]'"
_STORED_DTYPES = tuple(str(dtype).removeprefix("torch.") for dtype in STORED_DTYPES)
_CACHE_MB = 64


@dataclass(frozen=True)
class Georeference:
    """The position of a raster on earth, copied to the mask, and the area of a pixel where its coordinates are lengths."""

    crs: Any = None
    transform: Any = None
    gcps: tuple[Any, ...] = ()
    gcps_crs: Any = None
    rpcs: Any = None
    pixel_m2: float | None = None

    @property
    def is_known(self) -> bool:
        return self.crs is not None or self.transform is not None or bool(self.gcps) or self.rpcs is not None

    def agrees(self, other: Georeference) -> bool:
        """True where two rasters of one size cover the same ground to a tenth of a pixel, or where one has no transform."""
        if self.transform is None or other.transform is None:
            return True
        if self.crs is not None and other.crs is not None and self.crs != other.crs:
            return False
        tolerance = 0.1 * max(abs(self.transform.a), abs(self.transform.e), abs(self.transform.b), abs(self.transform.d))
        return all(abs(a - b) <= tolerance for a, b in zip(self.transform[:6], other.transform[:6], strict=True))


class Layer(Protocol):
    """An open image: bands (C, h, w) of any window in their stored dtype."""

    @property
    def path(self) -> Path: ...
    @property
    def bands(self) -> int: ...
    @property
    def size(self) -> Size: ...
    @property
    def dtype(self) -> str: ...
    @property
    def raster(self) -> bool: ...
    @property
    def georeference(self) -> Georeference: ...

    def read(self, window: Window) -> Array: ...

    def missing(self, window: Window) -> Array | None: ...

    def small(self, size: Size) -> Array: ...


@dataclass(frozen=True)
class PictureLayer:
    """A picture that lies in memory as pixels (C, H, W)."""

    path: Path
    pixels: Array
    raster: bool = False
    georeference: Georeference = field(default_factory=Georeference)

    @property
    def bands(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> Size:
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def dtype(self) -> str:
        return str(self.pixels.dtype)

    def read(self, window: Window) -> Array:
        """Bands (C, h, w)."""
        return self.pixels[:, window.top : window.top + window.height, window.left : window.left + window.width]

    def missing(self, window: Window) -> Array | None:
        """A picture has no gaps."""
        return None

    def small(self, size: Size) -> Array:
        """All of it at another size, nearest neighbour."""
        return nearest(self.pixels, size)


@dataclass(frozen=True)
class RasterLayer:
    """A raster that is read window by window."""

    path: Path
    file: Any
    indexes: tuple[int, ...]
    georeference: Georeference
    raster: bool = True

    @property
    def bands(self) -> int:
        return len(self.indexes)

    @property
    def size(self) -> Size:
        return self.file.height, self.file.width

    @property
    def dtype(self) -> str:
        return str(np.result_type(*(self.file.dtypes[index - 1] for index in self.indexes)))

    def read(self, window: Window) -> Array:
        """Bands (C, h, w); in floats a missing value is NaN. Raises :class:`DataError` where the file cannot be decoded."""
        with _as_data_error(self.path):
            bands: Array = self.file.read(list(self.indexes), window=_slices(window))
            if bands.dtype.kind == "f" and any(self.file.nodatavals[index - 1] is not None for index in self.indexes):
                bands = np.where(self._valid(window), bands, np.asarray(np.nan, bands.dtype))
        return bands

    def missing(self, window: Window) -> Array | None:
        """True where no band has a value (h, w); None where the file marks no missing values."""
        flags = {flag.name for index in self.indexes for flag in self.file.mask_flag_enums[index - 1]}
        if flags <= {"all_valid"}:
            return None
        with _as_data_error(self.path):
            return np.asarray(~self._valid(window).any(axis=0))

    def small(self, size: Size) -> Array:
        """All of it at a smaller size, nearest neighbour, without reading all of it where the file has overviews."""
        with _as_data_error(self.path):
            bands: Array = self.file.read(list(self.indexes), out_shape=(self.bands, *size))
        return bands

    def _valid(self, window: Window) -> Array:
        return np.asarray(self.file.read_masks(list(self.indexes), window=_slices(window)) > 0)


@contextlib.contextmanager
def open_layer(path: Path, *, channels: int, bands: Sequence[int] = ()) -> Iterator[Layer]:
    """Open an image for a network that takes ``channels`` channels; ``bands`` chooses some of a raster's, counted from 1.

    Raises :class:`DataError` for a file that cannot be read or does not fit.
    """
    if path.suffix.lower() in RASTERS and has_rasterio():
        with _open_raster(path) as file:
            yield RasterLayer(path, file, _indexes(path, file, bands), _georeference(file))
        return
    if bands:
        raise DataError(f"{path.name}: bands are chosen from rasters (GeoTIFF), which are read by rasterio: {RASTERIO_HINT}")
    yield PictureLayer(path, _read_picture(path, channels))


def has_rasterio() -> bool:
    """True where rasterio is installed, which reads GeoTIFF."""
    return importlib.util.find_spec("rasterio") is not None


def to_stored_dtype(bands: Array) -> Array:
    """Bands in a dtype that datasets store: doubles and wide integers become float32."""
    return bands if str(bands.dtype) in _STORED_DTYPES else bands.astype(np.float32)


def nearest(values: Array, size: Size) -> Array:
    """Values (.., H, W) at another size, nearest neighbour."""
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    chosen: Array = values[..., rows[:, None], columns]
    return chosen


@contextlib.contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # rasterio may pass on any error of GDAL
        text = first_line(error)
        raise DataError(f"cannot read {path.name}: {text}. Is it complete? Copy or download it again.") from None


@contextlib.contextmanager
def _open_raster(path: Path) -> Iterator[Any]:
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            with _as_data_error(path):
                file = rasterio.open(path)
            with file:
                yield file


def _indexes(path: Path, file: Any, chosen: Sequence[int]) -> tuple[int, ...]:
    if chosen:
        if min(chosen) < 1 or max(chosen) > file.count:
            raise DataError(f"{path.name} has the bands 1 to {file.count}, but --bands asks for {','.join(map(str, chosen))}.")
        return tuple(chosen)
    return tuple(index for index in file.indexes if file.colorinterp[index - 1].name != "alpha") or tuple(file.indexes)


def _georeference(file: Any) -> Georeference:
    gcps, gcps_crs = file.gcps
    placed = not file.transform.is_identity
    area = None
    if placed and file.crs is not None and file.crs.is_projected:
        metres = file.crs.linear_units_factor[1]
        area = abs(file.transform.determinant) * metres * metres
    return Georeference(file.crs, file.transform if placed else None, tuple(gcps), gcps_crs, file.rpcs, area)


def _read_picture(path: Path, channels: int) -> Array:
    """Pixels (C, H, W): one channel where one is wanted or a file has 16 bits, else three."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                wide = picture.mode.startswith("I") or picture.mode == "F"
                grey = wide or picture.mode in ("1", "L", "LA", "La")
                if channels == 1 and not grey:
                    raise DataError(f"{path.name} is in colours ({picture.mode}), but the network takes one channel.")
                plain = picture if wide else picture.convert("L" if grey else "RGB")
                pixels = np.asarray(plain, (np.float32 if picture.mode == "F" else np.uint16) if wide else np.uint8)
        except DataError:
            raise
        except Image.DecompressionBombError:
            raise DataError(f"{path.name} is too large for a picture that is read as a whole. Convert it to GeoTIFF.") from None
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and struct.error for damaged files
            hint = f" Reading all kinds of TIFF needs rasterio: {RASTERIO_HINT}" if path.suffix.lower() in RASTERS else ""
            text = first_line(error).replace(str(path), path.name)
            raise DataError(f"cannot read {path.name}: {text}.{hint}") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _slices(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.top, window.top + window.height), (window.left, window.left + window.width)
