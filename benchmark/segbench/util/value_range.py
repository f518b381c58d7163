"""Value ranges: which values images have, whether others are unlike them, and how to rescale those."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.errors import ConfigError

_FULL = {"uint8": 255.0, "uint16": 65535.0}
"""The value that stands for white, by dtype; of floats from 0 to 1 it is 1."""
_MOST_VALUES = 20_000
_LEAST_SHARE = 1 / 8
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LINEAR = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*:\s*({_NUMBER})\s*-\s*({_NUMBER})\s*")


@dataclass(frozen=True)
class ValueRange:
    """The finite values of some images: stored dtype (several are joined by "/"), extremes, and percentiles 0.1 and 99.9 (of a sample)."""

    dtype: str
    minimum: float
    maximum: float
    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """What may have occurred: all of uint8 where that was stored, else the extremes."""
        return (0.0, 255.0) if self.dtype == "uint8" else (self.minimum, self.maximum)

    @property
    def full(self) -> float | None:
        """The value that stands for white; None where the dtype does not say."""
        unit = self.dtype.startswith("float") and self.minimum >= 0 and 0.0 < self.maximum <= 1
        return 1.0 if unit else _FULL.get(self.dtype)

    def scaled(self, rescale: LinearRescale) -> ValueRange:
        """The range after rescaling, in float32."""
        ends = [rescale.factor * value + rescale.offset for value in (self.minimum, self.maximum, self.low, self.high)]
        return ValueRange("float32", min(ends[:2]), max(ends[:2]), min(ends[2:]), max(ends[2:]))

    def __str__(self) -> str:
        return f"{self.dtype} from {self.minimum:g} to {self.maximum:g} (99.8 % from {self.low:g} to {self.high:g})"


@dataclass(frozen=True)
class LinearRescale:
    """``value * factor + offset``."""

    factor: float
    offset: float = 0.0

    def __str__(self) -> str:
        return f"value * {self.factor:g}" + (f" + {self.offset:g}" if self.offset else "")


def value_range(arrays: Iterable[npt.NDArray[Any]]) -> ValueRange | None:
    """The range of arrays of any shape; None where there is no finite value."""
    extremes: list[float] = []
    drawn, dtypes = [], set()
    for values in arrays:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        dtypes.add(str(values.dtype))
        if finite.size:
            extremes += [float(finite.min()), float(finite.max())]
            drawn.append(finite[:: max(1, finite.size // _MOST_VALUES)].astype(np.float64))
    if not extremes:
        return None
    low, high = np.percentile(np.concatenate(drawn), [0.1, 99.9]).tolist()
    return ValueRange("/".join(sorted(dtypes)), min(extremes), max(extremes), low, high)


def unlike(trained: ValueRange, seen: ValueRange) -> str:
    """Why values cannot be of the kind that a network was trained on; empty where they can. A constant image tells nothing.

    - Wider than 8 bits for a network of uint8 alone: integers above 255.
    - Outside: the percentiles reach beyond the trained bounds by more than all of their width.
    - Shares: floats from 0 to 1 where training had values above 10.
    - 8 bits: uint8 where training had another dtype and values above 510.

    >>> trained = ValueRange("uint8", 0, 255, 3, 250)
    >>> unlike(trained, ValueRange("uint16", 0, 65535, 10, 65000))
    'they are integers above 255'
    >>> unlike(trained, ValueRange("float32", 0, 1, 0.01, 0.99))
    'they are floats from 0 to 1'
    """
    bottom, top = trained.bounds
    width = max(top - bottom, 1e-12)
    if seen.minimum == seen.maximum and bottom - width <= seen.minimum <= top + width:
        return ""
    integer = not seen.dtype.startswith("float")
    if trained.dtype == "uint8" and integer and seen.dtype != "uint8" and seen.high > _FULL["uint8"]:
        return "they are integers above 255"
    if seen.high > top + width or seen.low < bottom - width:
        return "they lie far outside of that"
    if seen.full == 1 and top > 10:
        return "they are floats from 0 to 1"
    if seen.dtype == "uint8" and "uint8" not in trained.dtype.split("/") and trained.high > 2 * _FULL["uint8"]:
        return "they are 8-bit values"
    return ""


def automatic_rescale(trained: ValueRange, seen: ValueRange) -> LinearRescale | None:
    """White to white, by dtype: uint16 to uint8 is value / 257, floats from 0 to 1 to uint8 are value * 255; None where that is unknown.

    Values of uint16 that end below an eighth of it are of fewer bits, and their white is not known either.

    >>> automatic_rescale(ValueRange("uint8", 0, 255, 3, 250), ValueRange("uint16", 0, 65535, 10, 65000)).factor == 1 / 257
    True
    """
    if trained.full is None or seen.full is None or (seen.dtype == "uint16" and seen.maximum < _LEAST_SHARE * seen.full):
        return None
    return LinearRescale(trained.full / seen.full)


def parse_rescale(text: str) -> LinearRescale:
    """The rule ``A-B:C-D``: A becomes C, B becomes D, linear between and beyond. Raises :class:`ConfigError`.

    >>> parse_rescale("0-65535:0-255").factor == 1 / 257, parse_rescale("-25-0:0-1")
    (True, LinearRescale(factor=0.04, offset=1.0))
    """
    match = _LINEAR.fullmatch(text)
    if match is None or float(match[1]) == float(match[2]):
        raise ConfigError(f"--rescale '{text}' is none of auto, none and A-B:C-D, such as 0-4095:0-255 (A becomes C, B becomes D).")
    first, last, to_first, to_last = map(float, match.groups())
    factor = (to_last - to_first) / (last - first)
    return LinearRescale(factor, to_first - factor * first)
