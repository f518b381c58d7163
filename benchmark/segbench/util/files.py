"""Files: atomic writes, sizes, digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from segbench.errors import StoreError

MB = 2**20
"""Bytes of a megabyte, as every figure in MB counts them."""

_BLOCK_BYTES = 1 << 20


class Hasher(Protocol):
    """The interface of the objects of :mod:`hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""


def file_digest(file: Path, hasher: Hasher | None = None) -> str:
    """Hex digits of a file's content, by SHA-256 unless another hasher is given; the file is read block by block. Raises OSError."""
    hasher = hashlib.sha256() if hasher is None else hasher
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            hasher.update(block)
    return hasher.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into one clear message."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full. Free some space and run the same command again: it continues where it stopped.",
            errno.EACCES: "no permission to write there. Choose another --out DIR.",
            errno.EPERM: "no permission to write there. Choose another --out DIR.",
            errno.EROFS: "the file system is read-only. Choose another --out DIR.",
            errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another --out DIR.",
            errno.EEXIST: "there is a file of that name, not a folder. Choose another --out DIR.",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"Cannot write '{path}': {reason}") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes the place of ``path`` at the end: a reader sees the old file or the new one.

    What was written is removed where the block raises.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def folder_mb(folder: Path) -> float:
    """Megabytes (2**20 bytes) of all files below a folder."""
    return folder_bytes(folder) / MB
