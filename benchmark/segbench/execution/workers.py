"""Worker processes, forked from a preloaded server: a process that crashes fails its own job only.

The process is not daemonic (loaders need children), leads a process group of its own, and dies with its parent. Events come back
through a pipe; what it prints goes to a log file.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segbench.errors import SegbenchError
from segbench.execution.events import Emit
from segbench.measure.contender import quiet_environment
from segbench.plugin.objects import accept, payload
from segbench.results.records import ErrorInfo
from segbench.util.devices import is_out_of_memory
from segbench.util.processes import Channel, end_with_parent, hidden_main, server_context

_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """The result of a job: its value, or the error that it ended with."""

    value: Any = None
    error: ErrorInfo | None = None


class Workers:
    """Starts worker processes. One fork server is shared by all of them; spawn where there is none."""

    def __init__(self) -> None:
        # before torch is loaded anywhere: idle threads that spin would take the cores of whoever is timed
        os.environ.update(quiet_environment())
        self.context = server_context("segbench.execution.preload")

    def run(
        self,
        target: str,
        job: object,
        *,
        emit: Emit,
        log: Path,
        timeout: float | None = None,
        silence: float | None = None,
    ) -> Outcome:
        """Call ``target`` ("module:function") with the job and a :class:`Channel` in a process of its own, and wait.

        ``timeout`` bounds the whole and ``silence`` the time between events, both in seconds.
        """
        worker = self.start(target, job, log=log)
        try:
            return _follow(worker, emit=emit, log=log, timeout=timeout, silence=silence)
        finally:
            worker.end()

    def start(self, target: str, job: object, *, log: Path) -> Worker:
        """Call ``target`` in a process of its own, and do not wait."""
        ours, theirs = self.context.Pipe(duplex=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        process = self.context.Process(target=_main, args=(target, job, theirs, str(log), payload()), daemon=False)
        with hidden_main():
            process.start()
        theirs.close()
        return Worker(process, ours)


@dataclass
class Worker:
    """A running worker process and our end of its pipe."""

    process: Any
    pipe: Connection

    def end(self) -> None:
        """Close the pipe and make sure that nothing of the process group is left."""
        with contextlib.suppress(OSError):
            self.pipe.close()
        if self.process.is_alive():
            self.process.join(0.2)
        kill_group(self.process.pid)
        if self.process.is_alive():  # so young that it does not lead its group yet
            self.process.kill()
        self.process.join(_GRACE_SECONDS)


def kill_group(pid: int | None) -> None:
    """End a worker with all its children (loader workers, training processes)."""
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):
        os.killpg(pid, signal.SIGKILL)


def _follow(worker: Worker, *, emit: Emit, log: Path, timeout: float | None, silence: float | None) -> Outcome:
    started = last = time.monotonic()
    stage = "run"
    while True:
        now = time.monotonic()
        if timeout is not None and now - started > timeout:
            return Outcome(error=_timed_out(stage, "timeout", f"it ran longer than execute.timeout = {timeout:g} s."))
        if silence is not None and now - last > silence:
            return Outcome(error=_timed_out(stage, "hang", f"no sign of life for execute.silence = {silence:g} s."))
        if not worker.pipe.poll(0.2):
            continue
        try:
            kind, payload = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(_GRACE_SECONDS)
            return Outcome(error=_died(stage, worker.process.exitcode, log))
        last = time.monotonic()
        if kind == "done":
            return Outcome(value=payload)
        if kind == "failed":
            return Outcome(error=ErrorInfo.model_validate(payload))
        if kind == "stage":
            stage = str(payload["stage"])
        emit(kind, payload)


def _timed_out(stage: str, kind: str, message: str) -> ErrorInfo:
    return ErrorInfo(stage=stage, kind=kind, message=message, advice="Run the same command again to continue from its last checkpoint.")


def _died(stage: str, exitcode: int | None, log: Path) -> ErrorInfo:
    tail = _tail(log)
    last_line = f" It said last: {tail}" if tail else ""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        if -exitcode == signal.SIGKILL:
            return ErrorInfo(
                stage=stage,
                kind="killed",
                message=f"its process was killed from outside (SIGKILL).{last_line}",
                advice="Where nobody did, the system ran out of memory: use a smaller train.batch_size or image_size. "
                "Run the same command again to continue.",
            )
        return ErrorInfo(stage=stage, kind="crash", message=f"its process crashed ({name}).{last_line}", advice=f"See {log.name} in logs/.")
    return ErrorInfo(stage=stage, kind="crash", message=f"its process ended with exit code {exitcode}.{last_line}", advice="")


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def _main(target: str, job: object, pipe: Connection, log: str, objects: bytes) -> None:
    """First function of a worker process."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect(log)
    channel = Channel(pipe)
    end_with_parent(before=lambda: kill_group(os.getpid()))
    try:
        accept(objects)
        module, _, name = target.partition(":")
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            value = getattr(importlib.import_module(module), name)(job, channel)
        channel("done", value)
    except BaseException as error:  # the boundary of a job: every exception becomes its outcome
        channel("failed", describe_error(error).model_dump())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def describe_error(error: BaseException, stage: str = "run") -> ErrorInfo:
    """An exception as a cell's row shows it."""
    stage = getattr(error, "segbench_stage", stage)
    text = str(error).strip() or type(error).__name__
    if isinstance(error, SegbenchError):
        message = str(getattr(error, "message", text))
        return ErrorInfo(stage=stage, kind=getattr(error, "kind", "error"), message=message, advice=getattr(error, "advice", ""))
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if is_out_of_memory(error):
        return ErrorInfo(
            stage=stage,
            kind="out-of-memory",
            message=text.splitlines()[0],
            advice="Use a smaller train.batch_size or image_size, or set train.oom=halve.",
            traceback=trace,
        )
    # a row has one line; the traceback has the rest
    return ErrorInfo(stage=stage, kind="error", message=f"{type(error).__name__}: {text.splitlines()[0]}", traceback=trace)


def _redirect(log: str) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(handle)
