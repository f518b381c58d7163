"""read_image(), read_mask(), open_image(): the ways into the one reader, for datasets, checks, previews and predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL.Image import Image

from segbench.data.reader.arrays import as_bands, as_labels, read_array
from segbench.data.reader.facts import READER_VERSION, Colour, FileFacts, facts_are_collected, note
from segbench.data.reader.layers import (
    Array,
    Layer,
    PictureLayer,
    gaps,
    to_stored_dtype,
    whole,
    with_missing_share,
)
from segbench.data.reader.pictures import RASTERIO_HINT, decode_image, decode_mask, needs_rasterio, open_picture
from segbench.data.reader.rasters import decode_raster_mask, has_rasterio, image_layer
from segbench.errors import DataError
from segbench.util.sequences import counted

RASTERS = frozenset((".tif", ".tiff", ".vrt", ".jp2", ".img"))
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".tga"))
ARRAYS = frozenset((".npy", ".npz"))
IMAGE_SUFFIXES = PICTURES | RASTERS | ARRAYS
"""Endings of the files that the reader reads, in lower case."""

MISSING = np.iinfo(np.int64).min
"""The value of mask pixels that hold no number at all: NaN, or transparent."""

_MOST_NAMED = 6
_LARGEST_ID = 2**53
"""Above it doubles are no longer every whole number."""

Source = str | Path | BinaryIO


class ColouredMaskError(DataError):
    """A mask is in colours, and no table of them was given; ``colours`` names the commonest with their pixels."""

    def __init__(self, path: Path, colours: str) -> None:
        super().__init__(
            f"{path} is in colours ({colours}), but a mask holds one class id per pixel. Name the class of each colour: "
            'folder[colours="background:0 0 0,disk:128 0 0"], or a file such as class_dict.csv or labelmap.txt.'
        )
        self.colours = colours


@dataclass(frozen=True)
class ImageFile:
    """An image that has been read.

    pixels  (C, H, W) uint8, int16, uint16 or float32; NaN where a value is missing (integers with missing values become float32)
    valid   (H, W) bool, False where no band has a value; None where every pixel has one
    facts   what was noticed of the file
    """

    pixels: Array
    valid: Array | None
    facts: FileFacts


@dataclass(frozen=True)
class MaskFile:
    """A mask that has been read.

    values  (H, W) int64 as stored; :data:`MISSING` where a float mask is NaN or the file is transparent
    valid   (H, W) bool, False where the file marks that nothing is known (nodata, NaN, alpha 0); None where all is
    facts   what was noticed of the file
    """

    values: Array
    valid: Array | None
    facts: FileFacts

    def labels(self, ignore_index: int, *, keep: Collection[int] = ()) -> Array:
        """Labels (H, W) int64 with ``ignore_index`` where the file marks no data.

        ``keep`` names declared nodata values that are labels nevertheless: many tools write ``nodata=0`` into masks whose 0 is a class.
        """
        if self.valid is None:
            return self.values
        unknown = ~self.valid
        if keep:
            unknown &= ~np.isin(self.values, list(keep))
        result: Array = np.where(unknown | (self.values == MISSING), np.int64(ignore_index), self.values)
        return result


def reader_identity() -> str:
    """A text that differs where files may be read otherwise: the reader's version, and whether rasterio is there."""
    return f"reader {READER_VERSION}{' with rasterio' if has_rasterio() else ''}"


def read_image(
    source: Source, *, channels: int | None = None, bands: Sequence[int] = (), pages: str | int = "refuse", name: str | None = None
) -> ImageFile:
    """All of an image.

    The orientation tag is applied, alpha is taken as validity and dropped, palettes and CMYK become RGB, a single channel is repeated where
    ``channels`` is 3, and three equal channels are one where it is 1. ``bands`` chooses those of a raster, counted from 1; ``pages`` is
    "refuse", "bands" (each page is a band) or the number of a page, from 0; ``name`` stands in messages, and tells by its ending
    what an open binary file is.
    Raises :class:`~segbench.errors.DataError` with the file's name where it cannot be read, or does not have the declared channels.
    """
    with open_image(source, channels=channels, bands=bands, pages=pages, name=name) as layer:
        pixels = fit_channels(to_stored_dtype(layer.read(whole(layer))), channels, layer.path)
        empty = gaps(pixels)
        facts = with_missing_share(layer.facts, empty)
    note(facts)
    return ImageFile(pixels, None if empty is None else ~empty, facts)


