"""Losses inside a loss: ``schedule[first="focal[gamma=1]"]``. No torch is imported here."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from segbench import LossSpec, OptionError, Options, SegbenchError, Task, did_you_mean, parse_choice
from segbench_plugins.losses import ScheduleOptions, segbench_losses


def inner_loss(text: str) -> tuple[LossSpec, Options]:
    """The built-in loss that ``text`` names, with its options; raises :class:`OptionError` for any other.

    A plugin sees no other plugin's losses, so that only built-in losses can be put inside one another.
    """
    choice = parse_choice(text)
    specs = {spec.name: spec for spec in segbench_losses() if spec.takes == "logits"}
    spec = specs.get(choice.name)
    if spec is None:
        raise OptionError(
            f"schedule switches between {', '.join(specs)}; '{choice.name}' is not among them.{did_you_mean(choice.name, specs)}"
        )
    return spec, spec.options.resolve(dict(choice.options), owner=f"schedule: {choice.name}")


def check_schedule(task: Task, options: ScheduleOptions) -> list[str]:
    """Both losses exist, take their options and fit the task."""
    return [problem for text in (options.first, options.then) for problem in _check_inner(text, task)]


def _check_inner(text: str, task: Task) -> list[str]:
    try:
        spec, options = inner_loss(text)
    except SegbenchError as error:
        return [str(error)]
    if spec.check is None:
        return []
    module, _, function = str(spec.check).partition(":")
    check: Callable[[Task, Options], list[str]] = getattr(importlib.import_module(module), function)
    return [f"{text}: {problem}" for problem in check(task, options)]
