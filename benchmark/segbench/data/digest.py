"""A digest of a data folder's contents, each file of which is read once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segbench.errors import DataError
from segbench.util.cache_dir import user_cache
from segbench.util.devices import usable_cores
from segbench.util.files import file_digest, replacing

READ_AT_MOST = 32 * 2**30
"""Bytes; a folder that holds more is known by its files' names, sizes and modification times, for it would take minutes to read."""

_Digests = dict[str, str]


def data_digest(root: str | Path | None) -> str:
    """16 hex digits of the names and contents of all files below ``root``; "" for embedded data (None).

    Hidden files are left out (editors and file managers write them), links are followed. Neither where the folder lies nor when its files
    were written matters: data that was copied or unpacked anew retrains nothing. What a file held is remembered in the user's cache until
    its size, times or inode change, so that only new files are read. Raises :class:`DataError` where ``root`` does not exist.
    """
    if root is None:
        return ""
    root = Path(root)
    if not root.exists():
        raise DataError(f"the data folder {root} does not exist. Give the dataset's folder with --data DIR.")
    files = dict(_files(root, "", frozenset())) if root.is_dir() else {root.name: root}
    states = {name: _state(file) for name, file in files.items()}
    if sum(state.st_size for state in states.values() if state) > READ_AT_MOST:
        contents = {name: f"{state.st_size}\0{state.st_mtime_ns}" if state else "missing" for name, state in states.items()}
    else:
        contents = _file_digests(root, files, states)
    lines = (f"{name}\0{contents[name]}" for name in sorted(files))
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _files(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[tuple[str, Path]]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
            else:
                yield prefix + entry.name, Path(entry.path)


def _state(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None  # a link to nothing


def _file_digests(root: Path, files: Mapping[str, Path], states: Mapping[str, os.stat_result | None]) -> _Digests:
    """The digest of each file's content, by name; files whose digest is remembered and that are unchanged are not read."""
    memory_file = (
        user_cache()
        / "digests"
        / f"{hashlib.blake2b(os.path.realpath(root).encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}.json"
    )
    remembered = _read_memory(memory_file)
    keys = {name: _state_key(name, state) for name, state in states.items() if state}
    unread = [name for name, key in keys.items() if key not in remembered]
    with ThreadPoolExecutor(usable_cores()) as pool:  # hashing and reading leave the interpreter's lock
        read = dict(zip(unread, pool.map(lambda name: _hash_file(files[name]), unread), strict=True))
    contents = {name: read.get(name) or remembered[key] for name, key in keys.items()}
    if unread or len(remembered) != len(keys):
        _write_memory(memory_file, {keys[name]: content for name, content in contents.items()})
    return {name: contents.get(name, "missing") for name in files}


def _state_key(name: str, state: os.stat_result) -> str:
    """A text that changes with every write, also where the size is kept and the modification time set back (that changes ctime)."""
    return f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\0{state.st_ino}"


def _hash_file(file: Path) -> str:
    try:
        return file_digest(file, hashlib.blake2b(digest_size=16))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}. Make it readable, or take it out of the data folder.") from error


def _read_memory(file: Path) -> _Digests:
    try:
        digests = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _write_memory(file: Path, digests: _Digests) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            unfinished.write_text(json.dumps(digests))
    except OSError:
        pass  # without the cache the files are read again next time