@contextlib.contextmanager
def open_image(
    source: Source, *, channels: int | None = None, bands: Sequence[int] = (), pages: str | int = "refuse", name: str | None = None
) -> Iterator[Layer]:
    """An image that is read window by window, as :func:`read_image` reads all of it; its bands are as stored."""
    path, opened = _opened(source, name)
    if path.suffix.lower() in ARRAYS:
        yield _array_layer(opened, path, channels)
        return
    if path.suffix.lower() in RASTERS and has_rasterio():
        with image_layer(opened, path, bands=bands, pages=pages) as layer:
            yield layer
        return
    if bands:
        raise DataError(f"{path.name}: bands are chosen from rasters (GeoTIFF), which are read by rasterio: {RASTERIO_HINT}")
    with _picture(opened, path) as picture:
        reason = needs_rasterio(picture)
        decoded = None if reason else decode_image(picture, path, pages=pages)
    if decoded is not None:
        equal = channels == 1 and decoded.bands == 3 and _one_channel(decoded.pixels.transpose(1, 2, 0)).ndim == 2
        yield replace(decoded, pixels=decoded.pixels[:1]) if equal else decoded
        return
    _require_rasterio(path, reason)
    with image_layer(_rewound(opened), path, bands=bands, pages=pages) as layer:
        yield layer


def read_mask(
    source: Source, *, colours: Mapping[Colour, int] | None = None, pages: str | int = "refuse", name: str | None = None
) -> MaskFile:
    """All of a mask, as stored: a palette gives its indices, three equal channels are one, an orientation tag is never applied.

    With ``colours`` (red, green, blue -> value) a picture or palette of these colours gives their values.
    Raises :class:`~segbench.errors.DataError` with the file's name where it cannot be read, is in colours without ``colours``, has colours
    that ``colours`` lacks, or holds values that are no whole numbers.
    """
    path, opened = _opened(source, name)
    stored, valid, facts = _stored_mask(opened, path, pages, palette=colours is not None or facts_are_collected())
    if stored.ndim == 3:
        stored = _one_channel(stored) if colours is None else stored
    if colours is not None:
        values, valid = _values_of_colours(stored, valid, colours, facts)
    elif stored.ndim == 3:
        raise ColouredMaskError(path, _colours_text(stored))
    else:
        values, valid = _whole_numbers(stored, valid, path)
    if valid is not None and valid.all():
        valid = None
    facts = with_missing_share(facts, None if valid is None else ~valid)
    if facts_are_collected():  # counting the colours that are used takes longer than reading the mask
        note(replace(facts, palette=None if colours is not None else _used(facts, values)))
    if valid is not None and facts.nodata is None:
        values = np.where(valid, values, MISSING)
    return MaskFile(values, valid, facts)


def fit_channels(pixels: Array, channels: int | None, path: Path) -> Array:
    """Pixels (C, H, W) with the declared channels; raises :class:`DataError` where they do not have them."""
    if channels is None or len(pixels) == channels:
        return pixels
    if len(pixels) == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=0)
    if channels == 1 and len(pixels) == 3 and _one_channel(pixels.transpose(1, 2, 0)).ndim == 2:
        return pixels[:1]
    raise DataError(
        f"{path} has {counted(len(pixels), 'channel')}, but {channels} are declared. Declare what the file has (bands=({len(pixels)}) "
        "for a folder), or convert the file."
    )


def _opened(source: Source, name: str | None) -> tuple[Path, Path | BinaryIO]:
    if isinstance(source, Path) and name is None:
        return source, source
    if isinstance(source, str | Path):
        return Path(name or source), Path(source)
    return Path(name or getattr(source, "name", "") or "image"), source


def _rewound(source: Path | BinaryIO) -> Path | BinaryIO:
    if not isinstance(source, Path):
        source.seek(0)
    return source


