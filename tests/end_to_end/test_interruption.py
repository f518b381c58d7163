"""Ctrl-C, a polite end and a hard one: the command leaves at once, no process stays, and the same command goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench.results.store import load_run


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_command_leaves_a_run_that_goes_on(
    command: Callable[..., Any], segbench: Any, tmp_path: Path, wait_for: Any, alive: Any, sent: signal.Signals
) -> None:
    file = tmp_path / "pids"
    losses = ("--losses", f'ce,mishap[how=hang,file="{file}"]')
    arguments = ("run", "--models", "dot", *losses, "--dataset", "dots", "--recipe", "tiny", "--device", "cpu", "--out", "out")
    process = command(*arguments)
    wait_for(lambda: file.exists() or process.poll() is not None, seconds=300)
    started = time.monotonic()
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    seconds = time.monotonic() - started
    if sent == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130
        assert err.rstrip().endswith("Interrupted. What was finished is kept: the same command continues from there.")
        assert seconds < 20
    assert "Traceback" not in err
    pids = [int(pid) for pid in file.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=30)
    half = load_run(tmp_path / "out")
    assert not half.complete
    assert [(cell.loss, cell.status) for cell in half.cells if cell.status != "pending"] == [("ce", "ok")]
    done = segbench(*arguments, "--set", "execute.where=inline")
    assert done.code == 0, done.err
    assert "kept from before (ok)" in done.err
    assert [cell.status for cell in load_run(tmp_path / "out").cells] == ["ok", "ok"]
