"""Pages of files that hold several pictures: TIFF stacks and films of frames."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from segbench import DataError

_WITH_PAGES = frozenset((".tif", ".tiff", ".gif", ".webp"))


def page_count(path: Path) -> int:
    """Pages of a file, from its directory alone; 1 for formats without pages. Raises :class:`DataError` for a damaged file."""
    if path.suffix.lower() not in _WITH_PAGES:
        return 1
    try:
        with Image.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and struct.error for damaged files
        raise DataError(f"cannot count the pages of {path}: {error or type(error).__name__}") from error
