"""A rotation by a random angle: what comes into view at the corners is black in images and ignored in masks."""

from __future__ import annotations

from typing import Any

from torchvision import tv_tensors
from torchvision.transforms import v2

from segbench import Task
from segbench_example import RotateOptions


def build(task: Task, options: RotateOptions, size: tuple[int, int]) -> Any:
    """The transform for a task; rotation keeps the size, so it is not asked for."""
    del size
    fill = {tv_tensors.Image: 0, tv_tensors.Mask: task.ignore_index}
    return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomRotation(options.degrees, fill=fill)])
