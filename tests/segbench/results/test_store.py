from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segbench.errors import StoreError
from segbench.results.records import SCHEMA_VERSION, CellResult, RunResult
from segbench.results.store import RunStore, load_run
from segbench.util.files import explained, write_atomic


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path / "run")
    store.open()
    yield store
    store.close()


def _row(name: str = "a") -> CellResult:
    return CellResult(id=name, model=name, status="ok", params=3)


def test_a_second_writer_is_refused_until_the_first_has_gone(store: RunStore) -> None:
    second = RunStore(store.directory)
    with pytest.raises(StoreError, match=rf"process {os.getpid()}\) is writing"):
        second.open()
    store.close()
    second.open()
    second.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path / "run"`` until a line is written to it."""
    code = "import pathlib, sys; from segbench.results.store import RunStore\n"
    code += "store = RunStore(pathlib.Path(sys.argv[1])); store.open(); print('open', flush=True); input(); store.close()"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_two_processes_exclude_each_other_and_the_holder_is_named(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    for _ in range(2):  # to be refused leaves the holder's number in place
        with pytest.raises(StoreError, match=rf"Another segbench \(process {writer.pid}\) is writing to '.*run'. Wait for it, or choose"):
            store.open()
    writer.communicate("\n")
    store.open()
    assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
    store.close()


def test_the_lock_of_a_killed_process_is_free(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    writer.kill()
    writer.wait()
    store = RunStore(tmp_path / "run")
    store.open()
    store.close()


def test_a_forked_child_cannot_free_the_lock_of_its_parent(store: RunStore) -> None:
    process = multiprocessing.get_context("fork").Process(target=store.close)
    process.start()
    process.join()
    with pytest.raises(StoreError, match="is writing"):
        RunStore(store.directory).open()


def test_what_was_written_is_read_back(store: RunStore) -> None:
    store.write_cell(_row())
    store.write_run(RunResult(cells=[_row()]))
    assert store.read_cells() == ({"a": _row()}, [])
    assert load_run(store.directory) == RunResult(cells=[_row()]) == load_run(store.directory / "run.json")


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\x00", b"[]", b"3", b"{}", b'{"schema_version": 1, "cells": 3}'])
def test_a_damaged_run_is_rebuilt_from_its_cells(store: RunStore, damage: bytes) -> None:
    store.write_cell(_row())
    (store.directory / "run.json").write_bytes(damage)
    run = load_run(store.directory)
    assert run.cells == [_row()]
    assert not run.complete
    assert "rebuilt" in run.warnings[0]


@pytest.mark.parametrize("damage", [b"{", b"{}"])
def test_a_damaged_run_without_cells_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "run.json").write_bytes(damage)
    with pytest.raises(StoreError, match="is damaged"):
        load_run(tmp_path)
    with pytest.raises(StoreError, match="holds no run"):
        load_run(tmp_path / "nowhere")


def test_a_damaged_cell_costs_itself_only(store: RunStore) -> None:
    store.write_cell(_row("a"))
    store.write_cell(_row("b"))
    (store.directory / "cells" / "a.json").write_text('{"id": "a"')
    cells, notes = store.read_cells()
    assert list(cells) == ["b"]
    assert notes == ["cells/a.json is damaged: its cell is run again"]


def test_a_newer_schema_is_neither_read_nor_overwritten(store: RunStore) -> None:
    (store.directory / "run.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    for read in (lambda: load_run(store.directory), store.read_cells):
        with pytest.raises(StoreError, match="Upgrade segbench"):
            read()


def test_keys_of_a_newer_minor_version_are_kept(store: RunStore) -> None:
    document = json.loads(RunResult(cells=[_row()]).model_dump_json())
    document["cells"][0]["novelty"] = 7
    (store.directory / "run.json").write_text(json.dumps(document))
    assert load_run(store.directory).cells[0].model_dump()["novelty"] == 7


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_atomic(file, b"old")
    with pytest.raises(TypeError):
        write_atomic(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_path_below_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"a part of the path is a file.*--out DIR"):
        RunStore(tmp_path / "file" / "run").open()
    with pytest.raises(StoreError, match="not a folder"):
        RunStore(tmp_path / "file").open()


def test_a_folder_that_cannot_be_written_is_explained() -> None:
    with pytest.raises(StoreError, match="Cannot write '/proc/run'"):
        RunStore(Path("/proc/run")).open()


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only"), (errno.EIO, "error")],
)
def test_the_system_s_errors_become_one_message(number: int, said: str) -> None:
    with pytest.raises(StoreError) as error, explained(Path("out")):
        raise OSError(number, os.strerror(number))
    assert said in str(error.value)
    assert "'out'" in str(error.value)


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        store = RunStore(disk / "run")
        store.open()
        store.write_cell(_row("a"))
        with pytest.raises(StoreError, match="the disk is full"):
            store.write_text("cells/b.json", "x" * 200_000)
        assert list(store.read_cells()[0]) == ["a"]
        assert [f.name for f in (store.directory / "cells").iterdir()] == ["a.json"]
        store.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_starting_over_removes_what_we_wrote_and_nothing_else(store: RunStore) -> None:
    again = "evaluations/split=val"
    ours = [
        "cells/a.json",
        "checkpoints/a/best.pt",
        "checkpoints/a/batch.json",
        "confusions/a.npz",
        "predictions/a/x.png",
        "logs/a.log",
        "run.json",
        "report.md",
    ]
    ours += [f"{again}/cells/a.json", f"{again}/run.json", f"{again}/.lock", f"{again}/logs/a.log", "evaluations/mine/cells/a.json"]
    theirs = ["evaluations/mine/notes.txt", "notes.txt", "checkpoints/mine.bin", "checkpoints/a/readme.txt", "mine/best.pt", "logs/a/b.txt"]
    for name in (*ours, *theirs):
        file = store.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    store.clear()
    left = {file.relative_to(store.directory).as_posix() for file in store.directory.rglob("*") if file.is_file()}
    assert left == {*theirs, ".lock"}
    assert not (store.directory / "predictions" / "a").exists()
    assert not (store.directory / again).exists()
    store.write_cell(_row())
    assert list(store.read_cells()[0]) == ["a"]


def test_descriptions_of_an_odd_type_are_left_out_with_a_note(tmp_path: Path) -> None:
    document = json.loads(RunResult().model_dump_json())
    document |= {"config": {"seeds": "0", "device": "cpu"}, "task": {"num_classes": "6", "class_names": None}}
    document |= {"race": {"rounds": "ten", "threads": 1}, "instruments": {"checks": "none", "ok": 3}, "warnings": ["before"]}
    (tmp_path / "run.json").write_text(json.dumps(document))
    result = load_run(tmp_path)
    assert result.race is not None
    assert result.instruments is not None
    assert (result.config.device, result.task.num_classes, result.race.threads, result.instruments.ok) == ("cpu", 6, 1, 3)
    assert "seeds" not in result.config
    assert "rounds" not in result.race
    assert result.warnings == [
        "before",
        "run.json: what stands under config.seeds, instruments.checks, race.rounds, task.class_names could not be read and is left out",
    ]
