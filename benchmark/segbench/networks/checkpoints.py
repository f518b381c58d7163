"""Checkpoints: written atomically, read without running any code that a file may hold."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from segbench.errors import CheckpointError, StoreError
from segbench.networks.checkpoint_meta import CheckpointMeta, parse_meta
from segbench.util.files import replacing
from segbench.util.plain_data import Plain
from segbench.util.sequences import first_line

FORMAT = 1
_MOST_NAMED = 3


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
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(content, dict) and "format" in content and "model_state" in content:
        if content["format"] != FORMAT:
            raise CheckpointError(f"{path} has checkpoint format {content['format']}; this version reads format {FORMAT}. Update segbench.")
        return Checkpoint(content["model_state"], parse_meta(content["meta"], path), content["identity"], content["training"])
    if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
        return Checkpoint(content)
    raise CheckpointError(f"{path} is neither a checkpoint of segbench nor a state dict of tensors")


def load_model_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load strictly. Raises :class:`CheckpointError` that names the first keys that do not fit."""
    faults = mismatches(model.state_dict(), state)
    if faults:
        raise CheckpointError(f"{source} is of another model: {_first_faults(faults)}")
    model.load_state_dict(dict(state))


def init_from(path: Path, model: nn.Module, *, head: Iterable[str], class_names: tuple[str, ...]) -> list[str]:
    """Start ``model`` from a checkpoint and return notes on what was left out.

    With another number of classes the keys under the prefixes ``head`` keep their fresh values. Everything else must fit:
    raises :class:`CheckpointError` that names what does not.
    """
    checkpoint = read_checkpoint(path)
    own, loaded = model.state_dict(), dict(checkpoint.model_state)
    prefixes = tuple(head)
    in_head = {name for name in {*own, *loaded} if prefixes and name.startswith(prefixes)}
    classes_before = checkpoint.meta.task.class_names if checkpoint.meta else None
    if classes_before is not None:
        across = len(classes_before) != len(class_names)
    else:
        across = any(name in loaded and name in own and loaded[name].shape != own[name].shape for name in in_head)
    left_out = in_head if across else set()
    faults = mismatches({k: v for k, v in own.items() if k not in left_out}, {k: v for k, v in loaded.items() if k not in left_out})
    if faults:
        hint = " (its model declares no head that could be left out)" if across and not prefixes else ""
        raise CheckpointError(f"train.init_from: {path} does not fit the model{hint}: {_first_faults(faults)}")
    model.load_state_dict({**own, **{k: v for k, v in loaded.items() if k not in left_out}})
    notes = [f"started from {path}"]
    if left_out:
        names = ", ".join(sorted({next(p for p in prefixes if name.startswith(p)).rstrip(".") for name in left_out}))
        before = f"{len(classes_before)} classes" if classes_before is not None else "other classes"
        notes.append(f"the checkpoint has {before}, the task {len(class_names)}: left out and trained afresh: {names}")
    return notes


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


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {first_line(error)}") from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # then it is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise CheckpointError(f"{path} is damaged, or no checkpoint") from error
        raise CheckpointError(
            f"{path} holds more than tensors and plain data, and reading it could run code: refused. "
            "Save its state dict alone (torch.save(model.state_dict(), ..), or safetensors)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # what a file that is none of torch's makes its reader stumble on is often a bare number
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {type(error).__name__} {first_line(error)}") from error


def _first_faults(faults: list[str]) -> str:
    more = f" and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    return "; ".join(faults[:_MOST_NAMED]) + more
