"""Rasters by rasterio: GeoTIFF and what GDAL reads beside it, and 16-bit colour pictures."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segbench.data.reader.facts import Colour, FileFacts
from segbench.data.reader.georeference import Georeference, georeference_of
from segbench.data.reader.layers import Array, PictureLayer, gaps, upright, with_gaps, with_missing_share
from segbench.data.reader.pictures import check_pages, quietly, unreadable
from segbench.data.window import Window
from segbench.errors import DataError
from segbench.util.image_size import Size

_CACHE_MB = 64
_ORIENTATION_TAG = 274
_BIG_TIFF = 43
_IMAGEJ_IMAGES = re.compile(r"^ImageJ=.*?\bimages=(\d+)", re.DOTALL)
_CMYK = ("cyan", "magenta", "yellow", "black")


def has_rasterio() -> bool:
    """True where rasterio is installed, which reads GeoTIFF."""
    return importlib.util.find_spec("rasterio") is not None


@dataclass(frozen=True)
class RasterLayer:
    """A raster that is read window by window."""

    path: Path
    file: Any
    indexes: tuple[int, ...]
    georeference: Georeference
    facts: FileFacts
    raster: bool = True

    @property
    def bands(self) -> int:
        return len(self.indexes)

    @property
    def size(self) -> Size:
        return self.file.height, self.file.width

    @property
    def dtype(self) -> str:
        return self.facts.dtype

    def read(self, window: Window) -> Array:
        """Bands (C, h, w), NaN where a value is missing. Raises :class:`DataError` where the file cannot be decoded."""
        with _as_data_error(self.path):
            bands: Array = self.file.read(list(self.indexes), window=_slices(window))
            valid = self._valid(window, bands)
            if self.facts.inverted and bands.dtype.kind == "u":
                bands = np.iinfo(bands.dtype).max - bands
            return with_gaps(bands, valid)

    def missing(self, window: Window) -> Array | None:
        """True where no band has a value (h, w); None where the file can have no missing values."""
        if self._flags <= {"all_valid"} and np.dtype(self.dtype).kind != "f":
            return None
        empty = gaps(self.read(window))
        return np.zeros((window.height, window.width), np.bool_) if empty is None else empty

    def small(self, size: Size) -> Array:
        """All of it at a smaller size, nearest neighbour, without reading all of it where the file has overviews."""
        with _as_data_error(self.path):
            bands: Array = self.file.read(list(self.indexes), out_shape=(self.bands, *size))
        return bands

    @property
    def _flags(self) -> set[str]:
        return {flag.name for index in self.indexes for flag in self.file.mask_flag_enums[index - 1]}

    def _valid(self, window: Window, bands: Array) -> Array | None:
        """Validity (C, h, w), or (h, w) for pixels as a whole; None where the file marks no missing values.

        A declared nodata value marks each band by itself, except 0, which may be a dark value of one band: there a pixel is missing where
        all its bands are 0.
        """
        flags = self._flags
        if flags <= {"all_valid"}:
            return None
        nodata = [self.file.nodatavals[index - 1] for index in self.indexes]
        if flags <= {"all_valid", "nodata"}:  # half the time of reading masks
            each = (differs_from(band, value) for band, value in zip(bands, nodata, strict=True))
        else:
            each = iter(self.file.read_masks(list(self.indexes), window=_slices(window)) > 0)
        return _any_valid(each) if "nodata" in flags and all(value in (0, None) for value in nodata) else _all_valid(each)


def _any_valid(bands: Iterator[Array]) -> Array | None:
    """Pixels (H, W) at which some band is valid, None where that is all; of most files the first band tells."""
    valid = next(bands)
    for band in bands:
        if valid.all():
            return None
        valid |= band
    return None if valid.all() else valid


def _all_valid(bands: Iterator[Array]) -> Array | None:
    """Validity (C, H, W) of each band, None where all are valid."""
    each = list(bands)
    return None if all(band.all() for band in each) else np.stack(each)


@contextlib.contextmanager
def open_raster(source: Path | BinaryIO, path: Path) -> Iterator[Any]:
    """An open rasterio file."""
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB), contextlib.ExitStack() as stack:
        with _as_data_error(path), quietly(rasterio.errors.NotGeoreferencedWarning):
            if isinstance(source, Path):
                file = stack.enter_context(rasterio.open(source))
            else:
                file = stack.enter_context(stack.enter_context(rasterio.MemoryFile(source.read())).open())
        yield file


@contextlib.contextmanager
def image_layer(source: Path | BinaryIO, path: Path, *, bands: Sequence[int], pages: str | int) -> Iterator[RasterLayer | PictureLayer]:
    """An image as a layer: windows of the file, or all its pixels in memory where they have to be turned, unfolded or put together."""
    with open_raster(source, path) as file:
        orientation = _orientation(source, file)
        count = check_pages(_page_count(file), pages, path)
        facts = _facts(file, path, "image", orientation=orientation, pages=count)
        if count > 1 and pages != "refuse" and isinstance(source, Path):
            yield _page_layer(source, path, facts, pages)
            return
        layer = RasterLayer(path, file, _indexes(path, file, bands), facts.place or Georeference(), facts)
        unfolded = None if bands else _unfolded(layer)
        if unfolded is None and orientation == 1:
            yield layer
            return
        pixels = layer.read(Window(0, 0, *layer.size)) if unfolded is None else unfolded
        yield _in_memory(path, np.ascontiguousarray(upright(pixels, orientation)), facts, layer.georeference)


def differs_from(band: Array, nodata: float | None) -> Array:
    """True where a band (H, W) does not hold the declared nodata value."""
    if nodata is None or (band.dtype.kind != "f" and not float(nodata).is_integer()):
        return np.ones(band.shape, np.bool_)
    if np.isnan(nodata):
        return np.asarray(~np.isnan(band))
    limits = np.iinfo(band.dtype) if band.dtype.kind != "f" else None
    if limits is not None and not limits.min <= nodata <= limits.max:
        return np.ones(band.shape, np.bool_)
    return np.asarray(band != band.dtype.type(nodata))


def decode_raster_mask(source: Path | BinaryIO, path: Path, *, pages: str | int) -> tuple[Array, Array | None, FileFacts]:
    """A mask as stored: values (H, W) or, of three bands of 8 bits, colours (H, W, 3); validity (H, W) or None; and the file's facts."""
    with open_raster(source, path) as first, contextlib.ExitStack() as stack:
        count = check_pages(_page_count(first), pages, path)
        file = first
        if isinstance(pages, int) and pages and isinstance(source, Path):
            file = stack.enter_context(open_raster(_page(source, pages), path))
        facts = _facts(file, path, "mask", orientation=_orientation(source, file), pages=count)
        indexes = [index for index in file.indexes if file.colorinterp[index - 1].name != "alpha"] or list(file.indexes)
        if len(indexes) not in (1, 3):
            raise DataError(
                f"{path} has {len(indexes)} bands, but a mask holds one class id per pixel. Save one band with the ids "
                "(of one band per class: the index of the largest)."
            )
        with _as_data_error(path):
            values: Array = file.read(indexes)
            flags = {flag.name for index in indexes for flag in file.mask_flag_enums[index - 1]}
            valid = None if flags <= {"all_valid"} else np.asarray((file.read_masks(indexes) > 0).any(axis=0))
        return (values[0] if len(indexes) == 1 else values.transpose(1, 2, 0)), valid, facts


