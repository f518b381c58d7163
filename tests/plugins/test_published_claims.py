"""The published figures, and what becomes of those that are already known."""

from __future__ import annotations

import pytest

from segbench.claims import judge
from segbench.quantities import QUANTITIES
from segbench.results import CellResult, RunResult
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
    return {v.claim: v.verdict for v in judge(list(CLAIMS.values()), result) if v.verdict != "not tested here"}


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
    }


def test_they_say_nothing_of_other_class_counts() -> None:
    result = run(DEEPLAB, 11)
    assert verdicts(result) == {}
    missing = {v.claim: v.missing for v in judge(list(CLAIMS.values()), result)}
    assert missing["deeplab/original-params"] == "needs class count 21, this run has 11"
    assert missing["flood/efficient-params"] == "needs flood-efficient in the run"


def test_the_claimed_size_of_the_efficient_flood_model_is_broken() -> None:
    assert verdicts(run(FLOOD, 2)) == {"flood/original-params": "kept", "flood/efficient-params": "broken"}


def test_printed_figures_are_the_published_ones() -> None:
    claimed = {v.claim: v.claimed for v in judge(list(CLAIMS.values()), RunResult())}
    assert claimed == {
        "deeplab/original-params": "6.83 M",
        "deeplab/optimized-params": "2.52 M",
        "deeplab/original-size": "26.06 MB",
        "deeplab/optimized-size": "9.60 MB",
        "deeplab/params-reduction": "-63.1 %",
        "deeplab/size-reduction": "-63.2 %",
        "deeplab/faster-as-less-time": "-30 to -40 %",
        "deeplab/faster-as-more-speed": "1.3x to 1.4x",
        "deeplab/miou-loss": "-2 to -1 points",
        "flood/original-params": "about 45 M",
        "flood/efficient-params": "about 18 M",
        "flood/training-speed": "at least 2.5x",
        "flood/inference-speed": "at least 3x",
        "flood/training-memory": "at most 0.6x",
        "flood/inference-memory": "at most 0.6x",
        "flood/pixel-accuracy-kept": "95 to 98 %",
        "flood/miou-kept": "95 to 98 %",
    }


@pytest.mark.parametrize("name", CLAIMS)
def test_each_names_models_and_quantities_that_exist_and_its_source(name: str) -> None:
    claim = CLAIMS[name]
    assert claim.subject in MODELS
    assert claim.baseline is None or claim.baseline in MODELS
    assert claim.quantity in QUANTITIES
    assert "guide" in claim.source
    assert claim.conditions