@contextlib.contextmanager
def _picture(source: Path | BinaryIO, path: Path) -> Iterator[Image]:
    """A picture open in Pillow; the error for a raster that it cannot read names the library that can."""
    try:
        with open_picture(source, path) as picture:
            yield picture
    except DataError as error:
        if path.suffix.lower() not in RASTERS or RASTERIO_HINT in str(error):
            raise
        raise DataError(f"{error} Rasters of all kinds are read by rasterio: {RASTERIO_HINT}") from None


def _require_rasterio(path: Path, reason: str) -> None:
    if not has_rasterio():
        raise DataError(f"{path} is {reason}, which is read by rasterio: {RASTERIO_HINT}")


def _array_layer(source: Path | BinaryIO, path: Path, channels: int | None) -> PictureLayer:
    array = read_array(source, path, "image")
    pixels = to_stored_dtype(as_bands(array, path, channels))
    facts = FileFacts(path, "image", "numpy", str(array.dtype), len(pixels), (pixels.shape[1], pixels.shape[2]), kind="array")
    return PictureLayer(path, pixels, with_missing_share(facts, gaps(pixels)))


def _stored_mask(source: Path | BinaryIO, path: Path, pages: str | int, *, palette: bool) -> tuple[Array, Array | None, FileFacts]:
    if path.suffix.lower() in ARRAYS:
        array = read_array(source, path, "mask")
        values = as_labels(array, path)
        size = (values.shape[0], values.shape[1])
        return values, None, FileFacts(path, "mask", "numpy", str(array.dtype), 1 if values.ndim == 2 else 3, size, kind="array")
    if path.suffix.lower() in RASTERS and has_rasterio():
        return decode_raster_mask(source, path, pages=pages)
    with _picture(source, path) as picture:
        reason = needs_rasterio(picture)
        if not reason:
            return decode_mask(picture, path, pages=pages, palette=palette)
    _require_rasterio(path, reason)
    return decode_raster_mask(_rewound(source), path, pages=pages)


def _used(facts: FileFacts, values: Array) -> tuple[tuple[int, Colour], ...] | None:
    """The palette's entries that pixels use; None for a mask that has none, or whose colours were read as labels."""
    if facts.palette is None:
        return None
    used = set(np.flatnonzero(np.bincount(values.ravel())).tolist())
    return tuple((index, colour) for index, colour in facts.palette if index in used)


def _one_channel(colours: Array) -> Array:
    """Three equal channels (H, W, 3) as one (H, W); others as they are."""
    first = colours[..., 0]
    return first if (first == colours[..., 1]).all() and (first == colours[..., 2]).all() else colours


def _coloured(stored: Array, facts: FileFacts) -> Array:
    """A mask's colours (H, W, 3): those of its palette where it has one, grey otherwise."""
    if stored.ndim == 3:
        return stored
    if facts.palette is None:
        return np.repeat(stored[..., None], 3, axis=2)
    table = np.zeros((max(*(index for index, _ in facts.palette), int(stored.max())) + 1, 3), np.uint8)
    for index, colour in facts.palette:
        table[index] = colour
    coloured: Array = table[stored]
    return coloured


def _packed(colours: Array) -> Array:
    """One number (H, W) int64 per colour of (H, W, 3), of up to 16 bits per channel."""
    wide = colours.astype(np.int64)
    packed: Array = wide[..., 0] << 32 | wide[..., 1] << 16 | wide[..., 2]
    return packed


