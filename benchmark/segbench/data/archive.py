"""Unpack tar and zip archives inside one folder: whatever an archive says, nothing is written elsewhere or over something."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from segbench.errors import DataError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` into ``folder``, all or nothing: into a temporary folder first, then renamed.

    Raises :class:`DataError` for absolute paths, paths with ``..``, links, devices, damaged archives, and where something of the
    same name stands in ``folder`` already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
            for name, stream in _members(archive):
                _write(Path(temporary), name, stream, archive)
            _move_up(Path(temporary), folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged: {error}. Remove it and download again.") from error
    except OSError as error:
        raise DataError(f"cannot unpack {archive} to {folder}: {error.strerror or error}") from error


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names with their content; None for folders."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if info.is_dir():
                    yield info.filename, None
                    continue
                with zipped.open(info) as stream:
                    yield info.filename, stream
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"{archive} holds '{member.name}', which is a link or a device: refused")
            yield member.name, tar.extractfile(member) if member.isreg() else None


def _write(folder: Path, name: str, stream: IO[bytes] | None, archive: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts == (".",):
        return
    if parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise DataError(f"{archive} holds '{name}', which would be written outside of its folder: refused")
    path = folder.joinpath(*parts)
    if stream is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)


def _move_up(temporary: Path, folder: Path) -> None:
    entries = sorted(temporary.iterdir())
    taken = [entry.name for entry in entries if (folder / entry.name).exists()]
    if taken:
        raise DataError(f"{folder / taken[0]} is there already and is left alone. Move it away, or use it as it is.")
    for entry in entries:
        os.replace(entry, folder / entry.name)
