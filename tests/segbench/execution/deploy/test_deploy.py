"""Deployed forms in a run: file, drift, quality, and what becomes of those that go wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from segbench.config.settings import Settings, TrainSettings
from segbench.errors import ConfigError, DataError
from segbench.execution.costs.export import export_for_race
from segbench.execution.deploy.model import DeployedModel
from segbench.execution.jobs import RaceExportJob, RaceFile
from segbench.results.records import CellResult, Deployment


def _forms(row: CellResult) -> dict[str, Deployment]:
    return {form.backend: form for form in row.deployments}


@pytest.fixture
def deployed(bench: Any) -> Any:
    """Run one tiny cell through some backends; gives its deployments by backend."""

    def run(backends: str, *sets: str, where: str = "inline", **config: Any) -> dict[str, Deployment]:
        (row,) = bench.run(backends=backends, sets=[f"execute.where={where}", *sets], **config).cells
        assert row.status == "ok"
        return _forms(row)

    return run


def test_a_faithful_file_has_no_drift_and_the_same_quality(deployed: Any, bench: Any) -> None:
    forms = deployed("frozen,twin")
    eager, frozen, twin = forms["eager"], forms["frozen"], forms["twin"]
    assert list(forms) == ["eager", "frozen", "twin"]
    assert eager.quality is not None
    assert frozen.quality is not None
    assert twin.quality is not None
    assert frozen.quality.iou_per_class == eager.quality.iou_per_class == twin.quality.iou_per_class
    assert frozen.drift is not None
    assert (frozen.drift.images, frozen.drift.max_abs, frozen.drift.label_agreement) == (2, 0.0, 1.0)
    assert frozen.drift.reference_std is not None
    assert frozen.drift.reference_std > 0
    assert frozen.fixed_size == (16, 16)
    assert twin.fixed_size is None
    assert frozen.artifact is not None
    folder = (bench.directory / frozen.artifact).parent
    assert frozen.file_mb == pytest.approx(sum(file.stat().st_size for file in folder.iterdir()) / 2**20)
    assert frozen.export_seconds is not None
    assert twin.export_seconds is None
    assert frozen.version == twin.version or twin.version is None
    assert not Path(frozen.artifact).is_absolute()


def test_the_matrices_of_each_image_are_kept_for_every_form(deployed: Any, bench: Any) -> None:
    forms = deployed("frozen,twin")
    assert forms["frozen"].artifact is not None
    cell = Path(forms["frozen"].artifact).parts[1]
    own = np.load(bench.directory / f"confusions/{cell}.npz")
    for name in ("frozen", "twin"):
        assert forms[name].confusions == f"confusions/{cell}--{name}.npz"
        form = np.load(bench.directory / f"confusions/{cell}--{name}.npz")
        assert own["ids"].tolist() == form["ids"].tolist()
        assert np.array_equal(own["matrices"], form["matrices"])


def test_what_a_form_adds_to_its_logits_is_its_drift_and_costs_quality(deployed: Any) -> None:
    names = ("frozen[shift=100.0]", "frozen[precision=bf16,shift=100.0]")
    forms = deployed(",".join(names))
    for name in names:
        drift = forms[name].drift
        assert drift is not None
        assert drift.max_abs == pytest.approx(100.0, rel=1e-5)
        assert drift.mean_abs == pytest.approx(50.0, rel=1e-5)  # one of two classes is moved
    in_full, in_half = (forms[name] for name in names)
    assert in_half.quality is not None
    assert in_half.quality.iou_per_class[1] == 0.0  # everything has become class 0
    assert (in_full.quality, in_full.error_kind) == (None, "refused")  # in full precision it is another network
    assert "its logits are off by up to 100 where they are to be equal" in (in_full.error or "")


@pytest.mark.parametrize(
    ("options", "said", "kind"),
    [
        ("how=refuse", "export: the operator aten::frobnicate cannot be exported", "refused"),
        ("how=raise,at=call", "drift: ValueError: the loss [bold]fell[/bold] over", "error"),
        ("how=memory,at=load", "load: CUDA out of memory", "out-of-memory"),
        ("how=numbers", "drift: its logits are not finite numbers", "refused"),
        ("how=shape", "drift: a call gives (1, 2, 16, 15)", "refused"),
    ],
)
def test_what_goes_wrong_costs_one_form_and_is_said(deployed: Any, options: str, said: str, kind: str) -> None:
    forms = deployed(f"frozen[{options}],twin")
    fallen = forms[next(name for name in forms if name.startswith("frozen"))]
    assert fallen.error is not None
    assert fallen.error.startswith(said)
    assert fallen.error_kind == kind
    assert fallen.quality is None
    assert forms["twin"].quality is not None


def test_a_crash_costs_only_its_form(deployed: Any) -> None:
    """Each in a process of its own, where nothing else can catch them."""
    names = ("frozen[how=abort]", "frozen[at=load,how=abort]", "frozen")
    forms = deployed(",".join(names), where="process")
    errors = [forms[name].error or "" for name in names]
    assert errors[0].startswith("export: its process crashed (SIGABRT)")
    assert errors[1].startswith("load: its process crashed (SIGABRT)")
    assert forms["frozen[at=load,how=abort]"].file_mb is not None
    assert errors[2] == ""
    frozen, eager = forms["frozen"].quality, forms["eager"].quality
    assert frozen is not None
    assert eager is not None
    assert frozen.iou_per_class == eager.iou_per_class
    assert frozen.boundary_iou_per_class == eager.boundary_iou_per_class
    assert frozen.ece == pytest.approx(eager.ece, abs=1e-6)  # one image at a time rounds otherwise than a batch


@pytest.mark.slow
def test_a_form_that_hangs_is_ended(deployed: Any) -> None:
    deployed("eager", where="process")  # trained without haste
    forms = deployed("frozen[how=hang],twin", "execute.timeout=30", where="process")
    assert (forms["frozen[how=hang]"].error or "").startswith("export: it ran longer than execute.timeout = 30 s.")
    assert forms["twin"].error is None


def test_a_device_that_a_backend_cannot_use_is_a_row_with_its_reason(deployed: Any) -> None:
    form = deployed("elsewhere")["elsewhere"]
    assert form.error == "elsewhere runs on cuda, this run is on cpu."


def test_calibration_images_come_from_the_training_split_on_the_canvas(deployed: Any, bench: Any) -> None:
    form = deployed("frozen[calibrates=true]", "deploy.calibration=3")["frozen[calibrates=true]"]
    assert form.artifact is not None
    shapes = ((bench.directory / form.artifact).parent / "calibration.txt").read_text()
    assert shapes == " ".join(["(1, 3, 16, 16)"] * 3)


def test_a_fixed_canvas_holds_every_image_of_the_split(deployed: Any) -> None:
    # native 20x20 images, evaluated as they are, by a model trained at 16
    form = deployed("frozen", "eval.resize=none", dataset="dots[size=20]")["frozen"]
    assert form.fixed_size == (20, 20)
    assert form.error is None


def test_a_form_for_any_size_is_tried_at_three_others(deployed: Any) -> None:
    form = deployed("frozen[dynamic=true]")["frozen[dynamic=true]"]
    assert form.drift is not None
    assert [drift.input_size for drift in form.drift.sizes] == [(8, 8), (16, 24), (576, 640)]
    assert all(drift.max_abs == 0.0 for drift in form.drift.sizes)
    assert form.fixed_size is None


def test_a_form_that_computes_something_else_at_another_size_is_refused(deployed: Any) -> None:
    (form,) = [form for name, form in deployed("frozen[dynamic=true,only=100]").items() if name != "eager"]
    assert form.error is not None
    assert "it computes something else at 576x640: logits off by up to 10" in form.error
    assert form.quality is None
    assert form.drift is not None


def test_only_what_is_missing_is_deployed_again(bench: Any) -> None:
    def deploying() -> list[str]:
        return [note.message.split(" as ")[1] for note in bench.heard.of("note") if "deploying as" in note.message]

    inline = "execute.where=inline"
    bench.run(backends="frozen", sets=[inline])
    assert deploying() == ["frozen"]
    bench.run(backends="frozen,twin", sets=[inline])
    assert deploying() == ["twin"]
    (row,) = bench.run(backends="frozen,twin", sets=[inline]).cells
    assert deploying() == []
    assert set(_forms(row)) == {"eager", "frozen", "twin"}
    (row,) = bench.run(backends="frozen,twin", sets=[inline, "eval.resize=warp"]).cells
    assert deploying() == ["frozen", "twin"]
    assert all(form.quality for form in row.deployments)


def test_a_fault_is_tried_again_and_a_refusal_is_not(bench: Any) -> None:
    backends = "frozen[how=refuse],frozen[at=load,how=raise]"
    for _ in range(2):
        bench.run(backends=backends, sets=["execute.where=inline"])
    notes = [note.message for note in bench.heard.of("note") if "deploying as" in note.message]
    assert len(notes) == 1
    assert notes[0].endswith("frozen[at=load,how=raise]")


def test_without_quality_only_drift_is_measured(deployed: Any) -> None:
    form = deployed("frozen", "deploy.quality=false")["frozen"]
    assert form.quality is None
    assert form.drift is not None


def test_a_backend_that_is_not_installed_stops_the_run_before_it_starts(bench: Any) -> None:
    with pytest.raises(ConfigError, match="the package 'frost' is not installed: pip install frost"):
        bench.run(backends="frozen[how=missing]")


def test_cells_of_one_model_share_costs_and_keep_their_own_quality(bench: Any) -> None:
    sets = ["execute.where=inline", "measure.memory=true", "measure.latency=true", "measure.rounds=1"]
    result = bench.run(backends="frozen", seeds="0,1", sets=sets)
    first, second = (_forms(row)["frozen"] for row in result.cells)
    assert first.artifact != second.artifact
    eager = [_forms(row)["eager"] for row in result.cells]
    assert eager[0].latency == eager[1].latency
    assert eager[0].latency
    (compared,) = (c for c in result.comparisons if c.quantity == "miou" and c.subject_backend is not None)
    assert (compared.subject_backend, compared.baseline_backend) == ("frozen", "eager")
    assert compared.subject_cells == [row.id for row in result.cells]
    for form, row in zip(eager, result.cells, strict=True):
        assert form.quality == row.quality


def test_calibration_on_an_empty_split_is_one_clear_message(mishaps: Any) -> None:
    settings = Settings(train=TrainSettings(split="nobody"))
    setup: Any = SimpleNamespace(settings=settings, samples=lambda split: [])
    subject = DeployedModel(setup, mishaps.backend("frozen[calibrates=true]"), *(cast(Any, None),) * 4, canvas=(16, 16))
    with pytest.raises(DataError, match="is calibrated on images of the training split, and 'nobody' is empty"):
        subject.calibration()


def test_the_file_that_was_scored_is_the_file_that_is_raced(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[int] = []

    def counting(job: RaceExportJob, *_: Any) -> RaceFile:
        exported.append(job.batch_size)
        return export_for_race(job, lambda *_: None, bench.catalog)

    monkeypatch.setattr("segbench.execution.costs.pool.export_for_race", counting)
    sets = ["execute.where=inline", "measure.latency=true", "measure.rounds=1", "measure.batch_size=2"]
    (row,) = bench.run(backends="frozen", sets=sets).cells
    assert exported == [2]  # batch 1 lies there already
    form = _forms(row)["frozen"]
    assert [entry.batch_size for entry in form.latency] == [1, 2]
    assert form.error is None
