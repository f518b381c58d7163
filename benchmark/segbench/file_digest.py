"""A digest of a file of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

_BLOCK = 1 << 20


class Hasher(Protocol):
    """What :mod:`hashlib` makes."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""


def file_digest(file: Path, hasher: Hasher | None = None) -> str:
    """Hex digits of a file's content, by SHA-256 unless another hasher is given; the file is read block by block. Raises OSError."""
    hasher = hashlib.sha256() if hasher is None else hasher
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
