"""Loaders that reports and sites share: escaping templates, style sheets, and scripts in a scope of their own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


@functools.cache
def templates(*folders: Path) -> Environment:
    """The templates of these folders; every value put into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(folders)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@functools.cache
def style(*files: Path) -> str:
    """Style sheets as one text."""
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@functools.cache
def code(*files: Path) -> str:
    """Scripts as one function, so that their names do not collide with those of the charts' library."""
    parts = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'
