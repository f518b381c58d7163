"""Near-duplicates: pictures of two splits that show the same, re-encoded, brighter, mirrored or turned.

A picture is reduced to 32x32 means, less its own blur, so that only its structure is left; two are alike where these structures correlate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 32
ALIKE = 0.9
"""Correlation of two structures above which pictures count as the same.

JPEG copies of photographs reach 0.99, of noisy pictures 0.93; different pictures of CamVid, VOC, road cracks and neighbouring slices of a
microscope's stack at most 0.52.
"""

_MOST_PIXELS = 160
_FEW_PICTURES = 20
_LITTLE_IN_COMMON = 0.3  # length of the mean structure; that of a single picture is 1
_NOTHING_OWN = 0.02
_CHUNK = 1024

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlikePair:
    """Two samples, by position in their splits, and how their structures correlate."""

    first: int
    second: int
    correlation: float


def structure(image: npt.NDArray[np.generic]) -> Array | None:
    """The structure (32, 32) of an image (C, H, W), of length 1; None for a picture that has none (constant, or too small)."""
    _, height, width = image.shape
    if min(height, width) < 8:
        return None
    rows, columns = max(1, height // _MOST_PIXELS), max(1, width // _MOST_PIXELS)
    grey = np.nan_to_num(image[:, ::rows, ::columns].astype(np.float32)).mean(axis=0)
    small = _means(_means(grey, SIDE).T, SIDE).T
    details = small - _blurred(small)
    length = float(np.linalg.norm(details))
    if length <= 1e-3 * max(1.0, float(np.abs(small).mean())):
        return None
    unit: Array = (details / length).astype(np.float32)
    return unit


def alike_pairs(first: Sequence[Array | None], second: Sequence[Array | None], scenes: Sequence[str] | None = None) -> list[AlikePair]:
    """Samples of the second split that some sample of the first resembles as it is, mirrored or turned by right angles, with that one.

    ``scenes``: first and second are one list, whose samples are compared with those of other scenes; each pair is named once.
    """
    left = [index for index, item in enumerate(first) if item is not None]
    right = [index for index, item in enumerate(second) if item is not None]
    if not left or not right:
        return []
    ours, theirs = np.stack([first[i] for i in left]), np.stack([second[i] for i in right])  # type: ignore[misc]
    common = _common(np.concatenate([ours, theirs]))
    fixed = _without(common, ours).reshape(len(left), -1)
    pairs = []
    scene = np.unique(scenes, return_inverse=True)[1] if scenes is not None else None
    for start in range(0, len(right), _CHUNK):
        part = right[start : start + _CHUNK]
        best, place = np.zeros(len(part), np.float32), np.zeros(len(part), np.intp)
        for turned in _turned(theirs[start : start + _CHUNK]):
            own = _without(common, turned)
            for begin in range(0, len(left), _CHUNK):
                likeness = own.reshape(len(part), -1) @ fixed[begin : begin + _CHUNK].T
                if scene is not None:
                    other = np.asarray(left[begin : begin + _CHUNK])
                    likeness[(scene[part][:, None] == scene[other]) | (np.asarray(part)[:, None] < other)] = -1.0
                position = likeness.argmax(axis=1)
                value = likeness[np.arange(len(part)), position]
                better = value > best
                best[better], place[better] = value[better], position[better] + begin
        pairs += [AlikePair(left[p], part[i], float(b)) for i, (b, p) in enumerate(zip(best, place, strict=True)) if b >= ALIKE]
    return pairs


def _common(every: Array) -> Array | None:
    """What structures (N, S, S) have in common, where that is much; None where pictures are few or differ.

    The edge of a round field of view (fundus, endoscope, microscope), a horizon and a dashboard make different pictures alike: of disks of
    noise, others correlated up to 0.97 with it and 0.30 without, JPEG copies above 0.97 either way.
    """
    common: Array = every.mean(axis=0)
    return common if len(every) >= _FEW_PICTURES and float(np.linalg.norm(common)) >= _LITTLE_IN_COMMON else None


def _without(common: Array | None, structures: Array) -> Array:
    """Structures (N, S, S) less what all have in common, of length 1 again; those that are nothing else stay as they are."""
    if common is None:
        return structures
    rest = structures - common
    length = np.linalg.norm(rest, axis=(1, 2), keepdims=True)
    own: Array = np.where(length > _NOTHING_OWN, rest / np.maximum(length, _NOTHING_OWN), structures).astype(np.float32)
    return own


def _turned(pictures: Array) -> list[Array]:
    """The eight mirror images and turns by right angles of (N, S, S)."""
    both = [pictures, pictures.swapaxes(1, 2)]
    return [part[:, ::down, ::across] for part in both for down in (1, -1) for across in (1, -1)]


def _means(values: Array, count: int) -> Array:
    """Means of ``count`` spans of rows of (H, W), as even as they go."""
    edges = np.linspace(0, len(values), count + 1).round().astype(np.intp)
    if len(values) < count:
        positions = (np.arange(count) * len(values)) // count
        repeated: Array = values[positions]
        return repeated
    sums = np.add.reduceat(values, edges[:-1], axis=0)
    means: Array = sums / np.diff(edges)[:, None].astype(np.float32)
    return means


def _blurred(values: Array) -> Array:
    """Means of 5x5 neighbours of (H, W)."""
    padded = np.pad(values, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    blurred: Array = windows.mean(axis=(2, 3), dtype=np.float32)
    return blurred
