"""``segbench verify``: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from segbench.measure.quality import scores as quality
from segbench.measure.verification import read_stamp
from segbench.testing.instruments.checks import CHECKS


def test_the_list_needs_no_torch() -> None:
    program = """
import sys
from segbench.cli import main
try:
    main(["verify", "--list"])
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [check.name for check in CHECKS]


def test_some_checks_are_printed_as_a_table(segbench: Any) -> None:
    said = segbench("verify", "--only", "losses,iou")
    assert said.code == 0, said.err
    first = said.out.splitlines()[0].split()
    assert first == ["check", "of", "expected", "measured", "verdict"]
    assert "ce[weights=(0.5,2,1,0,4)]" in said.out, "brackets are no markup"
    assert said.out.index("two classes") < said.out.index("bce-dice"), "in the list's order"
    assert "iou: worked out by hand" in said.out
    assert " ok, 0 failed, 0 cannot tell, 0 skipped, in " in said.out
    assert "iou: scores of hand-made matrices" in said.err


def test_a_broken_instrument_is_exit_1_and_says_why(segbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = quality._iou
    monkeypatch.setattr(quality, "_iou", lambda matrices: np.nan_to_num(honest(matrices)))
    said = segbench("verify", "--only", "iou")
    assert said.code == 1
    assert "FAILED" in said.out
    assert "iou, an absent class that is predicted: differs in " in said.out


def test_json_is_all_that_stands_on_stdout(segbench: Any) -> None:
    said = segbench("verify", "--only", "iou", "--json")
    document = json.loads(said.out)
    assert document["checks"] == document["ok"] == len(document["findings"])
    assert set(document["findings"][0]) == {"check", "subject", "expected", "measured", "verdict", "reason", "source"}


def test_a_part_leaves_no_stamp_and_the_whole_does(segbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segbench.testing.instruments import checks, stamp

    monkeypatch.setattr(checks, "CHECKS", tuple(check for check in CHECKS if check.name == "iou"))
    monkeypatch.setattr(checks.choose, "__kwdefaults__", {"among": checks.CHECKS})
    monkeypatch.setenv("SEGBENCH_CACHE", "here")
    assert segbench("verify", "--only", "iou").code == 0
    assert read_stamp(stamp.this_machine()) is None
    assert segbench("verify").code == 0
    kept = read_stamp(stamp.this_machine())
    assert kept is not None
    assert kept.checks == kept.ok == 4


def test_a_cache_folder_that_cannot_be_written_is_a_warning(segbench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from segbench.testing.instruments import checks

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(checks.choose, "__kwdefaults__", {"among": tuple(check for check in CHECKS if check.name == "iou")})
    said = segbench("verify")
    assert said.code == 0
    assert "Warning: reports will not show this: the cache folder cannot be written" in said.err


def test_an_unknown_check_is_exit_2(segbench: Any) -> None:
    said = segbench("verify", "--only", "memry")
    assert said.code == 2
    assert said.err.startswith("Error: Unknown check 'memry'. Did you mean 'memory'?")
    assert not said.out


@pytest.mark.slow
def test_all_instruments_of_this_machine_are_in_order(segbench: Any) -> None:
    said = segbench("verify", "--json")
    assert said.code == 0, said.out
    findings = json.loads(said.out)["findings"]
    assert {finding["check"] for finding in findings} == {check.name for check in CHECKS}
    open_ = {finding["check"] for finding in findings if finding["verdict"] == "cannot tell"}
    assert open_ <= {"timer-sleep", "timer-torch", "timer-cuda"}, "only a timer may be disturbed by a busy machine"
