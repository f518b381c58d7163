"""Facts of a file that the reader saw (dtype, orientation, pages, palette, ..), and the collector by which a census gathers them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segbench.data.reader.georeference import Georeference
from segbench.util.image_size import Size

Colour = tuple[int, int, int]

READER_VERSION = 2
"""Raised when a file is read otherwise than before, so that samples decoded by an earlier reader are not taken from the cache."""


@dataclass(frozen=True)
class FileFacts:
    """Facts of one image or mask file, as the reader saw them.

    dtype        as stored: "uint8", "uint16", "float32"; "uint1", "uint2", "uint4" for packed greys
    bands        channels as stored (a palette is one), alpha among them
    size         (height, width) of the pixels that the reader gave
    orientation  EXIF orientation tag, 1 to 8; applied to images, never to masks
    pages        pages or frames of the file
    palette      colours of a paletted file that its pixels use, by index
    nodata       declared value of missing pixels
    missing      share of pixels without any value: nodata, alpha 0, internal mask, NaN
    alpha        True where an alpha band was dropped (images) or taken as validity
    inverted     True where the file stores white as 0 (MINISWHITE); undone for images, never for masks
    kind         "grey", "palette", "RGB", "CMYK", .. as stored
    place        georeference; None where the file has none
    """

    path: Path
    role: Literal["image", "mask"]
    reader: Literal["pillow", "rasterio", "numpy"]
    dtype: str
    bands: int
    size: Size
    orientation: int = 1
    pages: int = 1
    palette: tuple[tuple[int, Colour], ...] | None = None
    nodata: float | None = None
    missing: float = 0.0
    alpha: bool = False
    inverted: bool = False
    kind: str = ""
    place: Georeference | None = None


_collector: ContextVar[list[FileFacts] | None] = ContextVar("segbench_file_facts", default=None)


@contextlib.contextmanager
def collect_facts() -> Iterator[list[FileFacts]]:
    """A list that is filled with the facts of every file that is read meanwhile, by this thread."""
    facts: list[FileFacts] = []
    token = _collector.set(facts)
    try:
        yield facts
    finally:
        _collector.reset(token)


def facts_are_collected() -> bool:
    """True where somebody collects facts in this thread."""
    return _collector.get() is not None


def note(facts: FileFacts) -> None:
    """Add facts to the active collector, if there is one."""
    active = _collector.get()
    if active is not None:
        active.append(facts)