def _facts(file: Any, path: Path, role: Any, *, orientation: int, pages: int) -> FileFacts:
    place = georeference_of(file)
    names = [interpretation.name for interpretation in file.colorinterp]
    nodata = next((value for value in file.nodatavals if value is not None), None)
    kind = "palette" if names == ["palette"] else "CMYK" if tuple(names[:4]) == _CMYK else "raster"
    return FileFacts(
        path=path,
        role=role,
        reader="rasterio",
        dtype=str(np.result_type(*file.dtypes)),
        bands=file.count,
        size=(file.height, file.width),
        orientation=orientation,
        pages=pages,
        palette=_palette(file) if kind == "palette" else None,
        nodata=nodata,
        alpha="alpha" in names,
        inverted=kind == "raster" and file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        kind=kind,
        place=place if place.is_known else None,
    )


def _palette(file: Any) -> tuple[tuple[int, Colour], ...]:
    """Colours of a palette, without the black that fills what is not used at its end."""
    entries = [(int(index), (int(c[0]), int(c[1]), int(c[2]))) for index, c in sorted(file.colormap(1).items())]
    while len(entries) > 1 and entries[-1][1] == (0, 0, 0):
        entries.pop()
    return tuple(entries)


def _unfolded(layer: RasterLayer) -> Array | None:
    """Pixels (3, H, W) of a palette or of CMYK; None where the bands are the image's own."""
    if layer.facts.kind not in ("palette", "CMYK"):
        return None
    window = Window(0, 0, *layer.size)
    if layer.facts.kind == "CMYK":
        stored = np.asarray(layer.file.read([1, 2, 3, 4]))
        inks = stored.transpose(1, 2, 0)
        picture = Image.frombytes("CMYK", (inks.shape[1], inks.shape[0]), np.ascontiguousarray(inks).tobytes())
        unfolded: Array = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
        return unfolded
    table = np.zeros((256 if layer.dtype == "uint8" else 65536, 3), np.uint8)
    for index, colour in layer.file.colormap(1).items():
        table[index] = colour[:3]
    with _as_data_error(layer.path):
        indexes = layer.file.read(1, window=_slices(window))
        valid = None if layer._flags <= {"all_valid"} else np.asarray(layer.file.read_masks(1) > 0)
    return with_gaps(table[indexes].transpose(2, 0, 1), valid)


