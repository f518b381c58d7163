"""The one-file HTML report: it opens offline from disk, and no request leaves the page."""

from __future__ import annotations

import importlib.util
from typing import Any

INSTALL = "pip install 'segbench[report]'"
_NEEDED = {"jinja2": "Jinja2", "altair": "Altair", "vl_convert": "vl-convert", "markdown_it": "markdown-it-py"}


def check(task: Any = None, options: Any = None) -> list[str]:
    """Messages on required packages that are missing, with the command that installs them; empty where none is."""
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    return [f"The HTML report needs {', '.join(missing)}: {INSTALL}"] if missing else []
