"""The grammar of ``deeplab-optimized[aspp_channels=96]``: text to :class:`Choice` and back.

A name is followed by options in brackets, ``key=value`` separated by commas. Values are TOML scalars (``8``, ``1e-3``, ``true``,
``"any text"``), lists in parentheses, and bare words. Lists of names split on commas outside brackets.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from segbench.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_NUMBER = re.compile(r"[+-]?(\d[\d_]*)(\.\d[\d_]*)?([eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_./~][A-Za-z0-9_.\-/:@~+]*")


@dataclass(frozen=True)
class Choice:
    """A plugin's name with the options that the user set. ``str()`` gives its canonical text (options sorted by key)."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    label: str = field(default="", compare=False)
    """What reports call it; no part of its text."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}[{','.join(f'{k}={format_value(v)}' for k, v in self.options)}]"

    def with_options(self, **options: Any) -> Choice:
        """The same choice with more options; those given win."""
        return Choice(self.name, tuple({**dict(self.options), **options}.items()), self.label)

    @property
    def labelled_text(self) -> str:
        """The text with the label in front, which :func:`parse_choice` reads where it takes labels."""
        return f"{self.label}={self}" if self.label else str(self)


def parse_choice(text: str, *, labels: bool = False) -> Choice:
    """Read one name with its options; ``labels``: a label may stand in front, as in ``lite=deeplab-optimized``.

    >>> parse_choice("deeplab-optimized[aspp_channels=96,aspp_rates=(1, 6)]").options
    (('aspp_channels', 96), ('aspp_rates', (1, 6)))
    >>> str(parse_choice('folder[names="a b", split=(0.7,0.3)]'))
    'folder[names="a b",split=(0.7,0.3)]'
    """
    reader = _Reader(text)
    choice = reader.choice(labels=labels)
    reader.expect_end()
    return choice


def parse_choices(text: str, *, labels: bool = False) -> list[Choice]:
    """Read a comma-separated list of names, with labels where these are taken.

    >>> [str(c) for c in parse_choices("a[x=(1,2)], b")]
    ['a[x=(1,2)]', 'b']
    >>> [(c.label, c.name) for c in parse_choices("lite=a,b", labels=True)]
    [('lite', 'a'), ('', 'b')]
    """
    reader = _Reader(text)
    choices = [reader.choice(labels=labels)]
    while reader.accept(","):
        choices.append(reader.choice(labels=labels))
    reader.expect_end()
    return choices


def parse_value(text: str) -> Any:
    """Read one value: a TOML scalar, a list in parentheses or brackets, or plain text (as in ``--set train.image_size=256x320``).

    >>> parse_value("1e-3"), parse_value("true"), parse_value("(1,2)"), parse_value("256x320"), parse_value("none")
    (0.001, True, (1, 2), '256x320', None)
    """
    reader = _Reader(text)
    try:
        value = reader.value()
        reader.expect_end()
    except ConfigError:
        if text[:1] in ('"', "'", "(", "["):
            raise
        return text
    return value


def parse_values(text: str) -> list[Any]:
    """Read the values of one axis: ``1e-3,1e-4``; commas inside quotes or parentheses do not split.

    >>> parse_values("1e-3, 256x320,(1,2)")
    [0.001, '256x320', (1, 2)]
    """
    return [parse_value(part.strip()) for part in split_outside(text)]


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Split on ``separator`` outside quotes, parentheses and brackets."""
    parts, depth, quote, start, i = [], 0, "", 0, 0
    while i < len(text):
        char = text[i]
        if quote:
            if char == "\\" and quote == '"':
                i += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    return [*parts, text[start:]]


