"""The outcome of ``segbench verify``, kept in the user's cache folder until the machine, torch or the code that measures changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segbench.plugin.chosen import source_hash
from segbench.results.records import VerificationRecord
from segbench.util.cache_dir import user_cache
from segbench.util.files import replacing

FILE = "instruments.json"
_MOST_STAMPS = 20


def instrument_identity(machine: Mapping[str, str], segbench: str | None) -> dict[str, str]:
    """The instruments for which a stamp is valid: cpu, gpu, torch, segbench's version, and a hash of the code that measures."""
    hardware = {key: machine[key] for key in ("cpu", "gpu", "torch") if machine.get(key)}
    return {**hardware, "segbench": segbench or "unknown", "instruments": source_hash(Path(__file__).parent)}


def write_stamp(about: Mapping[str, str], outcome: VerificationRecord) -> VerificationRecord:
    """Keep ``outcome``, signed with ``about``, beside those of other machines that share the folder. Raises :class:`OSError`."""
    path = user_cache() / FILE
    stamp = outcome.model_copy(update=dict(about))
    others = {key: value for key, value in _read(path).items() if key != _key(about)}
    newest = dict(list(others.items())[-(_MOST_STAMPS - 1) :])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps({**newest, _key(about): stamp.model_dump(mode="json")}, indent=1), encoding="utf-8")
    return stamp


def read_stamp(about: Mapping[str, str]) -> VerificationRecord | None:
    """The stamp of exactly this machine, torch and segbench; None where there is none."""
    try:
        stamp = VerificationRecord.model_validate(_read(user_cache() / FILE).get(_key(about)))
    except ValidationError:
        return None
    return stamp if all(stamp.get(key) == value for key, value in about.items()) else None


def _read(path: Path) -> dict[str, Any]:
    """All stamps; a file that cannot be read holds none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _key(about: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(dict(sorted(about.items()))).encode(), digest_size=8).hexdigest()
