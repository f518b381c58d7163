"""What a verification leaves behind, and for whom it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segbench.measure import verification as instruments
from segbench.measure.verification import FILE, instrument_identity, read_stamp, write_stamp
from segbench.results.records import VerificationRecord
from segbench.testing.check import CheckResult, judged, skipped
from segbench.testing.instruments.stamp import save_stamp, summarise, this_machine

HERE = {"cpu": "A", "torch": "2.0", "segbench": "0.1"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGBENCH_CACHE", str(tmp_path))


def _outcome(*results: CheckResult) -> VerificationRecord:
    return summarise(results, seconds=12.34)


GOOD = judged(True, subject="a", expected="1", measured="1")
BAD = judged(False, subject="b", expected="1", measured="2")


def test_a_stamp_is_read_back_by_its_machine_alone() -> None:
    write_stamp(HERE, VerificationRecord(ok=3))
    write_stamp({**HERE, "cpu": "B"}, VerificationRecord(ok=4))
    assert read_stamp(HERE) == VerificationRecord(**HERE, ok=3)
    assert read_stamp({**HERE, "cpu": "B"}) == VerificationRecord(**{**HERE, "cpu": "B"}, ok=4)
    for key in HERE:
        assert read_stamp({**HERE, key: "another"}) is None
    assert read_stamp({**HERE, "gpu": "one more"}) is None


def test_a_newer_stamp_replaces_the_older_and_few_are_kept(tmp_path: Path) -> None:
    for number in range(40):
        write_stamp({**HERE, "cpu": str(number)}, VerificationRecord(ok=number))
    write_stamp({**HERE, "cpu": "39"}, VerificationRecord(ok=0))
    assert (read_stamp({**HERE, "cpu": "39"}) or VerificationRecord()).ok == 0
    assert (read_stamp({**HERE, "cpu": "38"}) or VerificationRecord()).ok == 38
    assert read_stamp({**HERE, "cpu": "0"}) is None
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_a_damaged_file_is_no_stamp(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_stamp(HERE) is None
    write_stamp(HERE, VerificationRecord(ok=1))
    assert read_stamp(HERE) == VerificationRecord(**HERE, ok=1)


def test_changed_instruments_are_not_vouched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    about = instrument_identity(HERE, "0.1")
    monkeypatch.setattr(instruments, "source_hash", lambda folder: f"changed {folder.name}")
    assert instrument_identity(HERE, "0.1") == {**about, "instruments": "changed measure"}


def test_the_summary_counts_what_was_checked() -> None:
    outcome = _outcome(GOOD, GOOD, BAD, skipped("c", "no GPU"))
    assert (outcome.checks, outcome.ok, outcome.failed, outcome.cannot_tell, outcome.skipped) == (3, 2, 1, 0, 1)
    assert outcome.seconds == 12.3


def test_a_run_on_this_machine_carries_the_stamp(bench: Any) -> None:
    inline = ["execute.where=inline", "measure.latency=false"]
    assert bench.run(sets=inline).instruments is None
    stamp = save_stamp(_outcome(GOOD, BAD))
    assert read_stamp(this_machine()) == stamp
    result = bench.run(sets=inline)
    assert result.instruments == stamp
    report = (bench.directory / "report.md").read_text()
    assert f"FAILED 1 of 2 checks on this machine at {(stamp.time or '')[:10]}" in report
