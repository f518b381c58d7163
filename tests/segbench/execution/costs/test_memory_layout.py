"""Where buffers lie in processes that are forked from one server: by themselves, in the same places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segbench.execution.workers import Workers

WORK = """
import torch
from segbench.execution.costs.memory_layout import randomised_layout

def places(job, emit):
    held = []
    if job["scatter"]:
        held = randomised_layout()
    return [torch.empty(size, dtype=torch.uint8).data_ptr() % 4096 for size in (20_000, 50_000, 90_000)]
"""


@pytest.fixture
def layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[tuple[int, ...]]]:
    """Where three buffers lie within their pages in so many processes, each with its memory scattered or as it comes."""
    (tmp_path / "segbench_test_places.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    workers = Workers()

    def found(processes: int, *, scatter: bool) -> set[tuple[int, ...]]:
        outcomes = [
            workers.run("segbench_test_places:places", {"scatter": scatter}, emit=lambda *_: None, log=tmp_path / "log", timeout=120)
            for _ in range(processes)
        ]
        assert all(outcome.error is None for outcome in outcomes)
        return {tuple(outcome.value) for outcome in outcomes}

    return found


def test_processes_of_one_server_lie_much_alike_unless_their_memory_is_scattered(layouts: Callable[..., set[tuple[int, ...]]]) -> None:
    assert len(layouts(8, scatter=False)) <= 5, "this is what scattering is for: if it has gone away, so can that"
    assert len(layouts(8, scatter=True)) >= 7
