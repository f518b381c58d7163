"""Numbers in place of rules for class weights in the two losses of a schedule.

Apart from the other losses' rules, as it finds these by their names: what is found when it runs counts with its whole package in a
fingerprint.
"""

from __future__ import annotations

import importlib
from typing import Any

from segbench import Options, parse_choice
from segbench_plugins.losses import ScheduleOptions
from segbench_plugins.losses.class_weights import WeightsOf
from segbench_plugins.losses.inner import inner_loss


def of_schedule(options: ScheduleOptions, weights_of: WeightsOf) -> ScheduleOptions:
    """The two losses with their own numbers."""
    return options.model_copy(update={name: _inner(getattr(options, name), weights_of) for name in ("first", "then")})


def _inner(text: str, weights_of: WeightsOf) -> str:
    spec, options = inner_loss(text)
    if not spec.class_weights:
        return text
    module, _, function = str(spec.class_weights).partition(":")
    numeric: Options = getattr(importlib.import_module(module), function)(options, weights_of)
    before = options.values()
    changed: dict[str, Any] = {name: value for name, value in numeric.values().items() if value != before[name]}
    return str(parse_choice(text).with_options(**changed)) if changed else text
