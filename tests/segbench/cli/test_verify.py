"""``segbench verify``: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from segbench.measure.quality import scores as quality
from segbench.measure.verification import read_stamp
from segbench.testing.instruments import counts, published
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


@pytest.fixture
def few_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network is enough to see what is printed."""
    monkeypatch.setattr(counts, "SEGMENTATION", ())
    monkeypatch.setattr(counts, "ENCODERS", published.ENCODERS[4:5])
    monkeypatch.setattr(counts, "SAME_IN_TIMM", ())


@pytest.mark.usefixtures("few_counts")
def test_some_checks_are_printed_as_a_table(segbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_title", lambda entry: f"{entry.name}[bold]")
    said = segbench("verify", "--only", "iou-peers,counts")
    assert said.code == 0, said.err
    first = said.out.splitlines()[0].split()
    assert first == ["check", "of", "expected", "measured", "verdict"]
    assert "mobilenet_v3_small[bold]" in said.out, "brackets are no markup"
    assert said.out.index("mobilenet_v3_small") < said.out.index("by torchmetrics"), "in the list's order"
    assert "counts: torchvision's weights metadata" in said.out
    assert " ok, 0 failed, 0 cannot tell, " in said.out
    assert "iou-peers: IoU of random masks" in said.err


def test_a_broken_instrument_is_exit_1_and_says_why(segbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_union", lambda matrices: matrices.sum(axis=-1) + matrices.sum(axis=-2))
    said = segbench("verify", "--only", "iou-peers")
    assert said.code == 1
    assert "FAILED" in said.out
    assert "iou-peers, IoU of 5 classes by torchmetrics: they differ by up to " in said.out


@pytest.mark.usefixtures("few_counts")
def test_json_is_all_that_stands_on_stdout(segbench: Any) -> None:
    said = segbench("verify", "--only", "counts", "--json")
    document = json.loads(said.out)
    assert document["checks"] == document["ok"] == len(document["findings"])
    assert set(document["findings"][0]) == {"check", "subject", "expected", "measured", "verdict", "reason", "source"}


@pytest.mark.usefixtures("few_counts")
def test_a_part_leaves_no_stamp_and_the_whole_does(segbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segbench.testing.instruments import checks, stamp

    monkeypatch.setattr(checks, "CHECKS", tuple(check for check in CHECKS if check.name == "counts"))
    monkeypatch.setattr(checks.choose, "__kwdefaults__", {"among": checks.CHECKS})
    monkeypatch.setenv("SEGBENCH_CACHE", "here")
    assert segbench("verify", "--only", "counts").code == 0
    assert read_stamp(stamp.this_machine()) is None
    assert segbench("verify").code == 0
    kept = read_stamp(stamp.this_machine())
    assert kept is not None
    assert kept.checks == kept.ok == 1


@pytest.mark.usefixtures("few_counts")
def test_a_cache_folder_that_cannot_be_written_is_a_warning(segbench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from segbench.testing.instruments import checks

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(checks.choose, "__kwdefaults__", {"among": tuple(check for check in CHECKS if check.name == "counts")})
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
