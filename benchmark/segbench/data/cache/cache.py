"""The decoded cache: a split is decoded once and shared by all cells and workers, within a bound on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from segbench.config.settings import DataSettings
from segbench.data.cache.entry import CachedSamples, TooLargeError, open_entry, write_entry
from segbench.plugin.specs import Sample
from segbench.util.cache_dir import user_cache

Report = Callable[[str], None]

_IN_USE_SECONDS = 3600.0
_ABANDONED_SECONDS = 24 * 3600.0


def cache_key(dataset: str, split: str, digest: str, *, version: str = "") -> str:
    """The key of a decoded split: the dataset with its options, the split, the data's digest, and the dataset code's version.

    >>> cache_key("folder[suffix='.png']", "train", "3f2a", version="0.1.0")
    "folder[suffix='.png'] | train | 3f2a | 0.1.0"
    """
    return " | ".join((dataset, split, digest, version))


def cache_folder(settings: DataSettings) -> Path:
    """The folder of all entries: ``data.cache_dir``, else as :func:`~segbench.util.cache_dir.user_cache` says."""
    return user_cache(settings.cache_dir) / "decoded"


def cached(samples: Sequence[Sample], *, key: str, settings: DataSettings, report: Report | None = None) -> Sequence[Sample]:
    """The samples out of the decoded cache, which is filled first where it does not hold ``key``.

    The given samples come back where the cache is off, does not fit ``data.cache_gb`` or the disk, or cannot be written; then
    ``report`` is told why. Entries not used for an hour are removed, oldest first, where the bound needs room.
    Raises :class:`~segbench.errors.DataError` where a sample cannot be read.
    """
    if settings.cache_gb == 0 or len(samples) == 0:
        return samples
    limit = int(settings.cache_gb * 1e9)
    directory = cache_folder(settings) / hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
    reason = ""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.with_suffix(".lock")):
            entry = open_entry(directory, key=key, count=len(samples)) or _build(samples, directory, key=key, limit=limit)
        if entry is not None:
            _touch(directory)
            return entry
        reason = "the entry could not be read back"
    except TooLargeError as error:
        reason = f"it needs about {error.args[0] / 1e9:.2g} GB beside what is in use; data.cache_gb is {settings.cache_gb:g}"
    except (OSError, TypeError) as error:  # no permission, a full disk; a dtype that numpy does not have
        reason = f"{directory.parent}: {error}"
    if report is not None:
        report(f"decoded cache not used, samples are read anew each time: {reason}")
    return samples


def _build(samples: Sequence[Sample], directory: Path, *, key: str, limit: int) -> CachedSamples | None:
    scratch = directory.with_name(f"{directory.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        size = write_entry(samples, scratch, key=key, limit=min(limit, shutil.disk_usage(directory.parent).free))
        _make_room(directory, size, limit)
        _publish(scratch, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return open_entry(directory, key=key, count=len(samples))


def _publish(scratch: Path, directory: Path) -> None:
    """Rename into place; a damaged entry of that name makes way."""
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
    try:
        scratch.rename(directory)
    except OSError:
        if not directory.exists():  # where locks do not work, another builder's entry is as good
            raise


def _make_room(directory: Path, size: int, limit: int) -> None:
    """Remove entries, the longest unused first, until ``size`` more bytes keep the bound; raises TooLargeError where they cannot."""
    now = time.time()
    for scratch in directory.parent.glob("*.tmp"):
        if now - _used(scratch) > _ABANDONED_SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)
    others = sorted((p for p in directory.parent.iterdir() if p.is_dir() and p.suffix == "" and p != directory), key=_used)
    total = size + sum(_bytes(other) for other in others)
    idle = [other for other in others if now - _used(other) > _IN_USE_SECONDS]
    if total - sum(_bytes(other) for other in idle) > limit:
        raise TooLargeError(size)
    for other in idle:
        if total <= limit:
            break
        total -= _bytes(other)
        shutil.rmtree(other, ignore_errors=True)
        other.with_suffix(".lock").unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time; where the file system has no locks, the last to finish wins, harmlessly."""
    from filelock import FileLock

    lock = FileLock(path, fallback_to_soft=False)
    with contextlib.suppress(OSError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _touch(directory: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(directory)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _bytes(directory: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(file.stat().st_size for file in directory.iterdir())
    return 0
