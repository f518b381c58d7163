"""Escaping of text from users and plugins (names, messages, paths): it is shown literally and never interpreted."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_EMOJI_CODE = re.compile(r"(?i):(?=(?:100|1234|[+\-]1|[a-z][a-z0-9_+\-]*):)")
_MARKS = re.compile(r"[\\`*\[\]|~$]")
_OUTER_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp)://|\bwww\.")
_LINE_START = re.compile(r"^(?:([#+\-=])(?=[#+\-=\s]|$)|(\d+)([.)])(?=\s|$))")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(text: object) -> str:
    """One line of printable text: line breaks become spaces, characters that control a terminal or the reading direction become �.

    >>> plain("a" + chr(27) + "[31mb" + chr(10) + "c")
    'a�[31mb c'
    """
    one_line = " ".join(str(text).split())
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") else c for c in one_line)


def markdown(text: object) -> str:
    r"""``text`` escaped so that GitHub's Markdown shows it literally, in a paragraph or a table cell.

    >>> markdown("a|b <script> [x](y) *z* lite_0 _q_")
    'a\\|b &lt;script&gt; \\[x\\](y) \\*z\\* lite_0 \\_q\\_'
    """
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _MARKS.sub(r"\\\g<0>", escaped)
    escaped = _OUTER_UNDERSCORE.sub(r"\\_", escaped)
    escaped = _EMOJI_CODE.sub("&#58;", escaped)
    escaped = _AUTOLINK.sub(lambda match: match.group().replace("://", "&#58;//").replace(".", "&#46;"), escaped)
    return _LINE_START.sub(lambda match: f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}", escaped)


def code_block(text: str, language: str = "") -> str:
    """A fenced code block; the fence is longer than any run of backticks in ``text``."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def link_target(path: str) -> str:
    """A relative path as a link target.

    >>> link_target("predictions/a b(1).png")
    'predictions/a%20b%281%29.png'
    """
    return quote(path)


def spreadsheet(text: str) -> str:
    """``text`` for a CSV field: an apostrophe in front of anything that a spreadsheet would run as a formula.

    >>> spreadsheet("=1+1"), spreadsheet("unet")
    ("'=1+1", 'unet')
    """
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA[:4]) else text
