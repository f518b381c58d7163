"""The task without samples that profiling uses."""

from __future__ import annotations

import pytest

from segbench.data.selection import find_dataset, same_dataset
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import Task, resolve


@pytest.mark.parametrize("classes", [2, 255, 256, 1000])
def test_a_task_without_samples_may_have_any_number_of_classes(classes: int) -> None:
    chosen = find_dataset(load_catalog(), f"synthetic[num_classes={classes}]")
    task = resolve(chosen.spec.task)(chosen.options)
    assert isinstance(task, Task)
    assert task.num_classes == classes
    assert not 0 <= task.ignore_index < classes


@pytest.mark.parametrize(
    ("trained_on", "same"),
    [
        (None, True),
        ("folder[name=tiles,images=a]", True),
        ("folder[name=roofs]", False),
        ("folder[images=a]", True),
        ("camvid", False),
    ],
)
def test_folders_of_other_names_hold_other_images(trained_on: str | None, same: bool) -> None:
    assert same_dataset(trained_on, find_dataset(load_catalog(), "folder[name=tiles]")) is same
