"""The published figures, and what becomes of those that are already known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons.confusions import Images
from segbench.plugin.choice import parse_choice
from segbench.results.metrics import METRICS
from segbench.results.records import CellResult, Deployment, Latency, Quality, RunResult
from segbench_plugins.claims import segbench_claims
from segbench_plugins.models import segbench_models

CLAIMS = {claim.name: claim for claim in segbench_claims()}
MODELS = {spec.name for spec in segbench_models()}


def run(params: dict[str, int], classes: int) -> RunResult:
    cells = [
        CellResult(id=model, model=model, status="ok", params=count, size_mb=4 * count / 2**20, dataset="shapes")
        for model, count in params.items()
    ]
    return RunResult(task={"num_classes": classes}, cells=cells)


def verdicts(result: RunResult) -> dict[str, str]:
    told = judge(list(CLAIMS.values()), result, matrices=as_sure_as_can_be)
    return {v.claim: v.verdict for v in told if v.verdict != "not tested here"}


def as_sure_as_can_be(cell: CellResult) -> Images | None:
    """Twenty images that all score what the cell scored."""
    if cell.quality is None or cell.quality.miou is None:
        return None
    hits = round(1e6 * cell.quality.miou)
    return Images(tuple(map(str, range(20))), np.array([[[hits, 1_000_000 - hits], [0, 0]]] * 20), None, None)


DEEPLAB = {"deeplab-original": 6_831_509, "deeplab-optimized": 2_517_493}
FLOOD = {"flood-original": 43_272_310, "flood-efficient": 24_952_879}


def test_the_deeplab_counts_are_kept_at_21_classes() -> None:
    assert verdicts(run(DEEPLAB, 21)) == {
        "deeplab/original-params": "kept",
        "deeplab/optimized-params": "kept",
        "deeplab/original-size": "kept",
        "deeplab/optimized-size": "kept",
        "deeplab/params-reduction": "kept",
        "deeplab/size-reduction": "kept",
        "deeplab/mobile-app": "kept",
    }


def test_they_say_nothing_of_other_class_counts() -> None:
    result = run(DEEPLAB, 11)
    assert verdicts(result) == {}
    missing = {v.claim: v.missing for v in judge(list(CLAIMS.values()), result)}
    assert missing["deeplab/original-params"] == "needs class count 21, this run has 11"
    assert missing["flood/efficient-params"] == "needs flood-efficient in the run"


def test_the_claimed_size_of_the_efficient_flood_model_is_broken() -> None:
    assert verdicts(run(FLOOD, 2)) == {
        "flood/original-params": "kept",
        "flood/efficient-params": "broken",
        "flood/params-reduction": "broken",
        "flood/size-reduction": "broken",
    }


def test_a_figure_that_can_be_read_in_two_ways_may_be_kept_in_one_and_broken_in_the_other() -> None:
    small = CellResult(
        id="small",
        model="flood-efficient[encoder=resnet18]",
        status="ok",
        params=14_844_719,
        params_per_part={"encoder": 11_176_512},
    )
    assert verdicts(RunResult(task={"num_classes": 2}, cells=[small])) == {
        "flood/resnet18-params": "broken",
        "flood/resnet18-encoder": "kept",
    }


def trained(miou: float, **settings: Any) -> CellResult:
    resolved = {"epochs": 50, "batch_size": 8, "image_size": 512, "split": "train", "augmentation": "standard"} | settings
    return CellResult(
        id=f"cell-{settings}",
        model="deeplab-optimized",
        loss="focal",
        dataset="voc2012",
        recipe="quick-test",
        settings={f"train.{key}": value for key, value in settings.items()},
        status="ok",
        resolved={"train": resolved},
        quality=Quality(split="val", images=1449, miou=miou),
    )


def test_gains_by_a_setting_are_judged_between_cells_that_differ_in_it_alone() -> None:
    result = RunResult(task={"num_classes": 21}, cells=[trained(0.57), trained(0.58, batch_size=16), trained(0.55, batch_size=4, lr=1e-3)])
    told = verdicts(result)
    assert told["deeplab/batch-16-miou"] == "broken", "one point is not the half that is claimed"
    assert "deeplab/batch-4-miou" not in told, "its learning rate differs too"
    missing = {v.claim: v.missing for v in judge(list(CLAIMS.values()), result)}
    assert missing["deeplab/batch-4-miou"] == "needs deeplab-optimized with train.batch_size 8 beside it and all else equal"
    assert missing["deeplab/enhanced-gain"] == "needs train.augmentation enhanced, this run has standard"
    result.cells[1] = trained(0.575, batch_size=16)
    assert verdicts(result)["deeplab/batch-16-miou"] == "kept"


def test_int8_is_held_against_the_same_backend_in_fp32() -> None:
    def form(backend: str, precision: str, file_mb: float, ms: float) -> Deployment:
        latency = Latency(batch_size=1, input_size=(512, 512), device="cpu", p50_ms=ms, rounds_ms=[[ms]] * 10)
        return Deployment(backend=backend, precision=precision, file_mb=file_mb, latency=[latency], raced="noon")

    forms = [
        form("openvino", "fp32", 10.0, 40.0),
        form("openvino[precision=int8]", "int8", 3.0, 16.0),
        form("onnxruntime", "fp32", 9.6, 30.0),
    ]
    cell = CellResult(id="a", model="deeplab-optimized", status="ok", deployments=forms)
    told = {v.claim: v for v in judge(list(CLAIMS.values()), RunResult(cells=[cell]))}
    size, speed = told["deeplab/int8-size"], told["deeplab/int8-speed"]
    assert size.verdict == "broken"
    assert size.measured_value == pytest.approx(10 / 3)
    assert speed.verdict == "kept"
    assert speed.measured_value == pytest.approx(2.5)


def test_printed_figures_are_the_published_ones() -> None:
    claimed = {v.claim: v.claimed for v in judge(list(CLAIMS.values()), RunResult())}
    assert claimed == {
        "deeplab/original-params": "6.83 M",
        "deeplab/original-size": "26.06 MB",
        "deeplab/optimized-params": "2.52 M",
        "deeplab/optimized-size": "9.60 MB",
        "deeplab/params-reduction": "-63 %",
        "deeplab/size-reduction": "-63 %",
        "deeplab/mobile-app": "at most 10 MB",
        "deeplab/original-miou": "58.03 %",
        "deeplab/target-basic": "55 to 58 %",
        "deeplab/target-focal": "56 to 59 %",
        "deeplab/target-enhanced": "57 to 60 %",
        "deeplab/target-trainval": "60 to 63 %",
        "deeplab/target-full": "62 to 66 %",
        "deeplab/strategy-quick-test": "55 to 58 %",
        "deeplab/strategy-enhanced": "58 to 61 %",
        "deeplab/strategy-maximum": "62 to 66 %",
        "deeplab/strategy-fine-tune": "60 to 64 %",
        "deeplab/enhanced-gain": "+2 to +4 points",
        "deeplab/trainval-gain": "+3 to +5 points",
        "deeplab/combined-over-focal": "+1 to +2 points",
        "deeplab/focal-gain": "+2 to +3 points",
        "deeplab/dice-gain": "+1 to +2 points",
        "deeplab/combined-gain": "+3 to +4 points",
        "deeplab/batch-4-miou": "about -1 points",
        "deeplab/batch-16-miou": "about +0.5 points",
        "deeplab/batch-4-memory": "at most 4096 MB",
        "deeplab/batch-8-memory": "at most 8192 MB",
        "deeplab/batch-16-memory": "at most 16384 MB",
        "deeplab/size-256-miou": "about -5 points",
        "deeplab/size-384-miou": "about -2 points",
        "deeplab/size-640-miou": "about +1 points",
        "deeplab/epoch-standard-train": "1200 to 1800 s",
        "deeplab/epoch-enhanced-train": "1500 to 2100 s",
        "deeplab/epoch-enhanced-trainval": "2400 to 3600 s",
        "deeplab/hours-quick-baseline": "1 to 2 h",
        "deeplab/hours-efficient": "3 to 4 h",
        "deeplab/hours-maximum": "8 to 12 h",
        "deeplab/enhanced-time": "1.2x to 1.3x",
        "deeplab/faster-as-less-time": "-30 to -40 %",
        "deeplab/faster-as-more-speed": "1.3x to 1.4x",
        "deeplab/inference-memory": "-60 %",
        "deeplab/training-memory": "-60 %",
        "deeplab/miou-loss": "-2 to -1 points",
        "deeplab/int8-size": "about 4x",
        "deeplab/int8-speed": "2x to 3x",
        "flood/without-attention-macs": "-40 to -60 %",
        "flood/params-reduction": "about -50 %",
        "flood/size-reduction": "about -60 %",
        "flood/original-params": "about 45 M",
        "flood/efficient-params": "about 18 M",
        "flood/resnet18-params": "about 11 M",
        "flood/resnet18-encoder": "about 11 M",
        "flood/training-speed": "at least 2.5x",
        "flood/inference-speed": "at least 3x",
        "flood/training-memory": "at most 0.6x",
        "flood/inference-memory": "at most 0.6x",
        "flood/pixel-accuracy-kept": "95 to 98 %",
        "flood/pixel-accuracy-about": "about 95 %",
        "flood/miou-kept": "95 to 98 %",
        "flood/miou-about": "about 95 %",
    }


@pytest.mark.parametrize("name", CLAIMS)
def test_each_names_models_and_quantities_that_exist_and_its_source(name: str) -> None:
    claim = CLAIMS[name]
    models = [parse_choice(text.partition("|")[0]).name for text in (claim.subject, claim.baseline) if text]
    assert set(models) <= MODELS
    assert claim.quantity in METRICS
    assert "guide" in claim.source
    assert claim.conditions
