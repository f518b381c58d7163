"""Arrays: ``.npy`` files, and ``.npz`` files that hold one array or name theirs."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from segbench.data.reader.layers import Array
from segbench.errors import DataError
from segbench.util.sequences import first_line

_NAMES = {"image": ("image", "img", "x"), "mask": ("mask", "label", "y")}


def read_array(source: Path | BinaryIO, path: Path, role: str) -> Array:
    """The array of a file; of several in an ``.npz`` the one named image (or mask, label). Objects are never unpickled."""
    try:
        content = np.load(source, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = content.files
            chosen = names[0] if len(names) == 1 else next((name for name in _NAMES[role] if name in names), None)
            if chosen is None:
                raise DataError(f"{path} holds the arrays {', '.join(names)}: which is the {role}? Name it '{role}', or save one alone.")
            array: Array = content[chosen]
            return array
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}.") from None
    except Exception as error:  # numpy raises ValueError, OSError, EOFError and those of zipfile
        raise DataError(f"cannot read {path}: {first_line(error)}. Is it an array of numbers, and complete?") from None


def as_bands(array: Array, path: Path, channels: int | None) -> Array:
    """An image array as (C, H, W). ``channels`` tells whether the first or the last axis holds the channels."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{path} holds {array.dtype}; an image is an array of numbers.")
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise DataError(f"{path} holds an array of the shape {array.shape}; an image is (H, W), (C, H, W) or (H, W, C).")
    wanted = (channels,) if channels is not None else (1, 3)
    accepted = {*wanted, 1} if channels == 3 else set(wanted)
    first, last = array.shape[0] in accepted, array.shape[2] in accepted
    if first and last and array.shape[0] != array.shape[2]:
        first, last = array.shape[0] == channels, array.shape[2] == channels
    if first == last:
        which = "its first and its last axis may both be" if first else "neither its first nor its last axis holds"
        raise DataError(f"{path} holds an array of the shape {array.shape}: {which} the channels. Save it as a picture, or as (C, H, W).")
    return array if first else np.ascontiguousarray(array.transpose(2, 0, 1))


def as_labels(array: Array, path: Path) -> Array:
    """A mask array as (H, W), or as (H, W, 3) where it is in colours."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{path} holds {array.dtype}; a mask is an array of numbers.")
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        return array
    if array.ndim != 2:
        raise DataError(f"{path} holds an array of the shape {array.shape}; a mask is (H, W): one class id per pixel.")
    return array.astype(np.uint8) if array.dtype == np.bool_ else array