def _values_of_colours(stored: Array, valid: Array | None, table: Mapping[Colour, int], facts: FileFacts) -> tuple[Array, Array | None]:
    """The value of each colour by a table, and validity: a declared nodata whose colour is in the table is a label."""
    coloured, valid = _eight_bits(_coloured(stored, facts), valid, facts.path)
    packed = _packed(coloured)
    keys = _packed(np.array(list(table), np.int64))
    order = np.argsort(keys)
    sorted_keys, values = keys[order], np.array(list(table.values()), np.int64)[order]
    position = np.searchsorted(sorted_keys, packed).clip(max=len(keys) - 1)
    known = sorted_keys[position] == packed
    if valid is not None and facts.nodata is not None and not facts.alpha:
        listed = np.isin(stored, [index for index, _ in facts.palette]) if facts.palette is not None else True
        valid = valid | known & listed
    unknown = ~known if valid is None else ~known & valid
    if unknown.any():
        named = _colours_text(coloured[unknown][:, None])
        raise DataError(
            f"{facts.path} has colours that the table of colours lacks: {named}. Add them with their class (or with 'ignore'); many "
            "colours at the borders of objects come from smoothing or from JPEG: export the mask again as PNG without either."
        )
    return values[position], valid


def _eight_bits(coloured: Array, valid: Array | None, path: Path) -> tuple[Array, Array | None]:
    """Colours (H, W, 3) of 0 to 255, from 16 bits too where each is a colour of 8 bits spread out; what is no number is not valid."""
    if coloured.dtype == np.uint8:
        return coloured, valid
    known: Array = np.asarray(np.isfinite(coloured).all(axis=2))
    if valid is not None:
        known &= valid
    colours = np.where(known[..., None], coloured, 0)
    spread = bool(colours.max(initial=0) > 255 and (colours % 257 == 0).all())
    if spread:
        colours = colours // 257
    if colours.min(initial=0) < 0 or colours.max(initial=0) > 255 or (colours != np.rint(colours)).any():
        raise DataError(
            f"{path} has colours from {colours.min():.6g} to {colours.max():.6g} ({coloured.dtype}); a table of colours holds whole "
            "numbers from 0 to 255. Export the mask again with 8 bits per channel, without resampling."
        )
    return colours.astype(np.uint8), None if known.all() else known


def _colours_text(coloured: Array) -> str:
    """The commonest colours of (H, W, 3) with their pixel counts."""
    found, counts = np.unique(_packed(coloured), return_counts=True)
    order = np.argsort(-counts)
    texts = [
        f"{c >> 32} {c >> 16 & 65535} {c & 65535} ({counted(int(n), 'pixel')})" for c, n in zip(found[order], counts[order], strict=True)
    ]
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else "")


def _whole_numbers(stored: Array, valid: Array | None, path: Path) -> tuple[Array, Array | None]:
    """A mask's values as int64; NaN becomes invalid. Raises :class:`DataError` for values that are no whole numbers."""
    if stored.dtype == np.uint64:
        _refuse_large(stored, valid, path)
    if stored.dtype.kind != "f":
        return stored.astype(np.int64), valid
    known = np.isfinite(stored)
    if valid is not None:
        known &= valid
    _refuse_large(stored, known, path)
    broken = known & (stored != np.rint(stored))
    if broken.any():
        examples = ", ".join(f"{value:.6g}" for value in np.unique(stored[broken])[:_MOST_NAMED])
        raise DataError(
            f"{path} holds labels that are no whole numbers ({examples}; {counted(int(broken.sum()), 'pixel')}). Labels are class ids: "
            "resample masks by nearest neighbour, and cut probabilities at a threshold before they are saved."
        )
    return np.where(known, stored, 0).astype(np.int64), None if known.all() else known


def _refuse_large(stored: Array, valid: Array | None, path: Path) -> None:
    """Raise :class:`DataError` for numbers that no id reaches, such as the lowest of 32 bits, which GIS tools write for "no data"."""
    large = np.greater(np.abs(stored), _LARGEST_ID) if stored.dtype.kind == "f" else stored > _LARGEST_ID
    if valid is not None:
        large = large & valid
    if large.any():
        value = stored[large][0]
        pixels = counted(int((stored == value).sum()), "pixel")
        raise DataError(
            f"{path} holds the value {_exact(value)} in {pixels}, which is no class id. If it marks pixels without a label, declare it as "
            f"the raster's nodata (gdal_edit.py -a_nodata {_exact(value)} FILE), or write the ignore value there."
        )


def _exact(value: np.generic) -> str:
    """A number with all its digits."""
    return str(int(value)) if value.dtype.kind in "iu" else f"{float(value):.17g}"
