"""Worker processes: whatever becomes of one, its parent gets a row and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from segbench.errors import TrainingError
from segbench.execution.workers import Outcome, Workers, describe_error
from segbench.results.records import ErrorInfo

WORK = """
import os, subprocess, sys, time
from pathlib import Path

def run(job, emit):
    how = job["how"]
    if job.get("stage"):
        emit("stage", {"stage": job["stage"]})
    if how == "value":
        emit("note", {"message": "hello"})
        return {"pid": os.getpid(), "group": os.getpgid(0), "main": [sys.modules["__main__"].__dict__.get("__file__")]}
    if how == "raise":
        raise ValueError("first line\\nsecond line")
    if how == "exit":
        sys.exit(3)
    if how == "hard exit":
        print("a last word", flush=True)
        os._exit(7)
    if how == "abort":
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "memory":
        raise MemoryError
    if how == "chatty":
        os.write(1, b"noise\\n" * 500_000)
        for i in range(2000):
            emit("note", {"message": "x" * 1000})
        return 1
    if how == "beat":
        for i in range(8):
            time.sleep(0.25)
            emit("note", {})
        return 1
    if how == "family":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(job["file"] + ".part").write_text(f"{os.getpid()} {child.pid}")
        os.rename(job["file"] + ".part", job["file"])
        time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "segbench_test_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Outcome]:
    def call(how: str, *, emit: Any = None, timeout: float | None = 120, silence: float | None = None, **job: Any) -> Outcome:
        return Workers().run(
            "segbench_test_work:run",
            {"how": how, **job},
            emit=emit or (lambda *_: None),
            log=folder / "logs" / "work.log",
            timeout=timeout,
            silence=silence,
        )

    return call


def _error(outcome: Outcome) -> ErrorInfo:
    assert outcome.value is None
    assert outcome.error is not None
    return outcome.error


def test_a_value_and_events_come_back(run: Callable[..., Outcome]) -> None:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    outcome = run("value", emit=lambda kind, payload: heard.append((kind, payload)))
    assert outcome.error is None
    assert heard == [("note", {"message": "hello"})]
    assert outcome.value["pid"] == outcome.value["group"] != os.getpid(), "it leads a group of its own"


def test_an_exception_is_one_line_with_its_traceback_beside_it(run: Callable[..., Outcome]) -> None:
    error = _error(run("raise", stage="train"))
    assert (error.kind, error.message) == ("error", "ValueError: first line")
    assert error.traceback is not None
    assert "second line" in error.traceback


def test_leaving_with_sys_exit_is_a_failure(run: Callable[..., Outcome]) -> None:
    assert _error(run("exit")).message == "SystemExit: 3"


def test_a_process_that_just_ends_is_a_crash_with_its_last_words(run: Callable[..., Outcome]) -> None:
    error = _error(run("hard exit", stage="evaluate"))
    assert (error.stage, error.kind) == ("evaluate", "crash")
    assert error.message == "its process ended with exit code 7. It said last: a last word"


def test_a_crash_names_signal_and_stage(run: Callable[..., Outcome]) -> None:
    error = _error(run("abort", stage="train"))
    assert (error.stage, error.kind) == ("train", "crash")
    assert "SIGABRT" in error.message
    assert "work.log" in error.advice


def test_a_kill_from_outside_hints_at_memory(run: Callable[..., Outcome]) -> None:
    error = _error(run("kill", stage="train"))
    assert (error.stage, error.kind) == ("train", "killed")
    assert "train.batch_size" in error.advice


def test_running_out_of_memory_is_told_apart(run: Callable[..., Outcome]) -> None:
    error = _error(run("memory"))
    assert (error.kind, error.message) == ("out-of-memory", "MemoryError")


def test_noise_is_kept_in_the_log_and_blocks_nothing(run: Callable[..., Outcome], folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("chatty").value == 1
    assert (folder / "logs" / "work.log").stat().st_size == 3_000_000
    assert "noise" not in "".join(capfd.readouterr())


@pytest.mark.clock
def test_a_sign_of_life_resets_the_patience_but_not_the_timeout(run: Callable[..., Outcome]) -> None:
    assert run("beat", silence=60.0).value == 1
    error = _error(run("beat", timeout=0.5, stage="train"))
    assert error.kind == "timeout"
    assert "execute.timeout = 0.5 s" in error.message


def test_silence_ends_a_hung_process_and_its_children(
    run: Callable[..., Outcome], folder: Path, alive: Callable[[int], bool], wait_for: Callable[..., None]
) -> None:
    file = folder / "pids"
    error = _error(run("family", silence=10.0, file=str(file), stage="train"))
    assert (error.stage, error.kind) == ("train", "hang")
    pids = [int(pid) for pid in file.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=20)


def test_a_kill_from_outside_takes_the_children_along(
    run: Callable[..., Outcome], folder: Path, alive: Callable[[int], bool], wait_for: Callable[..., None]
) -> None:
    file = folder / "pids"

    def kill() -> None:
        wait_for(file.exists)
        os.kill(int(file.read_text().split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert _error(run("family", file=str(file), timeout=None)).kind == "killed"
    killer.join()
    child = int(file.read_text().split()[1])
    wait_for(lambda: not alive(child), seconds=20)


SCRIPT = """
from pathlib import Path
from segbench.execution.workers import Workers

with open("runs", "a") as stream:
    stream.write("once\\n")
outcome = Workers().run("segbench_test_work:run", {"how": HOW, "file": "pids"}, emit=lambda *_: None, log=Path("work.log"))
print(outcome.value["main"], outcome.error)
"""


def test_a_script_without_a_main_guard_is_not_run_again(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT.replace("HOW", "'value'"))
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "[None] None\n"
    assert (folder / "runs").read_text() == "once\n"


def test_nothing_survives_a_parent_that_is_killed(folder: Path, alive: Callable[[int], bool], wait_for: Callable[..., None]) -> None:
    (folder / "script.py").write_text(SCRIPT.replace("HOW", "'family'"))
    parent = subprocess.Popen([sys.executable, "script.py"], cwd=folder)
    try:
        wait_for((folder / "pids").exists)
    finally:
        parent.kill()
        parent.wait()
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=30)


def test_a_worker_ended_at_once_is_gone(folder: Path, wait_for: Callable[..., None], alive: Callable[[int], bool]) -> None:
    worker = Workers().start("segbench_test_work:run", {"how": "family", "file": str(folder / "pids")}, log=folder / "work.log")
    worker.end()
    wait_for(lambda: not alive(worker.process.pid), seconds=20)


def test_an_error_of_ours_brings_its_own_advice() -> None:
    class ToldError(TrainingError):
        kind = "told"
        message = "what happened"
        advice = "what to do"

        def __str__(self) -> str:
            return f"{self.message} {self.advice}"

    error = describe_error(ToldError(), "train")
    assert (error.stage, error.kind, error.message, error.advice, error.traceback) == ("train", "told", "what happened", "what to do", None)


@pytest.mark.clock
def test_a_worker_needs_no_second_to_start(run: Callable[..., Outcome]) -> None:
    run("value")
    best = min(_seconds(lambda: run("value")) for _ in range(5))
    assert best < 2.0, "forked from a preloaded server, not spawned"


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
