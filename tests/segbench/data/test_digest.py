from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from segbench.data import digest as digest_module
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


def _rewrite(root: Path) -> None:
    """Other content of the same size, with the time set back."""
    file = root / "images/a.png"
    status = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _add(root: Path) -> None:
    (root / "images/c.png").write_bytes(b"")


def _remove(root: Path) -> None:
    (root / "images/a.png").unlink()


def _move(root: Path) -> None:
    shutil.move(root / "images/a.png", root / "a.png")


@pytest.mark.parametrize("change", [_rename, _resize, _rewrite, _add, _remove, _move])
def test_a_change_of_name_or_content_changes_the_digest(folder: Path, change: Callable[[Path], None]) -> None:
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


def test_data_that_is_unpacked_anew_is_the_same_data(folder: Path, tmp_path: Path) -> None:
    """Another time, inode and place."""
    before = data_digest(folder)
    shutil.copytree(folder, tmp_path / "anew", copy_function=shutil.copyfile)
    os.utime(folder / "list.txt", ns=(0, 0))
    assert data_digest(tmp_path / "anew") == before == data_digest(folder)


def test_a_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_digest(folder)
    read: list[str] = []
    real = digest_module._hash_file

    def heard(file: Path) -> str:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(digest_module, "_hash_file", heard)
    data_digest(folder)
    assert read == []
    (folder / "images/c.png").write_bytes(b"new")
    data_digest(folder)
    assert read == ["c.png"]


def test_a_folder_too_large_to_read_is_known_by_sizes_and_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_module, "READ_AT_MOST", 10)
    monkeypatch.setattr(digest_module, "_hash_file", lambda file: pytest.fail(f"{file} was read"))
    before = data_digest(folder)
    os.utime(folder / "list.txt", ns=(0, 0))
    assert data_digest(folder) != before


def test_a_cache_that_is_broken_or_cannot_be_written_costs_only_reading(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data_digest(folder)
    broken = tmp_path / "cache"
    (broken / "digests").mkdir(parents=True)
    monkeypatch.setenv("SEGBENCH_CACHE", str(broken))
    data_digest(folder)
    for file in (broken / "digests").iterdir():
        file.write_text("{")
    assert data_digest(folder) == before
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("SEGBENCH_CACHE", str(in_the_way))
    assert data_digest(folder) == before


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
    _rewrite(folder)
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
