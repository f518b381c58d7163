"""Checkpoints: written atomically, read without running any code that a file may hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segbench.errors import CheckpointError, StoreError
from segbench.networks.checkpoint_meta import FOREIGN_WEIGHTS, CheckpointMeta, parse_meta
from segbench.networks.weights import first_faults
from segbench.networks.weights_file import FORMAT, is_own, own_state, read_content
from segbench.util.files import replacing
from segbench.util.plain_data import Plain
from segbench.util.sequences import first_line


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's content.

    model_state  the plain model's own state, loadable without segbench
    meta         what the model is and was trained for; None for foreign files
    identity     the settings that it was trained under, compared on resume
    training     optimiser, scaler, loss and progress: what resuming needs; empty in ``best.pt``
    """

    model_state: Mapping[str, Tensor]
    meta: CheckpointMeta | None = None
    identity: Mapping[str, Plain] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write under a temporary name, then rename: a reader of ``path`` sees the old file or the new one, never half of one.

    Raises :class:`StoreError` where the disk is full or not writable.
    """
    content = {
        "format": FORMAT,
        "model_state": {name: value.detach().cpu() for name, value in checkpoint.model_state.items()},
        "meta": plain(checkpoint.meta.to_dict()) if checkpoint.meta else {},
        "identity": plain(checkpoint.identity),
        "training": dict(checkpoint.training),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:
        raise StoreError(
            f"cannot write the checkpoint {path}: {first_line(error)}. Is the disk full, or the folder not writable?"
        ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of segbench, a plain state dict of tensors, or a ``.safetensors`` file, onto the CPU.

    Raises :class:`CheckpointError` for a missing, damaged or foreign file, and for a pickle that holds more than data.
    """
    content = read_content(path)
    if is_own(content):
        return Checkpoint(own_state(content, path), parse_meta(content["meta"], path), content["identity"], content["training"])
    if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
        return Checkpoint(content)
    raise CheckpointError(f"{path} is neither a checkpoint of segbench nor a state dict of tensors")


def read_own_checkpoint(path: Path) -> tuple[Checkpoint, CheckpointMeta]:
    """A checkpoint of segbench, with what it says of its network. Raises :class:`CheckpointError` for any other file, with what to do."""
    content = read_content(path)
    meta = parse_meta(content["meta"], path) if is_own(content) else None
    if meta is None:
        raise CheckpointError(f"'{path}' does not say which model it is of: it was not written by segbench. {FOREIGN_WEIGHTS}")
    return Checkpoint(own_state(content, path), meta, content["identity"], content["training"]), meta


def load_model_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load strictly. Raises :class:`CheckpointError` that names the first keys that do not fit."""
    faults = mismatches(model.state_dict(), state)
    if faults:
        raise CheckpointError(f"{source} is of another model: {first_faults(faults)}")
    model.load_state_dict(dict(state))


def mismatches(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """The differences between two states as phrases, in the order of ``own``."""
    faults = []
    for name, value in own.items():
        if name not in state:
            faults.append(f"'{name}' is missing")
        elif state[name].shape != value.shape:
            faults.append(f"'{name}' has shape {tuple(state[name].shape)} instead of {tuple(value.shape)}")
    return faults + [f"'{name}' is not known to the model" for name in state if name not in own]


def plain(value: Any) -> Any:
    """Nested data as JSON would give it back, so that what was stored compares equal to what is compared with it.

    >>> plain({"size": (1, 2)})
    {'size': [1, 2]}
    """
    return json.loads(json.dumps(value, default=str))


def differing_keys(before: Mapping[str, Plain], now: Mapping[str, Plain], *, prefix: str = "") -> list[str]:
    """Dotted names under which two identities differ.

    >>> differing_keys({"train": {"lr": 1, "epochs": 2}}, {"train": {"lr": 2, "epochs": 2}})
    ['train.lr']
    """
    names = []
    for key in [*before, *(k for k in now if k not in before)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += differing_keys(old, new, prefix=f"{prefix}{key}.")
        elif old != new:
            names.append(f"{prefix}{key}")
    return names
