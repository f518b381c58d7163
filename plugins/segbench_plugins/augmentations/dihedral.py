"""The symmetries of a rectangle, each as likely as the others: of a square the eight of the dihedral group."""

from __future__ import annotations

from typing import Any

from torchvision.transforms import v2

from segbench import Options, Task


def build(task: Task, options: Options, size: tuple[int, int]) -> Any:
    """Mirrored along both axes, each half of the time, and turned by 90 degrees half of the time where ``size`` is square."""
    del task, options
    turn = [v2.RandomApply([v2.RandomRotation((90, 90))], p=0.5)] if size[0] == size[1] else []
    return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), *turn])
