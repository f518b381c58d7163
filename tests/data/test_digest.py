from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from segbench.data.digest import data_digest
from segbench.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    for name in ("images/b.png", "images/a.png", "list.txt"):
        (root / name).write_bytes(name.encode())
    return root


def _rename(root: Path) -> None:
    (root / "list.txt").rename(root / "lists.txt")


def _resize(root: Path) -> None:
    status = (root / "list.txt").stat()
    (root / "list.txt").write_bytes(b"longer than before")
    os.utime(root / "list.txt", ns=(status.st_atime_ns, status.st_mtime_ns))


def _touch(root: Path) -> None:
    status = (root / "images/a.png").stat()
    os.utime(root / "images/a.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1000))


def _add(root: Path) -> None:
    (root / "images/c.png").write_bytes(b"")


def _remove(root: Path) -> None:
    (root / "images/a.png").unlink()


def _move(root: Path) -> None:
    shutil.move(root / "images/a.png", root / "a.png")


@pytest.mark.parametrize("change", [_rename, _resize, _touch, _add, _remove, _move])
def test_a_change_of_name_size_or_time_changes_the_digest(folder: Path, change: Callable[[Path], None]) -> None:
    before = data_digest(folder)
    change(folder)
    assert data_digest(folder) != before


def test_neither_the_place_nor_the_order_of_files_matters(folder: Path, tmp_path: Path) -> None:
    before = data_digest(folder)
    copy = tmp_path / "elsewhere"
    for name in ("list.txt", "images/a.png", "images/b.png"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, copy / name)
    assert data_digest(copy) == data_digest(str(folder)) == before
    assert len(before) == 16


def test_hidden_files_do_not_matter(folder: Path) -> None:
    before = data_digest(folder)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"x")
    assert data_digest(folder) == before


def test_links_are_followed_and_loops_end(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert data_digest(link) == data_digest(folder)
    (folder / "images" / "up").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    first = data_digest(folder)
    _touch(folder)
    assert data_digest(folder) != first


def test_embedded_data_has_no_digest() -> None:
    assert data_digest(None) == ""


def test_a_single_file_has_one(folder: Path) -> None:
    before = data_digest(folder / "list.txt")
    _resize(folder)
    assert data_digest(folder / "list.txt") != before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist\. Give the dataset's folder with --data DIR"):
        data_digest(tmp_path / "nothing")