def format_value(value: Any) -> str:
    """The text that :func:`parse_choice` reads back as ``value``.

    >>> format_value(0.5), format_value("resnet18"), format_value("a b"), format_value((1, "x")), format_value("12")
    ('0.5', 'resnet18', '"a b"', '(1,x)', '"12"')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return "(" + ",".join(format_value(v) for v in value) + ")"
    text = str(value)
    if _WORD.fullmatch(text) and text not in ("true", "false", "none", "nan", "inf"):
        return text
    return json.dumps(text, ensure_ascii=False)


def slug(text: str, *, limit: int = 80) -> str:
    """A file name for ``text``: what is not plain becomes ``-``; where anything was lost, a short hash keeps names apart.

    >>> slug("deeplab-optimized"), slug("focal[gamma=2]")
    ('deeplab-optimized', 'focal-gamma-2-25b3c700')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
    if plain and plain == text and len(plain) <= limit:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: limit - 9].strip('-.')}-{digest}" if plain else digest


class _Reader:
    """A recursive-descent parser over one line of text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def choice(self, *, labels: bool = False) -> Choice:
        name, label = self._match(_NAME, "a name"), ""
        if labels and self.accept("="):
            name, label = self._match(_NAME, f"a name after '{name}='"), name
        options: dict[str, Any] = {}
        if self.accept("["):
            while not self.accept("]"):
                key = self._match(_KEY, "an option name")
                self._expect("=", f"'=' after '{key}'")
                if key in options:
                    raise self._error(f"option '{key}' is given twice")
                options[key] = self.value()
                if not self.accept(","):
                    self._expect("]", "',' or ']'")
                    break
        return Choice(name, tuple(options.items()), label)

    def value(self) -> Any:
        self._space()
        char = self.text[self.at : self.at + 1]
        if char in ("(", "["):
            return self._list(")" if char == "(" else "]")
        if char in ('"', "'"):
            return self._quoted(char)
        return self._scalar()

    def accept(self, char: str) -> bool:
        self._space()
        if self.text[self.at : self.at + 1] == char:
            self.at += 1
            return True
        return False

    def expect_end(self) -> None:
        self._space()
        if self.at < len(self.text):
            raise self._error(f"unexpected '{self.text[self.at :]}'")

    def _list(self, closing: str) -> tuple[Any, ...]:
        self.at += 1
        items: list[Any] = []
        while not self.accept(closing):
            items.append(self.value())
            if not self.accept(","):
                self._expect(closing, f"',' or '{closing}'")
                break
        return tuple(items)

    def _quoted(self, quote: str) -> str:
        end = self.at + 1
        while end < len(self.text) and self.text[end] != quote:
            end += 2 if quote == '"' and self.text[end] == "\\" else 1
        raw = self.text[self.at : end + 1]
        if len(raw) < 2 or raw[-1] != quote:
            raise self._error("a quote is not closed")
        self.at = end + 1
        if quote == "'":
            return raw[1:-1]
        try:
            return str(json.loads(raw, strict=False))
        except ValueError:
            raise self._error(f"{raw} is not a valid quoted text") from None

    def _scalar(self) -> Any:
        word = _WORD.match(self.text, self.at)
        number = _NUMBER.match(self.text, self.at)
        if number and (number.end() == len(self.text) or self.text[number.end()] in ",)] \t"):
            self.at = number.end()
            plain = number.group().replace("_", "")
            if not (number.group(2) or number.group(3)):
                return int(plain)
            if math.isinf(float(plain)):
                raise self._error(f"{plain} is too large for a number")
            return float(plain)
        if not word:
            raise self._error("expected a value (a number, true, false, a word, a quoted text or a list in parentheses)")
        self.at = word.end()
        text = word.group()
        if self.text[self.at : self.at + 1] == "[":  # a choice inside a list: of=(a[x=1],b)
            self.at = word.start()
            return str(self.choice())
        return {"true": True, "false": False, "none": None}.get(text, text)

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        self._space()
        match = pattern.match(self.text, self.at)
        if not match:
            raise self._error(f"expected {what}")
        self.at = match.end()
        return match.group()

    def _expect(self, char: str, what: str) -> None:
        if not self.accept(char):
            raise self._error(f"expected {what}")

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def _error(self, message: str) -> ConfigError:
        return ConfigError(
            f"Cannot read '{self.text}': {message} at position {self.at + 1}. Write name[key=value,key=(a,b)], quoted for the shell."
        )
