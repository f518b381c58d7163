"""Networks that change what is not theirs, in whole runs: nothing else is touched, and their row says what they did."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from segbench.config.run_config import load_config
from segbench.execution.runner import run
from segbench.plugin.registry import load_catalog
from segbench.results.records import CellResult, RunResult

PLUGINS = Path(__file__).parent.parent / "plugins_under_test"


class Quiet:
    def on(self, event: object) -> None:
        """Drop it."""


@pytest.fixture(scope="module")
def run_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run models of both plugins inline; gives the result."""
    folder = tmp_path_factory.mktemp("installed")
    for name in ("segbench_mishaps", "segbench_foreign"):
        (folder / f"{name}.py").write_text((PLUGINS / f"{name}.py").read_text())
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[segbench]\n{name} = {name}\n")

    def run_them(models: str, *sets: str, **flags: Any) -> RunResult:
        out = str(tmp_path_factory.mktemp("run"))
        given = {"losses": "ce", "dataset": "dots", "recipes": "tiny", "device": "cpu", "out": out, **flags}
        with warnings.catch_warnings():
            config = load_config(sets=["execute.where=inline", *sets], flags={"models": models, **given})
            return run(config, catalog=load_catalog(), listener=Quiet())

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        yield run_them
    for name in ("segbench_mishaps", "segbench_foreign"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def rows(run_models: Any) -> dict[str, CellResult]:
    """One run of many networks, by their names."""
    names = ("in-place", "plain", "not-a-number", "dropout", "seeds", "settings", "lazy", "frozen", "anew")
    ensembles = ("ensemble[of=(foreign-in-place,foreign-plain)]", "ensemble[of=(foreign-plain,foreign-in-place)]")
    sets = ("eval.flip=true", "eval.scales=(1.0,1.5)")
    result = run_models(",".join([*(f"foreign-{name}" for name in names), *ensembles]), *sets)
    return {row.model.removeprefix("foreign-"): row for row in result.cells}


def test_a_network_that_works_in_place_changes_no_other_networks_input(rows: dict[str, CellResult]) -> None:
    first, second = (row for name, row in rows.items() if name.startswith("ensemble"))
    assert first.quality is not None
    assert second.quality is not None
    assert first.quality.iou_per_class == second.quality.iou_per_class
    assert first.quality.ece == pytest.approx(second.quality.ece, abs=1e-6)
    note = "forward of model 'foreign-in-place' works on its input in place: it is given copies"
    assert all(note in rows[name].all_notes for name in ("in-place", first.model, second.model))
    assert note not in rows["plain"].all_notes


def test_logits_that_are_no_numbers_are_not_scored(rows: dict[str, CellResult]) -> None:
    row = rows["not-a-number"]
    assert row.training is not None
    assert row.training.history[0].val_miou is None
    assert any("epoch 1 has no validation score: the logits of 192 pixels in 3 images" in note for note in row.training.notes)
    assert (row.status, row.quality) == ("failed", None)
    assert row.error is not None
    assert "no class is the highest there: there is no result for 'test'" in row.error.message


def test_two_passes_that_differ_are_noted(rows: dict[str, CellResult]) -> None:
    assert [any("two passes over one image differ" in note for note in rows[name].all_notes) for name in ("dropout", "plain")] == [
        True,
        False,
    ]


def test_settings_that_a_build_changes_are_put_back_and_named(rows: dict[str, CellResult]) -> None:
    notes = rows["settings"].all_notes
    assert "building model 'foreign-settings' changed the number of threads from 1 to 3: put back" in notes
    assert len({note.split(" from ")[0] for note in notes if note.startswith("building model 'foreign-settings' changed")}) == 7
    assert rows["settings"].status == "ok"
    assert torch.get_num_threads() == 1
    assert torch.is_grad_enabled()
    assert not torch.backends.cudnn.benchmark


def test_seeding_in_forward_is_noted(rows: dict[str, CellResult]) -> None:
    note = "forward of model 'foreign-seeds' seeds random numbers: they are put back, so that nothing else repeats"
    assert note in rows["seeds"].all_notes


def test_lazy_layers_are_trained(rows: dict[str, CellResult]) -> None:
    assert (rows["lazy"].status, rows["lazy"].params) == ("ok", rows["plain"].params)


def test_a_network_with_nothing_to_train_says_so(rows: dict[str, CellResult]) -> None:
    error = rows["frozen"].error
    assert error is not None
    assert error.message.startswith("all 6 parameters of model 'foreign-frozen' are frozen: there is nothing to train in 1 epoch.")


def test_a_deployed_form_that_is_another_network_fails(rows: dict[str, CellResult]) -> None:
    error = rows["anew"].error
    assert error is not None
    assert "'deployed' gives other logits than the trained network" in error.message


def test_forms_that_copy_a_network_which_holds_on_to_its_original_are_refused(run_models: Any) -> None:
    backends = "eager,channels-last,eager[precision=bf16]"
    result = run_models("foreign-stale,foreign-borrowed,foreign-plain", backends=backends)
    errors = {row.model: [form.error or "" for form in row.deployments] for row in result.cells}
    for model, reason in (
        ("stale", "a copy of the network computes something else"),
        ("borrowed", "still computes with the original's weights"),
    ):
        eager, *copied = errors[f"foreign-{model}"]
        assert eager == ""
        assert all(reason in error or "does not run" in error for error in copied)
    assert errors["foreign-plain"] == ["", "", ""]


def test_the_race_records_the_threads_in_force_and_what_it_noticed(run_models: Any) -> None:
    sets = ("measure.latency=true", "measure.rounds=1", "measure.batch_size=1", "measure.modules=false")
    (row,) = run_models("foreign-threads", *sets).cells
    assert row.deployments[0].latency[0].threads == 2
    assert "its own code sets the number of threads: timed calls ran on 2, not on the 1 of this race" in row.all_notes
