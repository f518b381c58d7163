"""Markdown tables, lists and folded blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

Align = Literal["left", "right", "center"]
_RULES = {"left": ":--", "right": "--:", "center": ":-:"}


def grid(headers: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[Align] | None = None) -> str:
    """A pipe table of cells that are Markdown already; columns beyond ``align`` (by default one left-aligned) are right-aligned.

    >>> print(grid(["model", "mIoU"], [["a", "51.2"]]))
    | model | mIoU |
    | :-- | --: |
    | a | 51.2 |
    """
    aligned: list[Align] = list(align or ["left"])
    aligned += ["right" for _ in headers[len(aligned) :]]
    lines = [headers, [_RULES[a] for a in aligned], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """An unordered list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def folded(title: str, content: str) -> str:
    """A block whose content opens on a click of its title."""
    return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"
