"""Checks of losses at planning: options that do not fit the task. No torch is imported here."""

from __future__ import annotations

from segbench import Task, counted
from segbench_plugins.losses import BceDiceOptions, CrossEntropyOptions, FocalOptions


def check_cross_entropy(task: Task, options: CrossEntropyOptions) -> list[str]:
    """One weight per class, and not all of them zero."""
    return _one_per_class("weights", options.weights if isinstance(options.weights, tuple) else None, task)


def check_focal(task: Task, options: FocalOptions) -> list[str]:
    """A single alpha, or one per class and not all of them zero."""
    return _one_per_class("alpha", options.alpha if isinstance(options.alpha, tuple) else None, task)


def check_two_classes(task: Task, options: BceDiceOptions) -> list[str]:
    """Exactly two classes: background first, foreground second."""
    if task.num_classes == 2:
        return []
    return [f"it is for two-class tasks, and this one has {task.num_classes} classes: use combined, dice or focal instead."]


def _one_per_class(name: str, values: tuple[float, ...] | None, task: Task) -> list[str]:
    if values is None:
        return []
    if len(values) != task.num_classes:
        given = counted(len(values), "value")
        return [f"{name} has {given} for {task.num_classes} classes ({', '.join(task.class_names)}): give one per class."]
    return [] if any(values) else [f"{name} are all zero: nothing would be learnt. Give at least one class a positive value."]
