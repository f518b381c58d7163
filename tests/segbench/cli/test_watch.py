"""``segbench watch``: a real run from its files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_finished_run_is_shown_with_its_scores(segbench: Any, bench: Any) -> None:
    result = bench.run(sets=["execute.where=inline"])
    (cell,) = result.cells
    said = segbench("watch", bench.directory)
    assert said.code == 0, said.err
    assert "finished" in said.out
    assert f"{cell.quality.miou:.4f}" in said.out
    state = json.loads(segbench("watch", bench.directory, "--json").out)
    assert (state["state"], state["exit_code"], state["counts"]["ok"]) == ("finished", 0, 1)
    assert state["cells"][0]["id"] == cell.id
    assert bench.run(sets=["execute.where=inline"]).cells[0].id == cell.id
    assert json.loads(segbench("watch", bench.directory / "run.json", "--json").out)["cells"][0]["kept"] is True


def test_a_failed_cell_is_exit_1(segbench: Any, bench: Any) -> None:
    bench.run(losses="mishap[how=raise]", sets=["execute.where=inline"])
    said = segbench("watch", bench.directory, "--once")
    assert said.code == 1
    assert "1 failed" in said.out
    assert "ValueError: the loss [bold]fell[/bold] over" in said.out


def test_a_fresh_run_forgets_the_events_of_earlier_ones(bench: Any) -> None:
    bench.run(sets=["execute.where=inline"])
    events = Path(bench.directory) / "logs" / "events.jsonl"
    bench.run(sets=["execute.where=inline"], fresh=True)
    assert [json.loads(line)["event"] for line in events.read_text().splitlines()].count("start") == 1


def test_what_is_no_run_is_one_message_and_exit_2(segbench: Any, tmp_path: Path) -> None:
    said = segbench("watch", "gone")
    assert said.code == 2
    assert said.err == "Error: there is no 'gone' (yet). Give the directory of a run: what 'segbench run --out' writes to.\n"
    assert segbench("watch", tmp_path).code == 2
    assert segbench("watch", tmp_path, "--interval", "0").code == 2
