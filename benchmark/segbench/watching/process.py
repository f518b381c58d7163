"""Whether a process still writes to a run's directory, found out without taking its lock."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def writer_of(directory: Path) -> int | None:
    """The process that took the lock last, as it wrote down."""
    try:
        text = (directory / ".lock").read_text().strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 2**31 else None


def holds(pid: int, lock: Path) -> bool | None:
    """Whether a process of this machine is there and has the lock file open; None where this system does not tell.

    A lock is not tried: for that moment a run that is just starting would find it taken.
    """
    if sys.platform == "linux":
        return _has_open(pid, lock)
    if os.name != "posix":  # there a signal 0 is a real one
        return None
    return _is_there(pid)


def _has_open(pid: int, lock: Path) -> bool:
    folder, wanted = Path("/proc") / str(pid) / "fd", os.path.realpath(lock)
    try:
        numbers = os.listdir(folder)
    except PermissionError:  # another user's
        return _is_there(pid)
    except OSError:
        return False
    for number in numbers:
        try:
            if os.readlink(folder / number) == wanted:
                return True
        except OSError:
            continue
    return False


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
