"""Georeference: the position of a raster on earth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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

    def beside(self, other: Georeference) -> str:
        """Both places in words, with the rows of the transforms where they differ in the pixels alone (their size, or a turn)."""
        texts = [str(self), str(other)]
        if texts[0] == texts[1] and self.transform is not None and other.transform is not None:
            for index, transform in enumerate((self.transform, other.transform)):
                columns = f"({transform.a:.10g}, {transform.d:.10g}) per column and ({transform.b:.10g}, {transform.e:.10g}) per row"
                texts[index] += f", pixels of {columns}"
        return ", and ".join(texts)

    def __str__(self) -> str:
        """The coordinate system and the upper left corner, as in ``EPSG:32633 at 500000, 5000000``."""
        if self.transform is None:
            return str(self.crs or "no coordinates")
        return f"{self.crs or 'an unnamed coordinate system'} at {self.transform.c:.10g}, {self.transform.f:.10g}"


def georeference_of(file: Any) -> Georeference:
    """The georeference of an open rasterio file."""
    gcps, gcps_crs = file.gcps
    placed = not file.transform.is_identity
    area = None
    if placed and file.crs is not None and file.crs.is_projected:
        metres = file.crs.linear_units_factor[1]
        area = abs(file.transform.determinant) * metres * metres
    return Georeference(file.crs, file.transform if placed else None, tuple(gcps), gcps_crs, file.rpcs, area)
