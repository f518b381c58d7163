"""Whether a condition of a published claim holds here, and if not, what is missing in plain words."""

from __future__ import annotations

import json
from typing import Any

from segbench.errors import SegbenchError
from segbench.util.image_size import format_size, parse_size

WORDS = {
    "num_classes": "class count",
    "input_size": "input size",
    "image_size": "training size",
    "batch_size": "batch size",
    "images": "number of scored images",
    "split": "scored split",
    "params": "parameters",
    "size_mb": "size",
    "latency_ms": "latency",
    "deployed_latency_ms": "latency as deployed",
    "deployed_file_mb": "size of the exported file",
    "encoder_params": "parameters of the encoder",
    "training_hours": "training time",
    "throughput_images_per_second": "throughput",
    "inference_memory_mb": "inference memory",
    "training_memory_mb": "training memory",
    "train_images_per_second": "training speed",
    "train_seconds_per_epoch": "training time",
    "miou": "mIoU",
}


def unmet(key: str, wanted: Any, actual: Any) -> str:
    """What is missing, or an empty text. ``wanted`` is one value, or several of which any will do.

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
    """A key as a reader would say it.

    >>> in_words("num_classes"), in_words("latency_ms")
    ('class count', 'latency')
    """
    return WORDS.get(key, key if "." in key else key.replace("_", " "))


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