def _page(source: Path, number: int) -> Any:
    return Path(f"GTIFF_DIR:{number + 1}:{source}")


def _page_layer(source: Path, path: Path, facts: FileFacts, pages: str | int) -> PictureLayer:
    """The pages of a TIFF as bands, or one of them."""
    parts = []
    for number in range(facts.pages) if pages == "bands" else (int(pages),):
        with open_raster(_page(source, number), path) as file:
            layer = RasterLayer(path, file, tuple(file.indexes), Georeference(), facts)
            parts.append(layer.read(Window(0, 0, *layer.size)))
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = ", ".join(dict.fromkeys(f"{part.shape[1]}x{part.shape[2]}" for part in parts))
        raise DataError(f"{path}: its pages have different sizes ({sizes}) and cannot be the bands of one image. Save each as a file.")
    pixels = np.concatenate(parts).astype(np.result_type(*parts))
    return _in_memory(path, np.ascontiguousarray(upright(pixels, facts.orientation)), facts, Georeference())


def _in_memory(path: Path, pixels: Array, facts: FileFacts, place: Georeference) -> PictureLayer:
    keeps_place = place.is_known and facts.orientation == 1
    size = (pixels.shape[1], pixels.shape[2])
    facts = with_missing_share(replace(facts, size=size), gaps(pixels))
    return PictureLayer(path, pixels, facts, raster=keeps_place, georeference=place if keeps_place else Georeference())


def _page_count(file: Any) -> int:
    if len(file.subdatasets) > 1 and file.subdatasets[0].startswith("GTIFF_DIR:"):
        return len(file.subdatasets)
    stack = _IMAGEJ_IMAGES.search(file.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""))
    return int(stack.group(1)) if stack else 1


def _orientation(source: Path | BinaryIO, file: Any) -> int:
    """The EXIF orientation of a raster without georeference: GDAL does not apply it, and does not tell it of TIFFs."""
    if file.crs is not None or not file.transform.is_identity:
        return 1
    tag: Any = file.tags().get("EXIF_Orientation", 1)
    if file.driver == "GTiff" and isinstance(source, Path):
        with contextlib.suppress(Exception), source.open("rb") as stream:  # a TIFF whose tags Pillow cannot read
            tag = _first_directory(stream).get(_ORIENTATION_TAG, 1)
    return int(tag) if str(tag).isdigit() and int(tag) in range(1, 9) else 1


def _first_directory(stream: BinaryIO) -> Any:
    """The tags of a TIFF's first page."""
    header = stream.read(8)
    directory = ImageFileDirectory_v2(header + (stream.read(8) if header[2] == _BIG_TIFF else b""))
    stream.seek(directory.next)
    directory.load(stream)
    return directory


def _indexes(path: Path, file: Any, chosen: Sequence[int]) -> tuple[int, ...]:
    if chosen:
        if min(chosen) < 1 or max(chosen) > file.count:
            raise DataError(f"{path.name} has the bands 1 to {file.count}, but --bands asks for {','.join(map(str, chosen))}.")
        return tuple(chosen)
    return tuple(index for index in file.indexes if file.colorinterp[index - 1].name != "alpha") or tuple(file.indexes)


@contextlib.contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # rasterio may pass on any error of GDAL
        raise unreadable(path, error) from None


def _slices(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.top, window.top + window.height), (window.left, window.left + window.width)
