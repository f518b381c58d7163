"""A digest of a data folder that changes when its files do, without reading them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from segbench.errors import DataError


def data_digest(root: str | Path | None) -> str:
    """16 hex digits of the names, sizes and modification times of all files below ``root``; "" for embedded data (None).

    Hidden files are left out (editors and file managers write them), links are followed. Where the folder itself lies does
    not matter. Raises :class:`DataError` where ``root`` does not exist.
    """
    if root is None:
        return ""
    root = Path(root)
    if not root.exists():
        raise DataError(f"the data folder {root} does not exist. Give the dataset's folder with --data DIR.")
    lines = _lines(root, "", frozenset()) if root.is_dir() else [_line(root, root.name)]
    return hashlib.blake2b("\n".join(sorted(lines)).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _lines(folder: Path, prefix: str, above: frozenset[str]) -> list[str]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return []
    lines = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                lines += _lines(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
            else:
                lines.append(_line(entry, prefix + entry.name))
    return lines


def _line(file: os.DirEntry[str] | Path, name: str) -> str:
    try:
        status = file.stat()
    except OSError:
        return f"{name}\0missing"  # a link to nothing
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}"
