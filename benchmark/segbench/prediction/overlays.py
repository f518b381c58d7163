"""Overlays: the colours of a prediction over its image, at a size that a screen can show."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from segbench.data.visualization import SENTINEL2_BANDS, overlay, to_rgb
from segbench.plugin.specs import Task
from segbench.prediction.masks import read_small
from segbench.prediction.scenes import OpenScene
from segbench.util.files import explained, replacing
from segbench.util.image_size import Size

LONGEST = 2048
"""Pixels; longer images are reduced to it, as the picture has to fit into memory."""


def write_overlay(path: Path, mask: Path, scene: OpenScene, task: Task, *, alpha: float) -> None:
    """Write the classes' colours over the image as a PNG; ``alpha`` is how opaque they are."""
    size = shown_size(scene.size)
    name = shown_input(task)
    picture = to_rgb(scene.small(name, size), name)
    ids = torch.from_numpy(read_small(mask, size).astype("int64"))
    with explained(path), replacing(path) as unfinished:
        Image.fromarray(overlay(picture, ids, task, opacity=alpha)).save(unfinished, format="PNG", compress_level=3)


def shown_input(task: Task) -> str:
    """The input to show: one in colours, else Sentinel-2's bands, else the first.

    >>> shown_input(Task(class_names=("land", "water"), inputs={"sar": 2, "optical": 13}, rgb=()))
    'optical'
    """
    if task.rgb:
        return task.rgb[0]
    several = [name for name, channels in task.inputs.items() if channels in (3, SENTINEL2_BANDS)]
    return several[0] if several else next(iter(task.inputs))


def shown_size(size: Size) -> Size:
    """The image's own size, or the largest of the same shape that is still shown.

    >>> shown_size((300, 400)), shown_size((8192, 4096))
    ((300, 400), (2048, 1024))
    """
    factor = max(1.0, max(size) / LONGEST)
    return max(1, round(size[0] / factor)), max(1, round(size[1] / factor))
