"""Conditions of published claims: what of them is not met here, in plain words."""

from __future__ import annotations

import json
from typing import Any

from segbench.errors import SegbenchError
from segbench.results.metrics import METRICS
from segbench.util.image_size import format_size, parse_size

_WORDS = {
    "num_classes": "class count",
    "input_size": "input size",
    "image_size": "training size",
    "batch_size": "batch size",
    "images": "number of scored images",
    "split": "scored split",
}


def unmet(key: str, wanted: Any, actual: Any) -> str:
    """The missing condition in words, or an empty text. ``wanted`` is one value, or several of which any will do.

    >>> unmet("dataset", "voc2012", "camvid"), unmet("input_size", 512, "512x512"), unmet("num_classes", (2, 3), 3)
    ('needs dataset voc2012, this run has camvid', '', '')
    >>> unmet("train.epochs", 50, None)
    'needs train.epochs 50, this run does not say'
    """
    choices = wanted if isinstance(wanted, (tuple, list, set, frozenset)) else [wanted]
    if any(_same(key, choice, actual) for choice in choices):
        return ""
    has = "does not say" if actual is None else f"has {_shown(actual)}"
    return f"needs {in_words(key)} {' or '.join(_shown(choice) for choice in choices)}, this run {has}"


def in_words(key: str) -> str:
    """A metric or a condition's key as a sentence says it.

    >>> in_words("num_classes"), in_words("latency_ms")
    ('class count', 'latency')
    """
    if key in METRICS:
        return METRICS[key].words
    return _WORDS.get(key, key if "." in key else key.replace("_", " "))


def as_text(value: Any) -> str:
    """A text that is equal for values that JSON does not tell apart: (1, 6) and [1, 6], in any order of keys."""
    return json.dumps(value, sort_keys=True, default=str)


def _same(key: str, wanted: Any, actual: Any) -> bool:
    if actual is not None and key.rpartition(".")[2] in ("input_size", "image_size", "tile"):
        return _size(wanted) == _size(actual)
    return as_text(wanted) == as_text(actual)


def _size(value: Any) -> str:
    try:
        return format_size(parse_size(tuple(value) if isinstance(value, list) else value))
    except SegbenchError:  # one that grows during training is no single size
        return str(value)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else as_text(value)
