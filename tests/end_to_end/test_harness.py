"""Whole runs on tiny parts: what is kept, what runs again and why, and what a mishap costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segbench import hookimpl
from segbench.config.run_config import load_config
from segbench.errors import StoreError
from segbench.execution.events import Event
from segbench.execution.runner import failures
from segbench.plugin.choice import Choice
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import PluginWarning
from segbench.results.records import CellResult, RunResult
from segbench.results.store import load_run

INLINE = "execute.where=inline"


def _only(run: RunResult) -> CellResult:
    (cell,) = run.cells
    return cell


def test_a_run_leaves_everything_that_it_promises(bench: Any) -> None:
    cell = _only(bench.run())
    assert (cell.status, cell.error) == ("ok", None)
    assert cell.training is not None
    assert cell.quality is not None
    assert (cell.training.epochs_run, cell.quality.split, cell.quality.images) == (1, "test", 2)
    assert cell.params == 4 * 3 * 9 + 4 + 2 * 4 + 2
    assert cell.overhead_seconds is not None
    assert cell.deployments == [], "not measured, as asked"
    for name in ("run.json", "config.toml", "report.md", cell.artifacts.best, cell.artifacts.last, cell.artifacts.confusions):
        assert (bench.directory / str(name)).is_file(), name
    with np.load(bench.directory / str(cell.artifacts.confusions)) as confusions:
        assert confusions["matrices"].dtype == np.int64
        assert confusions["matrices"].sum() == 2 * 16 * 16
        assert list(confusions["ids"]) == ["test-0", "test-1"]
    assert load_run(bench.directory).cells[0].quality == cell.quality


def test_the_same_command_runs_nothing_and_a_changed_one_only_what_it_touches(bench: Any) -> None:
    first = _only(bench.run())
    again = _only(bench.run())
    assert [event.status for event in bench.heard.of("kept")] == ["ok"]
    assert bench.heard.stages == {}
    assert again == first

    warped = _only(bench.run(sets=["eval.resize=warp"]))
    assert list(bench.heard.stages.values()) == [("evaluate",)]
    assert list(bench.heard.reasons.values()) == ["re-evaluated: eval.resize keep-aspect -> warp"]
    assert warped.training == first.training

    _only(bench.run(sets=["train.lr=0.02"]))
    assert list(bench.heard.stages.values()) == [("profile", "train", "evaluate")]
    assert list(bench.heard.reasons.values()) == ["re-run: train.lr 0.01 -> 0.02"]

    (bench.directory / "notes.txt").write_text("mine")
    fresh = _only(bench.run(fresh=True))
    assert list(bench.heard.reasons.values()) == [""]
    assert fresh.quality is not None
    assert first.quality is not None
    assert fresh.quality.miou == first.quality.miou
    assert (bench.directory / "notes.txt").read_text() == "mine"


def test_a_run_grows_with_its_matrix_and_profiles_each_network_once(bench: Any) -> None:
    bench.run(sets=[INLINE])
    grown = bench.run(models="dot,dot[width=8]", losses="ce,focal", seeds="0,1", sets=[INLINE])
    assert len(grown.cells) == 8
    assert {cell.status for cell in grown.cells} == {"ok"}
    assert len(bench.heard.of("kept")) == 1
    profiled = [event.cell["model"] for event in bench.heard.of("cell") if "profile" in event.stages]
    assert profiled == ["dot[width=8]"], "dot's counts are known from the kept cell"
    assert {cell.params for cell in grown.cells if cell.model == "dot"} == {122}
    smaller = bench.run(sets=[INLINE])
    assert len(smaller.cells) == 8, "what was measured stays"


def test_varied_settings_and_seeds_are_told_in_the_rows(bench: Any) -> None:
    run = bench.run(vary=("train.lr=0.01,0.02", "model.width=4,5"), seeds="3", sets=[INLINE])
    assert [(cell.settings, cell.seed) for cell in run.cells] == [
        ({"train.lr": lr, "model.width": width}, 3) for lr in (0.01, 0.02) for width in (4, 5)
    ]
    assert {cell.params for cell in run.cells} == {122, 152}


def test_varied_measure_settings_hold_in_the_race(bench: Any) -> None:
    quick = [INLINE, "measure.latency=true"]
    run = bench.run(vary=("measure.rounds=1,2", "measure.input_size=16,8x12"), sets=quick)
    found = [
        (len(entry.rounds_ms), entry.input_size, entry.batch_size)
        for cell in run.cells
        for deployment in cell.deployments
        for entry in deployment.latency
    ]
    assert found == [(rounds, size, batch) for rounds in (1, 2) for size in ((16, 16), (8, 12)) for batch in (1, 8)]
    races = [cell.deployments[0].raced for cell in run.cells]
    assert races[0] == races[1]
    assert races[2] == races[3]
    assert races[0] != races[2], "cells with other settings of the race are raced apart"
    assert run.race is not None
    assert [(group.rounds, len(group.models), group.threads) for group in run.race.groups] == [(1, 2, 1), (2, 2, 1)]
    assert run.race.rounds is None
    assert "Models with other measure settings were raced apart." in (bench.directory / "report.md").read_text()
    assert bench.run(vary=("measure.rounds=1,2", "measure.input_size=16,8x12"), sets=quick).race == run.race, "nothing was missing"
    assert not bench.heard.of("race")

    alone = bench.run(vary=("measure.latency=true,false",), sets=[INLINE, "measure.rounds=1"], fresh=True)
    assert [len(cell.deployments) for cell in alone.cells] == [1, 0]
    assert alone.race is not None
    assert (alone.race.rounds, list(alone.race.cells)) == (1, [alone.cells[0].id])


def test_the_written_config_repeats_the_run_from_anywhere(bench: Any, tmp_path: Path) -> None:
    from segbench.execution.runner import run

    first = _only(bench.run(losses="focal[gamma=3]", sets=["train.clip=none", INLINE]))
    config = load_config(bench.directory / "config.toml", flags={"out": str(tmp_path / "again")})
    second = _only(run(config, catalog=bench.catalog))
    assert (second.id, second.fingerprints) == (first.id, first.fingerprints)
    assert second.quality is not None
    assert first.quality is not None
    assert second.quality.miou == first.quality.miou


MISHAPS = {
    "raise": ("train", "error", "ValueError: the loss [bold]fell[/bold] over"),
    "exit": ("train", "error", "SystemExit: leaving on my own"),
    "abort": ("train", "crash", "its process crashed (SIGABRT)."),
    "segfault": ("train", "crash", "its process crashed (SIGSEGV)."),
    "kill": ("train", "killed", "its process was killed from outside (SIGKILL)."),
    "nan": ("train", "non-finite-loss", "the training loss became not a number in epoch 1, step 1."),
    "memory": ("train", "out-of-memory", "CUDA out of memory. Tried to allocate 2.00 GiB"),
}


def _mishap(how: str) -> str:
    return str(Choice("mishap", (("how", how),)))


def test_each_mishap_costs_its_own_cell_and_says_why(bench: Any) -> None:
    losses = ",".join(["ce", *(f"mishap[how={how}]" for how in MISHAPS), "mishap[how=chatty]"])
    run = bench.run(losses=losses)
    rows = {cell.loss: cell for cell in run.cells}
    assert rows["ce"].status == rows["mishap[how=chatty]"].status == "ok"
    for how, (stage, kind, message) in MISHAPS.items():
        row = rows[_mishap(how)]
        assert row.status == "failed"
        assert row.error is not None
        assert (row.error.stage, row.error.kind, row.error.message) == (stage, kind, message)
        assert row.quality is None
        assert row.params == 122, "what was measured before is kept"
    advice = {how: rows[_mishap(how)].error.advice for how in MISHAPS}
    assert "lower train.lr" in advice["nan"]
    assert "train.oom=halve" in advice["memory"]
    assert "train.batch_size" in advice["kill"]
    assert {cell.loss for cell in failures(run)} == {_mishap(how) for how in MISHAPS}
    report = (bench.directory / "report.md").read_text()
    assert "SIGABRT" in report
    assert run.complete


def test_a_failed_cell_is_tried_again_and_can_succeed(bench: Any, tmp_path: Path) -> None:
    loss = f'mishap[how=kill,at=8,file="{tmp_path / "once"}"]'
    failed = _only(bench.run(losses=loss, recipes="tiny-long"))
    assert failed.error is not None
    assert failed.error.kind == "killed"
    done = _only(bench.run(losses=loss, recipes="tiny-long"))
    assert (done.status, done.error) == ("ok", None)
    assert list(bench.heard.reasons.values()) == ["continued"]
    epochs = [event.epoch for event in bench.heard.of("epoch")]
    assert epochs in ([2, 3], [3]), "the first epoch was on disk"
    assert done.training is not None
    assert [epoch.epoch for epoch in done.training.history] == [1, 2, 3]


def test_a_cell_that_takes_too_long_is_ended(bench: Any, tmp_path: Path, wait_for: Any, alive: Any) -> None:
    file = tmp_path / "pids"
    run = bench.run(losses=f'mishap[how=hang,file="{file}"],ce', sets=["execute.silence=10"])
    assert [cell.status for cell in run.cells] == ["failed", "ok"]
    assert run.cells[0].error is not None
    assert run.cells[0].error.kind == "hang"
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=20)


def test_inline_cells_fail_alone_too(bench: Any) -> None:
    run = bench.run(losses="mishap[how=raise],mishap[how=exit],ce", sets=[INLINE])
    assert [cell.status for cell in run.cells] == ["failed", "failed", "ok"]


def test_out_of_memory_halves_the_batch_where_asked_for(bench: Any) -> None:
    refused = _only(bench.run(models="fragile[above=2]", sets=[INLINE]))
    assert refused.error is not None
    assert refused.error.kind == "out-of-memory"
    halved = _only(bench.run(models="fragile[above=2]", sets=[INLINE, "train.oom=halve"]))
    assert halved.status == "ok"
    assert halved.training is not None
    assert (halved.training.batch_size, halved.training.accumulate) == (2, 2)
    assert halved.training.protocol_changed == "out of memory, batch 2 x 2 accumulated steps"
    assert "protocol changed: out of memory" in (bench.directory / "report.md").read_text()
    hopeless = _only(bench.run(models="fragile[above=1]", sets=[INLINE, "train.oom=halve"], fresh=True))
    assert hopeless.status == "failed", "a batch of one never reaches BatchNorm"


def test_a_score_on_training_images_is_no_miou(bench: Any) -> None:
    cell = _only(bench.run(sets=[INLINE, "train.split=trainval", "train.select_on=none", "eval.split=val"]))
    assert cell.quality is not None
    assert cell.quality.miou is None
    assert cell.quality.training_score is not None
    chosen = _only(bench.run(dataset="dots[test=0]", sets=[INLINE], fresh=True))
    assert chosen.quality is not None
    assert (chosen.quality.split, chosen.quality.selected_on) == ("val", "val")


def test_a_checkpoint_knows_on_which_images_it_was_trained(bench: Any, tmp_path: Path) -> None:
    from segbench.execution.evaluate import evaluate_checkpoint

    bench.run(sets=[INLINE, "train.split=trainval", "train.select_on=none"])
    (file,) = bench.directory.glob("checkpoints/*/best.pt")
    flags = {"dataset": "dots", "device": "cpu"}
    scored = _only(
        evaluate_checkpoint(
            file, catalog=bench.catalog, listener=bench.heard, out=tmp_path / "o", sets=[INLINE, "eval.split=val"], flags=flags
        )
    )
    assert scored.quality is not None
    assert scored.quality.miou is None
    assert scored.quality.training_score is not None


def test_on_another_dataset_the_names_of_splits_say_nothing_about_what_was_trained_on(bench: Any, tmp_path: Path) -> None:
    from segbench.execution.evaluate import evaluate_checkpoint

    bench.run(sets=[INLINE])
    (file,) = bench.directory.glob("checkpoints/*/best.pt")

    def score(dataset: str, split: str) -> CellResult:
        sets = [INLINE, f"eval.split={split}"]
        flags = {"dataset": dataset, "device": "cpu"}
        out = tmp_path / f"{dataset}-{split}"
        return _only(evaluate_checkpoint(file, catalog=bench.catalog, listener=bench.heard, out=out, sets=sets, flags=flags))

    own, other = score("dots", "train"), score("other-dots", "train")
    assert own.quality is not None
    assert other.quality is not None
    assert (own.quality.miou, other.quality.training_score) == (None, None)
    assert own.quality.training_score == other.quality.miou, "the images are the same under another name"
    assert (own.notes, other.notes) == ([], ["trained on dots"])
    chosen, fresh = score("dots", "val"), score("other-dots", "val")
    assert chosen.quality is not None
    assert fresh.quality is not None
    assert (chosen.quality.selected_on, fresh.quality.selected_on) == ("val", None)


class Stop:
    """Ctrl-C at the nth event of a kind."""

    def __init__(self, kind: str, count: int = 1) -> None:
        self.kind, self.count = kind, count

    def on(self, event: Event) -> None:
        self.count -= event.name == self.kind
        if event.name == self.kind and self.count == 0:
            raise KeyboardInterrupt


def test_an_interrupted_run_continues(bench: Any) -> None:
    axes: dict[str, Any] = {"losses": "ce,focal", "recipes": "tiny-long", "sets": [INLINE]}
    with pytest.raises(KeyboardInterrupt):
        bench.run(listener=Stop("epoch", 5), **axes)
    half = load_run(bench.directory)
    assert not half.complete
    assert [cell.loss for cell in half.cells] == ["ce"]
    done = bench.run(**axes)
    assert [cell.status for cell in done.cells] == ["ok", "ok"]
    assert len(bench.heard.of("kept")) == 1
    assert [event.epoch for event in bench.heard.of("epoch")] == [3]


def test_what_a_changed_run_had_trained_when_it_was_stopped_is_not_thrown_away(bench: Any) -> None:
    axes: dict[str, Any] = {"losses": "ce,focal", "recipes": "tiny-long"}
    bench.run(**axes, sets=[INLINE])
    changed = [INLINE, "train.lr=0.02"]
    with pytest.raises(KeyboardInterrupt):
        bench.run(listener=Stop("epoch", 5), **axes, sets=changed)
    half = {cell.loss: cell for cell in load_run(bench.directory).cells}
    assert (half["focal"].status, half["focal"].training) == ("pending", None), "nothing of the old training stands as this one's"
    bench.run(**axes, sets=changed)
    assert list(bench.heard.reasons.values()) == ["continued"]
    assert [event.epoch for event in bench.heard.of("epoch")] == [3]


def test_a_model_whose_first_cell_fell_is_still_profiled(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from segbench.execution.cells import job as stages

    profile, calls = stages._STAGES["profile"], []

    def once_broken(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise RuntimeError("killed")
        return profile(*given)

    monkeypatch.setitem(stages._STAGES, "profile", once_broken)
    run = bench.run(losses="ce,focal", sets=[INLINE])
    assert [(cell.status, cell.params) for cell in run.cells] == [("failed", None), ("ok", 122)]


def test_a_halved_batch_is_marked_also_where_the_run_is_stopped_before_its_score(bench: Any) -> None:
    axes: dict[str, Any] = {"models": "fragile[above=2]", "sets": [INLINE, "train.oom=halve"]}
    with pytest.raises(KeyboardInterrupt):
        bench.run(listener=Stop("result", 3), **axes)
    done = _only(bench.run(**axes))
    assert done.training is not None
    assert done.training.protocol_changed is not None


def test_an_interrupted_training_at_a_halved_batch_goes_on_with_it(bench: Any) -> None:
    axes: dict[str, Any] = {"models": "fragile[above=2]", "recipes": "tiny-long"}
    halve, never = [INLINE, "train.oom=halve"], [INLINE, "train.oom=fail"]
    with pytest.raises(KeyboardInterrupt):
        bench.run(listener=Stop("epoch", 2), **axes, sets=halve)
    done = _only(bench.run(**axes, sets=halve))
    assert [event.epoch for event in bench.heard.of("epoch")] == [3], "two epochs were on disk"
    assert done.training is not None
    assert (done.training.batch_size, done.training.accumulate) == (2, 2)
    assert done.training.protocol_changed == "out of memory, batch 2 x 2 accumulated steps"
    assert [epoch.epoch for epoch in done.training.history] == [1, 2, 3]

    with pytest.raises(KeyboardInterrupt):
        bench.run(listener=Stop("epoch", 2), **axes, sets=halve, fresh=True)
    refused = _only(bench.run(**axes, sets=never))
    assert refused.error is not None
    assert refused.error.kind == "out-of-memory", "what was trained at another batch is not continued unmarked"
    assert not list(bench.directory.glob("checkpoints/*/*"))


def test_observers_hear_everything_and_cost_nothing(bench: Any) -> None:
    heard: list[Any] = []

    class Watcher:
        @hookimpl
        def segbench_before_cell(self, cell: Any) -> None:
            heard.append(("before", cell["loss"]))

        @hookimpl
        def segbench_after_epoch(self, cell: Any, epoch: Any) -> None:
            heard.append(("epoch", epoch["epoch"]))

        @hookimpl
        def segbench_after_cell(self, result: Any) -> None:
            heard.append(("after", result["status"]))

    class Grumbler:
        @hookimpl
        def segbench_after_epoch(self, cell: Any) -> None:
            raise RuntimeError("no")

    bench.catalog.add(Grumbler(), Plugin(name="grumbler"))
    bench.catalog.add(Watcher(), Plugin(name="watcher"))
    with pytest.warns(PluginWarning, match="'grumbler' was switched off"):
        run = bench.run(losses="ce,mishap[how=raise]", sets=[INLINE])
    assert heard == [("before", "ce"), ("epoch", 1), ("after", "ok"), ("before", "mishap[how=raise]"), ("after", "failed")]
    assert "plugin 'grumbler' was switched off: segbench_after_epoch raised RuntimeError: no" in run.warnings


def test_results_of_another_dataset_are_not_mixed_in(bench: Any) -> None:
    bench.run(sets=[INLINE])
    with pytest.raises(StoreError, match=r"holds results on dots, this run is on dots\[train=4\]"):
        bench.run(dataset="dots[train=4]", sets=[INLINE])
    assert _only(bench.run(dataset="dots[train=4]", sets=[INLINE], fresh=True)).status == "ok"


def test_a_damaged_cell_runs_again_and_is_told(bench: Any) -> None:
    cell = _only(bench.run(sets=[INLINE]))
    (bench.directory / "cells" / f"{cell.id}.json").write_text("{")
    (bench.directory / "run.json").write_text("{")
    again = bench.run(sets=[INLINE])
    assert _only(again).status == "ok"
    assert f"cells/{cell.id}.json is damaged: its cell is run again" in again.warnings


def test_run_json_says_nothing_of_this_machine_s_folders(bench: Any) -> None:
    bench.run(sets=[INLINE, "data.cache_dir=/some/where"])
    document = json.loads((bench.directory / "run.json").read_text())
    config = json.dumps([document["config"], [{**cell, "error": None} for cell in document["cells"]]])
    assert str(bench.directory) not in config
    assert "/some/where" not in config
