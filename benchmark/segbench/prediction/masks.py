"""Masks on disk: class ids in the dataset's colours, as PNG with a palette, or as GeoTIFF with the georeference of its image."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from segbench.data.reader.georeference import Georeference
from segbench.data.reader.layers import nearest
from segbench.data.visualization import IGNORED, palette_of
from segbench.data.window import Window
from segbench.plugin.specs import Task
from segbench.util.files import explained, replacing
from segbench.util.image_size import Size

_BLOCK_PIXELS = 256
_PALETTE_COLOURS = 256

Ids = npt.NDArray[Any]


class MaskWriter(Protocol):
    """A mask that is written piece by piece, from the top down; nothing lies under its name before :meth:`finish`."""

    path: Path

    def write(self, window: Window, ids: Ids) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...


def mask_writer(folder: Path, name: str, size: Size, task: Task, *, raster: bool, georeference: Georeference) -> MaskWriter:
    """A GeoTIFF for a raster, else a PNG."""
    if raster:
        return TiffMask(folder / f"{name}.tif", size, task, georeference)
    return PngMask(folder / f"{name}.png", size, task)


class PngMask:
    """One byte per pixel with a palette; above 256 classes 16 bits without one."""

    def __init__(self, path: Path, size: Size, task: Task) -> None:
        self.path, self._task = path, task
        self._ids: Ids = np.zeros(size, dtype_of(task))

    def write(self, window: Window, ids: Ids) -> None:
        """Add a piece."""
        self._ids[window.top : window.top + window.height, window.left : window.left + window.width] = ids

    def finish(self) -> None:
        """Write the file under a temporary name and rename it."""
        picture = Image.fromarray(self._ids)
        if self._ids.dtype == np.uint8:
            picture.putpalette([value for colour in colours(self._task) for value in colour])
        with explained(self.path), replacing(self.path) as unfinished:
            picture.save(unfinished, format="PNG")

    def discard(self) -> None:
        """Do nothing: no file exists before :meth:`finish`."""


class TiffMask:
    """A compressed GeoTIFF with a colour table; pixels without data have the ignore index, which the file names as such."""

    def __init__(self, path: Path, size: Size, task: Task, georeference: Georeference) -> None:
        import rasterio

        self.path, self._size = path, size
        with warnings.catch_warnings(), explained(path):
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            self._file = rasterio.open(_unfinished(path), "w", **_tiff_profile(size, task, georeference))
        if georeference.gcps:
            self._file.gcps = (list(georeference.gcps), georeference.gcps_crs)
        if georeference.rpcs is not None:
            self._file.rpcs = georeference.rpcs
        if dtype_of(task) == np.uint8:
            table = {index: (*colour, 255) for index, colour in enumerate(colours(task))}
            self._file.write_colormap(1, table)
        self._file.update_tags(1, **{f"class_{index}": name for index, name in enumerate(task.class_names)})
        self._rows: Ids = np.zeros((0, size[1]), dtype_of(task))
        self._top = 0

    def write(self, window: Window, ids: Ids) -> None:
        """Add a piece; whole rows of blocks are written to disk, as a block that is written twice is compressed twice."""
        bottom = window.top + window.height
        if bottom > self._top + len(self._rows):
            more = bottom - self._top - len(self._rows)
            self._rows = np.concatenate([self._rows, np.zeros((more, self._size[1]), self._rows.dtype)])
        self._rows[window.top - self._top : bottom - self._top, window.left : window.left + window.width] = ids
        if window.left + window.width == self._size[1]:  # the last piece of a row of pieces: nothing above its bottom changes any more
            self._write_rows((bottom // _BLOCK_PIXELS) * _BLOCK_PIXELS if bottom < self._size[0] else bottom)

    def finish(self) -> None:
        """Close the file and give it its name."""
        with explained(self.path):
            self._file.close()
            os.replace(_unfinished(self.path), self.path)

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(Exception):  # GDAL may fail to close what it could not write
            self._file.close()
        _unfinished(self.path).unlink(missing_ok=True)

    def _write_rows(self, until: int) -> None:
        count = until - self._top
        if count > 0:
            with explained(self.path):
                self._file.write(self._rows[:count], 1, window=((self._top, until), (0, self._size[1])))
            self._rows, self._top = self._rows[count:].copy(), until


def dtype_of(task: Task) -> Any:
    """uint8, or uint16 where class ids or the ignore index need it."""
    return np.uint8 if max(task.num_classes, task.ignore_index + 1) <= _PALETTE_COLOURS else np.uint16


def gap_id(task: Task) -> int | None:
    """The id of pixels that have no data; None where the task's ignore index does not fit into a mask."""
    return task.ignore_index if task.ignore_index >= 0 and task.ignore_index <= np.iinfo(dtype_of(task)).max else None


def colours(task: Task) -> list[tuple[int, int, int]]:
    """256 colours: the classes', and light grey for every id that is none."""
    own = list(palette_of(task))
    return [*own, *[IGNORED] * (_PALETTE_COLOURS - len(own))]


def read_small(path: Path, size: Size) -> Ids:
    """A written mask at another size, nearest neighbour."""
    if path.suffix != ".tif":
        with Image.open(path) as picture:
            return nearest(np.asarray(picture), size)
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            ids: Ids = file.read(1, out_shape=size)
            return ids


def to_ids(labels: Tensor, task: Task) -> Ids:
    """Class ids (h, w) as they are stored."""
    ids: Ids = labels.cpu().numpy().astype(dtype_of(task))
    return ids


def _tiff_profile(size: Size, task: Task, georeference: Georeference) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": size[0],
        "width": size[1],
        "count": 1,
        "dtype": np.dtype(dtype_of(task)).name,
        "compress": "deflate",
        "bigtiff": "IF_SAFER",
        "nodata": gap_id(task),
    }
    if min(size) >= _BLOCK_PIXELS:
        profile |= {"tiled": True, "blockxsize": _BLOCK_PIXELS, "blockysize": _BLOCK_PIXELS}
    if georeference.crs is not None and not georeference.gcps:
        profile["crs"] = georeference.crs
    if georeference.transform is not None:
        profile["transform"] = georeference.transform
    return profile


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")
