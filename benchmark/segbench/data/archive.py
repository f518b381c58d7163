"""Unpack tar and zip archives inside one folder: whatever an archive says, nothing is written elsewhere or over something."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from segbench.errors import DataError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` into ``folder``, all or nothing: into a temporary folder first, then renamed.

    Raises :class:`DataError` for absolute paths, paths with ``..``, links, devices, damaged archives, and where something of the
    same name stands in ``folder`` already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
            _extract(archive, Path(temporary))
            _move_up(Path(temporary), folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{archive} is damaged: {error}. Remove it and download again.") from error
    except OSError as error:
        raise DataError(f"cannot unpack {archive} to {folder}: {error.strerror or error}") from error


def _extract(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                info.filename = info.filename.replace("\\", "/")  # some programs write Windows' own separators
                _refuse_outside(info.filename, archive)
                zipped.extract(info, folder)
        return
    with tarfile.open(archive) as tar:
        # drops owners and unsafe permissions; by itself it would let links pass that stay inside, and make absolute paths relative.
        # Python before 3.10.12 and 3.11.4 has no such filter, and no need of one for names and links, which are refused here
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in tar:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"{archive} holds '{member.name}', which is a link or a device: refused")
            _refuse_outside(member.name, archive)
            tar.extract(member, folder)


def _refuse_outside(name: str, archive: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if parts and (parts[0] == "/" or ".." in parts or ":" in parts[0]):
        raise DataError(f"{archive} holds '{name}', which would be written outside of its folder: refused")


def _move_up(temporary: Path, folder: Path) -> None:
    entries = sorted(temporary.iterdir())
    taken = [entry.name for entry in entries if (folder / entry.name).exists()]
    if taken:
        raise DataError(f"{folder / taken[0]} is there already and is left alone. Move it away, or use it as it is.")
    for entry in entries:
        os.replace(entry, folder / entry.name)
