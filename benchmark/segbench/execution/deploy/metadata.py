"""The metadata of an exported file: classes, inputs and their normalisation, size, and the origin of the weights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segbench import __version__
from segbench.plugin.chosen import Chosen
from segbench.plugin.inputs import InputPlan
from segbench.plugin.specs import BackendSpec, Task
from segbench.util.image_size import Size
from segbench.util.value_range import ValueRange

if TYPE_CHECKING:
    from torch import Tensor


def file_metadata(
    *,
    model: str,
    task: Task,
    plan: InputPlan,
    input_size: Size,
    backend: Chosen[BackendSpec],
    weights: Mapping[str, Any],
    value_ranges: Mapping[str, ValueRange] | None = None,
) -> dict[str, Any]:
    """The sidecar of an exported file, as plain data.

    ``inputs`` are positional: each is the named inputs' channels one after the other, in order, float32, normalised per channel as
    ``(value * scale - mean) / std``; ``value_ranges`` are those of the images that it was trained on, by name. The output is logits at the
    input's size: the class is the largest.
    """
    return {
        "model": model,
        "classes": list(task.class_names),
        "palette": [list(colour) for colour in task.palette],
        "ignore_index": task.ignore_index,
        "headline": task.headline,
        "inputs": [_input(group, task, plan) for group in plan.groups],
        "value_ranges": None if value_ranges is None else {name: asdict(one) for name, one in value_ranges.items()},
        "output": {"name": "logits", "shape": [1, task.num_classes, *input_size], "dtype": "float32"},
        "input_size": list(input_size),
        "batch_size": 1,
        "fixed_size": not backend.spec.takes_any_size(backend.options),
        "backend": {
            "name": backend.choice.name,
            "options": backend.options.values(),
            "package": backend.spec.package,
            "version": backend.spec.installed_version(),
            "precision": backend.spec.precision_of(backend.options),
        },
        "weights": dict(weights),
        "segbench": __version__,
        "torch": importlib.metadata.version("torch"),
    }


def as_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for formats that hold texts only: what is no text becomes JSON.

    >>> as_texts({"model": "unet", "input_size": [64, 96]})
    {'segbench.model': 'unet', 'segbench.input_size': '[64, 96]'}
    """
    return {f"segbench.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values: equal for equal weights in any file."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _input(group: tuple[str, ...], task: Task, plan: InputPlan) -> dict[str, Any]:
    parts = []
    for name in group:
        norm = plan.normalisation.get(name)
        parts.append({"name": name, "channels": task.inputs[name], "normalisation": asdict(norm) if norm else None})
    return {"name": "+".join(group), "channels": sum(part["channels"] for part in parts), "parts": parts}
