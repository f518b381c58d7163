"""The plugin: its formats, and that listing them imports no heavy library."""

from __future__ import annotations

import subprocess
import sys

import segbench_reports
from segbench.plugin.specs import resolve


def test_formats_resolve_and_have_their_suffixes() -> None:
    found = {spec.name: spec for spec in segbench_reports.segbench_reporters()}
    suffixes = {"terminal": "", "markdown": "md", "html": "html", "latex": "tex", "csv": "csv", "json": "json"}
    assert {name: spec.suffix for name, spec in found.items()} == suffixes
    assert all(callable(resolve(spec.render)) for spec in found.values())


def test_the_catalogue_page_and_the_renderers_import_nothing_heavy() -> None:
    formats = "segbench_reports.formats.markdown, segbench_reports.formats.terminal"
    code = f"import sys, {formats}; print({{'torch', 'altair', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
