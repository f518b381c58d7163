"""Weights of an encoder from a local file: read without running any code, and matched strictly.

Every value of the encoder must be in the file with the right shape. What the file has beyond that must belong to the rest of the
full classification network (its head); anything else means that the file is of another network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from segbench import CheckpointError, read_weights
from segbench_plugins.models.weight_names import canonical, to_timm

_LOG = logging.getLogger(__name__)
_HEADS = ("fc.", "classifier.", "head.", "head.fc.")
_MOST_NAMED = 3


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors in a safetensors or torch file by name. Raises CheckpointError where there is none, or where it holds code."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise CheckpointError(f"weights file '{path}' does not exist. Give the path of a .safetensors or torch file.")
    tensors = read_weights(file).states[0].tensors
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def load_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor], *, name: str, source: str, in_channels: int) -> list[str]:
    """Fill a timm encoder from tensors by name; returns the names that were left over (the classification head's).

    Raises CheckpointError where a value is missing, has another shape or is not finite, and where the file is of another network.
    For images of other than 3 channels the first convolution is adapted as timm does it (repeated, or summed for one channel).
    """
    state, left_over = match_encoder(encoder, tensors, name=name, source=source, in_channels=in_channels)
    encoder.load_state_dict(state)
    if left_over:
        _LOG.info("%s: not needed by the encoder: %s", source, ", ".join(left_over))
    return left_over


def match_encoder(
    encoder: nn.Module, tensors: Mapping[str, Tensor], *, name: str, source: str, in_channels: int
) -> tuple[dict[str, Tensor], list[str]]:
    """The encoder's state from ``tensors``, and the names in it that it does not need; see :func:`load_encoder` for errors."""
    full = _full_keys(name)
    named = {canonical(key): (key, tensor) for key, tensor in to_timm(tensors, full).items()}
    state, missing, wrong = {}, [], []
    for key, own in encoder.state_dict().items():
        entry = named.pop(canonical(key), None)
        if entry is None:
            if key.endswith("num_batches_tracked"):  # not in files from before torch 0.4.1, and of no influence here
                state[key] = torch.zeros_like(own)
            else:
                missing.append(key)
            continue
        tensor = _adapt(entry[1], own, in_channels)
        if tensor.shape != own.shape:
            wrong.append(f"{key} is {_shape_text(tensor)} and should be {_shape_text(own)}")
        elif tensor.is_floating_point() and not torch.isfinite(tensor).all():
            wrong.append(f"{key} has values that are not finite")
        state[key] = tensor
    full_names = {canonical(key) for key in full}
    foreign = [key for spelled, (key, _) in named.items() if spelled not in full_names and not key.startswith(_HEADS)]
    _refuse_faults(source, name, missing, wrong, foreign)
    return state, [key for key, _ in named.values()]


def _refuse_faults(source: str, name: str, missing: list[str], wrong: list[str], foreign: list[str]) -> None:
    faults = [
        f"{len(names)} {what} ({', '.join(names[:_MOST_NAMED])}{', ..' if len(names) > _MOST_NAMED else ''})"
        for names, what in ((missing, "missing"), (wrong, "not fitting"), (foreign, "of another network"))
        if names
    ]
    if faults:
        raise CheckpointError(
            f"weights file '{source}' does not fit encoder '{name}': {'; '.join(faults)}. "
            f"Give the file of this very encoder, or set encoder to the one that the file is of."
        )


def _full_keys(name: str) -> list[str]:
    with torch.device("meta"):
        return list(timm.create_model(name).state_dict())


def _adapt(tensor: Tensor, own: Tensor, in_channels: int) -> Tensor:
    """The first convolution for another number of channels; every other tensor as it is."""
    same_but_inputs = tensor.ndim == own.ndim == 4 and tensor.shape[0] == own.shape[0] and tensor.shape[2:] == own.shape[2:]
    if in_channels == 3 or not same_but_inputs or (tensor.shape[1], own.shape[1]) != (3, in_channels):
        return tensor
    adapted: Tensor = timm.models.adapt_input_conv(in_channels, tensor)
    return adapted


def _shape_text(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
