"""Data and code embedded in the page: no name can end a script block or start a tag."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segbench_reports.text.escape import plain
from segbench_reports.text.numbers import elided

_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_LONGEST_WORD = 160
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


def script_json(data: Any) -> str:
    """``data`` as compact JSON that is safe inside ``<script type="application/json">``; NaN and infinities become null.

    >>> script_json({"name": "</script><b>", "value": float("nan")})
    '{"name":"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e","value":null}'
    """
    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda match: _UNSAFE[match.group()], text)


def printable(text: object, limit: int = _LONGEST_WORD) -> str:
    """One line of printable text; a word longer than ``limit`` loses its middle.

    >>> len(printable("a" * 10_000)), printable("deeplab" + chr(0x202E))
    (161, 'deeplab�')
    """
    return without_endless_words(plain(text), limit)


def without_endless_words(text: str, limit: int = _LONGEST_WORD) -> str:
    """Printable ``text`` with its blanks; a word longer than ``limit`` loses its middle.

    >>> without_endless_words(" a ") , len(without_endless_words("b" * 300))
    (' a ', 161)
    """
    return _LONG_WORD.sub(lambda match: elided(match.group(), limit), text)


def packed(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records as columns; each distinct text once, with its indices, so that 200 cells of 100 epochs stay small.

    >>> packed([{"cell": "a", "y": 0.51239}, {"cell": "a", "y": 0.6}])
    {'n': 2, 'columns': {'cell': {'words': ['a'], 'at': [0, 0]}, 'y': [0.51239, 0.6]}}
    """
    keys = dict.fromkeys(key for record in records for key in record)
    return {"n": len(records), "columns": {key: _column([record.get(key) for record in records]) for key in keys}}


def rounded(value: Any) -> Any:
    """A value with five significant digits, more than a chart can show.

    >>> rounded(12.3456789), rounded(7), rounded(float("inf")), rounded(True)
    (12.346, 7, None, 1)
    """
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    short = float(f"{value:.5g}")
    return int(short) if short.is_integer() else short


@functools.cache
def chart_library() -> str:
    """Vega, Vega-Lite and vega-embed in one script, from vl-convert."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub misses the default
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def script_hash(script: str) -> str:
    """The source expression by which the page's policy allows exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _column(values: Iterable[Any]) -> Any:
    values = [rounded(value) for value in values]
    if not any(isinstance(value, str) for value in values):
        return values
    words = {word: place for place, word in enumerate(dict.fromkeys(str(value) for value in values if value is not None))}
    return {"words": list(words), "at": [None if value is None else words[str(value)] for value in values]}


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data
