"""Picture files below a folder."""

from __future__ import annotations

from pathlib import Path

from segbench import IMAGE_SUFFIXES


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and in those below it, sorted by path; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
