"""What ``segbench verify`` found on this machine, kept in the user's cache folder until the machine, torch or the instruments change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.plugin.chosen import source_hash
from segbench.util.cache_dir import user_cache
from segbench.util.files import replacing

FILE = "instruments.json"
_KEPT = 20


def instrument_identity(machine: Mapping[str, str], segbench: str | None) -> dict[str, str]:
    """What a stamp vouches for: cpu, gpu, torch, segbench's version, and a hash of the code that measures."""
    named = {key: machine[key] for key in ("cpu", "gpu", "torch") if machine.get(key)}
    return {**named, "segbench": segbench or "unknown", "instruments": source_hash(Path(__file__).parent)}


def write_stamp(about: Mapping[str, str], stamp: Mapping[str, Any]) -> Path:
    """Keep ``stamp`` beside those of other machines that share the folder; returns the file. Raises :class:`OSError`."""
    path = user_cache() / FILE
    others = {key: value for key, value in _read(path).items() if key != _key(about)}
    kept = dict(list(others.items())[-(_KEPT - 1) :])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps({**kept, _key(about): {**stamp, **about}}, indent=1), encoding="utf-8")
    return path


def read_stamp(about: Mapping[str, str]) -> dict[str, Any] | None:
    """The stamp of exactly this machine, torch and segbench; None where there is none."""
    found = _read(user_cache() / FILE).get(_key(about))
    return found if isinstance(found, dict) and all(found.get(key) == value for key, value in about.items()) else None


def _read(path: Path) -> dict[str, Any]:
    """All stamps; a file that cannot be read holds none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _key(about: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(dict(sorted(about.items()))).encode(), digest_size=8).hexdigest()
