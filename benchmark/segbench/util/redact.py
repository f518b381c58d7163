"""Text made safe to publish and to print: without folders of the author's machine, without control characters."""

from __future__ import annotations

import re

# an absolute path of at least two parts, not part of an address (https://..) or of a relative path
_ABSOLUTE = re.compile(r"(?<![\w.:/\\~-])(?:[A-Za-z]:[\\/]|/)(?:[^\s'\"()\[\]<>|,;:/\\]+[\\/])+(?=[^\s'\"()\[\]<>|,;:/\\])")


def without_folders(text: str) -> str:
    """A text with every absolute path cut down to its last part.

    >>> without_folders("started from /home/me/runs/a/best.pt; see https://example.org/a/b and runs/c/d")
    'started from best.pt; see https://example.org/a/b and runs/c/d'
    """
    return _ABSOLUTE.sub("", text)


def inert(text: str) -> str:
    """A text without signs that a terminal would act on or that turn its order round: each becomes a replacement character.

    >>> inert("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
