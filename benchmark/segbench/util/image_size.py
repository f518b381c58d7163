"""Image sizes as users write them: ``512``, ``"360x480"`` (height x width), and sizes that grow: ``"256@0,512@0.5"``."""

from __future__ import annotations

import re
from itertools import pairwise

from segbench.errors import ConfigError

Size = tuple[int, int]


def parse_size(value: int | str | tuple[int, int], *, key: str = "image size") -> Size:
    """Height and width.

    >>> parse_size(512), parse_size("360x480")
    ((512, 512), (360, 480))
    """
    if isinstance(value, tuple):
        size = value
    else:
        match = re.fullmatch(r"\s*(-?\d+)\s*(?:[xX]\s*(-?\d+)\s*)?", str(value))
        if not match:
            raise ConfigError(f"{key} '{value}' is not a size. Write N or HxW (height x width), such as 512 or 360x480.")
        height = int(match.group(1))
        size = (height, int(match.group(2)) if match.group(2) else height)
    if min(size) < 1:
        raise ConfigError(f"{key} '{value}' must be positive, such as 512 or 360x480.")
    return size


def parse_growing_size(value: int | str, *, key: str = "train.image_size") -> tuple[tuple[float, Size], ...]:
    """Sizes by the share of training from which each holds, the first at 0.

    >>> parse_growing_size("256@0,512@0.5")
    ((0.0, (256, 256)), (0.5, (512, 512)))
    >>> parse_growing_size(64)
    ((0.0, (64, 64)),)
    """
    steps = []
    for part in str(value).split(","):
        size, at, share = part.partition("@")
        try:
            start = float(share) if at else 0.0
        except ValueError:
            raise ConfigError(f"{key} '{value}': '{share}' is not a share of training between 0 and 1") from None
        steps.append((start, parse_size(size, key=key)))
    starts = [start for start, _ in steps]
    if starts[0] != 0 or any(not before < after < 1 for before, after in pairwise(starts)):
        raise ConfigError(f"{key} '{value}': shares must start at 0, grow and stay below 1, such as 256@0,512@0.5")
    return tuple(steps)


def size_at(steps: tuple[tuple[float, Size], ...], share: float) -> Size:
    """The size that holds at a share of training.

    >>> size_at(parse_growing_size("256@0,512@0.5"), 0.6)
    (512, 512)
    """
    return [size for start, size in steps if start <= share][-1]


def format_size(size: Size) -> str:
    """``512`` where square, else ``360x480``.

    >>> format_size((512, 512)), format_size((360, 480))
    ('512', '360x480')
    """
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
