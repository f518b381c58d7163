"""Where buffers lie in processes that are forked from one server: by themselves, in the same places."""

from __future__ import annotations

from pathlib import Path

import pytest

from segbench.execute.process import Workers

WORK = """
import torch
from segbench.execute.layout import scattered_memory

def places(job, emit):
    held, found = [], []
    for _ in range(4):
        if job["scatter"]:
            held.clear()
            held = scattered_memory()
        found.append([torch.empty(size, dtype=torch.uint8).data_ptr() % 4096 for size in (20_000, 50_000, 90_000)])
    return found
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, ...]]]:
    """Within their pages, of three buffers, four times over: in three processes as they come, then in three with scattered memory."""
    (tmp_path / "segbench_test_places.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    workers = Workers()
    found = []
    for scatter in (False, False, False, True, True, True):
        job = {"scatter": scatter}
        outcome = workers.run("segbench_test_places:places", job, emit=lambda *_: None, log=tmp_path / "log", timeout=120)
        assert outcome.error is None
        found.append([tuple(each) for each in outcome.value])
    return found


def test_processes_of_one_server_lie_much_alike_unless_their_memory_is_scattered(places: list[list[tuple[int, ...]]]) -> None:
    alike, scattered = ({layout for process in some for layout in process} for some in (places[:3], places[3:]))
    assert len(alike) <= 7, "this is what scattering is for: if it has gone away, so can that"
    assert len(scattered) >= 10
