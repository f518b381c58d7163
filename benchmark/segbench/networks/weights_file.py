"""Files of weights: read without running any code that they may hold, and named where they hold something else."""

from __future__ import annotations

import argparse
import importlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from segbench.errors import CheckpointError
from segbench.networks.checkpoint_meta import CheckpointMeta, parse_meta
from segbench.networks.file_format import first_bytes, foreign_format, starts_as_pickle, starts_as_safetensors
from segbench.util.sequences import first_line

FORMAT = 1
"""Version of segbench's own checkpoints."""

_DEEPEST = 3
_AVERAGED = "ema"
_OPTIMISERS = ("optimizer", "optimiser", "optim", "scheduler", "scaler", "criterion", "loss")


@dataclass(frozen=True)
class State:
    """Named tensors in a file; ``place`` is the dotted key under which they lie, empty where they are the file's own."""

    place: str
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """The named tensors in a file: averaged ones (EMA) before others, and what segbench's own checkpoints say of their network."""

    path: Path
    states: tuple[State, ...]
    meta: CheckpointMeta | None = None


def read_weights(path: Path, *, mapped: bool = False) -> WeightsFile:
    """Read a state dict (torch or safetensors, plain or wrapped in other dictionaries) or a checkpoint of segbench, onto the CPU.

    With ``mapped`` values stay on disk until they are looked at, where the format allows it.
    Raises :class:`CheckpointError` for any other file, with what it seems to be.
    """
    content = read_content(path, mapped=mapped)
    if is_own(content):
        return WeightsFile(path, (State("", own_state(content, path)),), parse_meta(content["meta"], path))
    states = sorted(_states(content), key=lambda state: _AVERAGED not in state.place)
    if not states:
        raise CheckpointError(f"{path} holds no named tensors. Save them with torch.save(model.state_dict(), PATH), or as safetensors.")
    return WeightsFile(path, tuple(states))


def is_own(content: Any) -> bool:
    """True for the content of a checkpoint of segbench."""
    return isinstance(content, dict) and "format" in content and "model_state" in content


def own_state(content: Mapping[str, Any], path: Path) -> Mapping[str, Tensor]:
    """The weights in a checkpoint of segbench. Raises :class:`CheckpointError` for one of another version."""
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {content['format']}; this version reads format {FORMAT}. Update segbench.")
    state: Mapping[str, Tensor] = content["model_state"]
    return state


def read_content(path: Path, *, mapped: bool = False) -> Any:
    """The content of a torch or safetensors file, on the CPU. Raises :class:`CheckpointError` for a file that is neither or is damaged."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the file in it that holds the weights.")
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    foreign = foreign_format(path)
    if foreign:
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {foreign}")
    if starts_as_safetensors(first_bytes(path)):
        return _read_safetensors(path)
    return _read_torch(path, mapped=mapped)


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {first_line(error)}") from error


def _read_torch(path: Path, *, mapped: bool) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_types()):
            warnings.simplefilter("ignore")  # about foreign pickles, which are refused below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            pickled = ": it is a pickle that could run code: refused. Save tensors with torch.save, or as safetensors."
            raise CheckpointError(f"{path} is damaged, or no checkpoint{pickled if starts_as_pickle(first_bytes(path)) else ''}") from error
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        held = f" (an object of {name[1]})" if name else ""
        raise CheckpointError(
            f"{path} holds more than tensors and plain data{held}, and reading it could run code: refused. "
            "Save its state dict alone (torch.save(model.state_dict(), ..), or safetensors)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # what a file that is none of torch's makes its reader stumble on is often a bare number
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {type(error).__name__} {first_line(error)}") from error


def _plain_types() -> list[Any]:
    """Types without behaviour that training scripts store beside weights: NumPy's numbers and the values of command-line options."""
    core = importlib.import_module("numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray")
    kinds = {type(np.dtype(name)) for name in ("bool", "int32", "int64", "float32", "float64")}
    return [core.scalar, core._reconstruct, np.dtype, np.ndarray, *kinds, argparse.Namespace]


def _states(content: Any, place: str = "", depth: int = 0) -> Iterator[State]:
    """The dictionaries of tensors in a file, outermost first; those of optimisers and losses are left out."""
    if not isinstance(content, Mapping):
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield State(place, tensors)
    for name, value in content.items():
        if isinstance(name, str) and depth < _DEEPEST and not name.lower().startswith(_OPTIMISERS):
            yield from _states(value, f"{place}.{name}".lstrip("."), depth + 1)
