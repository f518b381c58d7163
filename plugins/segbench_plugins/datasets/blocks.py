"""Splits by place: georeferenced tiles in one square of the map go to one split together."""

from __future__ import annotations

import functools
import math
import warnings
from pathlib import Path

from segbench import ConfigError, DataError, OptionError, parse_choice

_FORM = "split_by=blocks[size=2000]: the side of a block in units of the map, metres for UTM and degrees for longitude and latitude"


def parse_blocks(text: str) -> float | None:
    """The side of a block, in units of the map; None where ``text`` is empty. Raises :class:`OptionError` with the form.

    >>> parse_blocks("blocks[size=500]")
    500.0
    """
    if not text.strip():
        return None
    try:
        choice = parse_choice(text)
    except ConfigError:
        raise OptionError(f"folder: split_by = '{text}' cannot be read. Write {_FORM}.") from None
    values = dict(choice.options)
    size = values.get("size")
    if choice.name != "blocks" or set(values) != {"size"} or isinstance(size, bool) or not isinstance(size, (int, float)) or size <= 0:
        raise OptionError(f"folder: split_by = '{text}' cannot be read. Write {_FORM}.")
    return float(size)


def block_of(path: Path, size: float) -> str:
    """The block of the map that the middle of a tile lies in. Raises :class:`DataError` for a file without place."""
    crs, x, y = _middle(path, path.stat().st_mtime_ns)
    return f"{crs} {math.floor(x / size)} {math.floor(y / size)}"


@functools.lru_cache(maxsize=100_000)
def _middle(path: Path, _written: int) -> tuple[str, float, float]:
    place = _place_of_tiff(path) if path.suffix.lower() in (".tif", ".tiff") else None
    if place is None:
        place = _place_by_rasterio(path)
    if place is None:
        raise DataError(
            f"{path} has no place on the map (no georeference), but split_by=blocks divides tiles by place. Use split or group."
        )
    return place


def _place_of_tiff(path: Path) -> tuple[str, float, float] | None:
    """Coordinate system and middle of a north-up GeoTIFF from its tags (GeoTIFF 1.1, OGC 19-008r4, 7.1 and annex B); None for any other."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            tags = picture.tag_v2
            scale, tie, keys = tags.get(33550), tags.get(33922), tags.get(34735)
            width, height = picture.size
    except Exception:  # what Pillow cannot read, rasterio may
        return None
    if not scale or not tie or len(tie) != 6 or not keys:
        return None
    named = {keys[at]: keys[at + 3] for at in range(4, len(keys) - 3, 4)}
    code = named.get(3072, named.get(2048))
    if code in (None, 32767):  # a coordinate system of its own
        return None
    return f"EPSG:{code}", tie[3] + (width / 2 - tie[0]) * scale[0], tie[4] - (height / 2 - tie[1]) * scale[1]


def _place_by_rasterio(path: Path) -> tuple[str, float, float] | None:
    try:
        import rasterio
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # that is what is asked for
            with rasterio.open(path) as file:
                if file.crs is None or file.transform.is_identity:
                    return None
                x, y = file.xy((file.height - 1) / 2, (file.width - 1) / 2)
                return file.crs.to_string(), float(x), float(y)
    except Exception as error:  # rasterio may pass on any error of GDAL
        raise DataError(f"cannot read {path}: {error}") from error
