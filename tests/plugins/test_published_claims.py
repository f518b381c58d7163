"""The published figures, and what becomes of those that are already known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segbench.analysis.claims.judge import judge
from segbench.analysis.comparisons.confusions import Images
from segbench.cli.list import spec_rows
from segbench.execution.records import judge_claims
from segbench.plugin.choice import parse_choice
from segbench.plugin.registry import load_catalog
from segbench.plugin.specs import Claim, Task, resolve
from segbench.results.claims import judged_claims
from segbench.results.metrics import METRICS
from segbench.results.records import (
    CellResult,
    Deployment,
    Epoch,
    Latency,
    ModuleCost,
    ModuleCosts,
    ModuleLatency,
    Quality,
    RunResult,
    Training,
    Verdict,
)
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
    """Twenty images that score what the cell scored to one part in ten thousand."""
    if cell.quality is None or cell.quality.miou is None:
        return None
    noise = np.random.default_rng(round(1e6 * cell.quality.miou)).normal(0, 1e-4, 20)
    hits = np.round(1e6 * (cell.quality.miou + noise - noise.mean())).astype(int)
    return Images(tuple(map(str, range(20))), np.array([[[h, 1_000_000 - h], [0, 0]] for h in hits]), None, None)


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
        "deeplab/mobile-app-decimal": "broken",
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


def built(model: str, classes: int, inputs: dict[str, int]) -> torch.nn.Module:
    """The network without memory for its weights: names, classes and shapes of its modules."""
    choice = parse_choice(model)
    spec = next(spec for spec in segbench_models() if spec.name == choice.name)
    task = Task(class_names=tuple(map(str, range(classes))), inputs=inputs)
    with torch.device("meta"):
        network: torch.nn.Module = resolve(spec.build)(task, spec.options.resolve(dict(choice.options)))
    return network


def profiled(model: str) -> CellResult:
    """A DeepLab with the parameters of each of its modules, counted on the real network."""
    rows = [
        ModuleCost(name=name, kind=type(module).__name__, params=sum(p.numel() for p in module.parameters(recurse=False)))
        for name, module in built(model, 21, {"image": 3}).named_modules()
    ]
    return CellResult(id=model, model=model, status="ok", modules=ModuleCosts(modules=rows))


def rows_of(result: RunResult, *claims: Claim) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in judge(claims, result)}


def test_the_single_convolution_is_counted_on_the_network_and_its_separable_figures_are_broken() -> None:
    models = ("deeplab-original", "deeplab-optimized", "deeplab-optimized[decoder=standard]")
    result = RunResult(task={"num_classes": 21}, cells=[profiled(model) for model in models])
    verdicts = rows_of(result, *(claim for claim in CLAIMS.values() if claim.modules and claim.name.startswith("deeplab/")))
    assert {name.removeprefix("deeplab/"): (row.verdict, row.measured) for name, row in verdicts.items()} == {
        "original-branches": ("kept", "4"),
        "optimized-branches": ("kept", "3"),
        "branches-reduction": ("kept", "-25.0 % (3 against 4)"),
        "channels-reduction": ("kept", "-50.0 % (256 against 512)"),
        "standard-convolution": ("kept", "184 320"),
        "separable-convolution": ("broken", "21 920"),
        "separable-factor": ("broken", "8.41x (21 920 against 184 320)"),
        "decoder-factor": ("kept", "8.41x (43 840 against 368 640)"),
    }


def test_without_the_standard_decoder_or_without_modules_it_is_said_what_is_missing() -> None:
    optimized = profiled("deeplab-optimized")
    names = ("standard-convolution", "separable-factor", "separable-convolution")
    claims = [CLAIMS[f"deeplab/{name}"] for name in names]
    absent = "needs deeplab-optimized[decoder=standard] in the run"
    assert [v.missing for v in judge(claims, RunResult(cells=[optimized]))] == [absent, absent, None]
    optimized.modules = None
    assert judge(claims[2:], RunResult(cells=[optimized]))[0].missing == (
        "the costs of its modules were not measured (measure.modules, with measure.latency)"
    )


ATTENTION = {
    "flood-original": {"decoder.transformer.2": ("NonLocalAttention", 64 * 64, 32)},
    "flood-efficient": {
        "decoder.cnn.1": ("EfficientAttention", 32 * 32, 32),
        "decoder.transformer.1": ("EfficientAttention", 16 * 16, 64),
    },
}
"""The self-attention of both networks at 512 x 512: class, positions of 256 channels, channels of query and key."""


def attending(model: str) -> CellResult:
    """A flood network's attention with multiply-adds by hand, 2 ms a module; another module that does not count."""
    rows = [ModuleCost(name="encoder", kind="Encoder", macs=10**12, ms=1000.0)]
    for name, (kind, positions, hidden) in ATTENTION[model].items():
        rows.append(ModuleCost(name=name, kind=kind, macs=positions**2 * (hidden + 256), ms=2.0))
        for part, channels in (("query", hidden), ("key", hidden), ("value", 256)):
            rows.append(ModuleCost(name=f"{name}.{part}", kind="Conv2d", macs=positions * 256 * channels, ms=2.0))
    shape = [[1, 2, 512, 512], [1, 13, 512, 512]]
    return CellResult(id=model, model=model, status="ok", modules=ModuleCosts(input_shape=shape, device="cpu", modules=rows))


@pytest.mark.parametrize("model", ATTENTION)
def test_attention_stands_where_the_claims_look_for_it(model: str) -> None:
    kinds = {name: type(module).__name__ for name, module in built(model, 2, {"sar": 2, "optical": 13}).named_modules()}
    attention = {name: kind for name, kind in kinds.items() if kind in ("EfficientAttention", "NonLocalAttention")}
    assert attention == {name: kind for name, (kind, _, _) in ATTENTION[model].items()}


def test_attention_is_counted_over_all_its_blocks_and_its_time_without_a_race_decides_nothing() -> None:
    claims = [CLAIMS[f"flood/attention-{name}"] for name in ("macs", "less-time", "more-speed")]
    macs, less_time, more_speed = judge(claims, RunResult(cells=[attending(model) for model in ATTENTION]))
    assert (macs.verdict, macs.measured) == ("kept", "-91.6 % (0.432 G against 5.167 G, 512)")
    assert less_time.measured == "16.00 ms against 8.00 ms (cpu, 512)", "two blocks of four modules against one; no ratio"
    assert more_speed.measured_value is None
    for row in (less_time, more_speed):
        needed = "--set measure.race_modules=EfficientAttention,NonLocalAttention"
        assert (row.verdict, row.low) == ("cannot tell", None)
        assert row.missing == f"the modules were not timed by themselves in one race: {needed}"


def test_the_time_of_attention_is_judged_by_the_rounds_of_its_modules() -> None:
    def raced(model: str, module: str, milliseconds: float) -> CellResult:
        rounds = [[milliseconds * (1 + 0.01 * (number % 3))] for number in range(12)]
        times = Latency(batch_size=1, input_size=(512, 512), device="cpu", p50_ms=rounds[0][0], rounds_ms=rounds, start_rounds=[2] * 6)
        other = "NonLocalAttention" if module == "EfficientAttention" else "EfficientAttention"
        absent = ModuleLatency(name=other, error=f"the network has no module {other}")
        parts = [absent, ModuleLatency(name=module, latency=[times])]
        deployment = Deployment(backend="eager", raced="noon", latency=[times], module_latency=parts)
        return attending(model).model_copy(update={"deployments": [deployment]})

    cells = [raced("flood-original", "NonLocalAttention", 100.0), raced("flood-efficient", "EfficientAttention", 20.0)]
    claims = [CLAIMS[f"flood/attention-{name}"] for name in ("less-time", "more-speed")]
    less_time, more_speed = judge(claims, RunResult(cells=cells))
    assert (less_time.verdict, more_speed.verdict) == ("kept", "kept")
    assert less_time.measured_value == pytest.approx(0.8)
    assert less_time.low is not None
    assert less_time.low <= 0.8 <= (less_time.high or 0)
    assert "12 rounds of one race" in (more_speed.measured or "")

    slow = raced("flood-efficient", "EfficientAttention", 90.0)
    assert {row.verdict for row in judge(claims, RunResult(cells=[cells[0], slow]))} == {"broken"}


def test_the_time_of_modules_that_could_not_be_raced_is_not_tested() -> None:
    failed = ModuleLatency(name="EfficientAttention", error="a forward pass does not call decoder.cnn.1")
    efficient = attending("flood-efficient").model_copy(update={"deployments": [Deployment(backend="eager", module_latency=[failed])]})
    cells = [attending("flood-original"), efficient]
    (row,) = judge([CLAIMS["flood/attention-less-time"]], RunResult(cells=cells))
    assert (row.verdict, row.missing) == ("not tested here", "a forward pass does not call decoder.cnn.1")


def curve(seed: int, *, shift: float = 0.0, **train: Any) -> CellResult:
    """A training of 150 epochs that goes through every figure of the guide."""
    known = {1: (0.20, 1.5), 20: (0.45, 0.6), 50: (0.55, 0.4), 100: (0.60, 0.3), 150: (0.64, 0.25)}
    history = [
        Epoch(epoch=e, val_miou=m + shift + 0.0001 * seed, train_loss=loss + shift + 0.0001 * seed) for e, (m, loss) in known.items()
    ]
    return CellResult(
        id=f"s{seed}",
        model="deeplab-optimized",
        loss="combined",
        dataset="voc2012",
        recipe="maximum",
        seed=seed,
        status="ok",
        resolved={"train": {"epochs": 150, "image_size": 512, "split": "train"} | train},
        training=Training(select_on="val", history=history),
    )


def test_learning_curves_are_judged_epoch_by_epoch_over_seeds() -> None:
    curves = [claim for claim in CLAIMS.values() if "/curve-" in claim.name]
    assert len(curves) == 9
    kept = judge(curves, RunResult(cells=[curve(seed) for seed in range(3)]))
    assert [v.verdict for v in kept] == ["kept"] * 9
    assert kept[1].measured == "45.01 % [44.99, 45.03] (epoch 20, mean of 3 seeds, t interval over 3 seeds)"
    assert [v.verdict for v in judge(curves, RunResult(cells=[curve(seed, shift=0.1) for seed in range(3)]))] == ["broken"] * 9
    assert {v.verdict for v in judge(curves, RunResult(cells=[curve(0)]))} == {"cannot tell"}


def test_a_curve_on_the_images_that_were_trained_on_or_of_a_shorter_training_is_not_judged() -> None:
    name = CLAIMS["deeplab/curve-miou-20"]
    missing = judge([name], RunResult(cells=[curve(0, split="trainval")]))[0].missing
    assert missing == "the network was trained on the validation split (val)"
    assert judge([name], RunResult(cells=[curve(0, epochs=100)]))[0].missing == "needs train.epochs 150, this run has 100"


def test_a_pruned_network_is_held_against_the_one_that_it_was_made_of() -> None:
    base = CellResult(id="base", model="deeplab-optimized", status="ok", params=2_500_000)
    pruned = CellResult(id="pruned", kind="prune", model="prune[of=deeplab-optimized,share=0.1]", status="ok", params=1_900_000)
    claim = CLAIMS["deeplab/pruning"]
    row = judge([claim], RunResult(cells=[base, pruned]))[0]
    assert (row.verdict, row.measured, row.cells) == ("kept", "-24.0 % (1.90 M against 2.50 M)", ["pruned", "base"])
    assert judge([claim], RunResult(cells=[base]))[0].missing == "needs prune[of=deeplab-optimized] in the run"
    other = pruned.model_copy(update={"model": "prune[of=deeplab-original]"})
    assert judge([claim], RunResult(cells=[base, other]))[0].verdict == "not tested here"


def test_training_time_is_also_held_against_the_original() -> None:
    def trained_in(model: str, augmentation: str, seconds: float) -> CellResult:
        epochs = [Epoch(epoch=e, seconds=seconds * (1 + 0.001 * (e % 2))) for e in range(1, 9)]
        return CellResult(
            id=f"{model}-{augmentation}",
            model=model,
            loss="focal",
            dataset="voc2012",
            recipe="quick-test",
            settings={"train.augmentation": augmentation},
            status="ok",
            resolved={"train": {"augmentation": augmentation}},
            training=Training(seconds=8 * seconds, epochs_run=8, history=epochs),
        )

    cells = [trained_in("deeplab-original", "standard", 100.0), trained_in("deeplab-optimized", "enhanced", 125.0)]
    row = judge([CLAIMS["deeplab/enhanced-time-against-original"]], RunResult(cells=cells))[0]
    assert row.cells == ["deeplab-optimized-enhanced", "deeplab-original-standard"]
    assert row.measured == "125.00 s against 100.00 s", "both values; no ratio on a machine of which nothing is known"


def test_the_flood_networks_say_of_what_they_are_a_reconstruction() -> None:
    """From the spec of the model alone: in its summary, in ``segbench list`` and in every verdict about it."""
    catalog = load_catalog()
    remade = {spec.name: spec.reconstruction for spec, _ in catalog.specs("models") if spec.reconstruction}
    assert set(remade) == {"flood-original", "flood-efficient"}
    assert all("guide" in text and "no code" in text for text in remade.values())
    listed = {row["name"]: row for row in spec_rows(catalog, "models")}
    assert all("(a reconstruction)" in listed[name]["summary"] and listed[name]["reconstruction"] == text for name, text in remade.items())
    judged = [*judge_claims(run(FLOOD, 2), catalog), *judge_claims(run(DEEPLAB, 21), catalog)]
    for row in judged:
        assert row.reconstruction == remade.get((row.subject or "").partition("[")[0])
    words = {row.claim: row.claim_verdict for row in judged if row.verdict == "broken"}
    assert words["flood/efficient-params"] == "broken (of this reconstruction)"
    assert words["deeplab/mobile-app-decimal"] == "depends on the reading: MB of 2^20 bytes or MB of 10^6 bytes"


READINGS = {
    "deeplab/mobile-app": ["deeplab/mobile-app-decimal"],
    "deeplab/enhanced-time": ["deeplab/enhanced-time-against-original"],
    "deeplab/faster-as-less-time": ["deeplab/faster-as-more-speed"],
    "deeplab/inference-memory": ["deeplab/training-memory"],
    "flood/attention-macs": ["flood/attention-less-time", "flood/attention-more-speed"],
    "flood/resnet18-params": ["flood/resnet18-encoder"],
    "flood/training-memory": ["flood/inference-memory"],
    "flood/pixel-accuracy-kept": ["flood/miou-kept"],
    "flood/pixel-accuracy-about": ["flood/miou-about"],
}
"""Published claims that can be read in several ways, by their first reading; "95-98 %" and "~95 %" are two figures, and two claims."""


def test_readings_of_one_statement_are_one_claim() -> None:
    others = {first: [name for name, claim in CLAIMS.items() if claim.reading_of == first] for first in CLAIMS}
    assert {first: names for first, names in others.items() if names} == READINGS
    for first, names in READINGS.items():
        readings = [CLAIMS[first], *(CLAIMS[name] for name in names)]
        assert len({claim.read_as for claim in readings} - {""}) == len(readings)
        assert {claim.summary for claim in readings} == {CLAIMS[first].summary}
        assert "read as" not in CLAIMS[first].summary
    alone = [claim for name, claim in CLAIMS.items() if name not in READINGS and not claim.reading_of]
    assert not [claim.name for claim in alone if claim.read_as]
    assert len(judged_claims(judge(list(CLAIMS.values()), RunResult()))) == len(CLAIMS) - 10


def test_a_statement_that_is_kept_in_one_reading_and_broken_in_the_other_is_one_claim_that_depends() -> None:
    small = CellResult(
        id="small", model="flood-efficient[encoder=resnet18]", status="ok", params=14_844_719, params_per_part={"encoder": 11_176_512}
    )
    rows = judge(list(CLAIMS.values()), RunResult(task={"num_classes": 2}, cells=[small]))
    tested = [claim for claim in judged_claims(rows) if claim.tested]
    words = "depends on the reading: those of the network or those of the encoder"
    assert [(claim.name, claim.words) for claim in tested] == [("flood/resnet18-params", words)]
    assert [tested[0].label(row) for row in tested[0].rows] == ["read as those of the network", "read as those of the encoder"]


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
        "deeplab/mobile-app-decimal": "at most 10 MB of 10⁶ bytes",
        "deeplab/original-branches": "4",
        "deeplab/optimized-branches": "3",
        "deeplab/branches-reduction": "-25 %",
        "deeplab/channels-reduction": "-50 %",
        "deeplab/standard-convolution": "184 320",
        "deeplab/separable-convolution": "20 928",
        "deeplab/separable-factor": "8.8x",
        "deeplab/decoder-factor": "about 8x",
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
        "deeplab/optimal-training": "60 to 66 %",
        "deeplab/enhanced-gain": "+2 to +4 points",
        "deeplab/trainval-gain": "+3 to +5 points",
        "deeplab/maximum-gain": "+4 to +8 points",
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
        "deeplab/enhanced-time-against-original": "1.2x to 1.3x",
        "deeplab/curve-miou-1": "about 20 %",
        "deeplab/curve-miou-20": "about 45 %",
        "deeplab/curve-miou-50": "55 %",
        "deeplab/curve-miou-100": "60 %",
        "deeplab/curve-loss-1": "about 1.50",
        "deeplab/curve-loss-20": "about 0.60",
        "deeplab/curve-loss-50": "about 0.40",
        "deeplab/curve-loss-100": "about 0.30",
        "deeplab/curve-loss-150": "about 0.25",
        "deeplab/faster-as-less-time": "-30 to -40 %",
        "deeplab/faster-as-more-speed": "1.3x to 1.4x",
        "deeplab/inference-memory": "-60 %",
        "deeplab/training-memory": "-60 %",
        "deeplab/miou-loss": "-2 to -1 points",
        "deeplab/int8-size": "about 4x",
        "deeplab/int8-speed": "2x to 3x",
        "deeplab/pruning": "-20 to -30 %",
        "flood/without-attention-macs": "-40 to -60 %",
        "flood/params-reduction": "about -50 %",
        "flood/size-reduction": "about -60 %",
        "flood/attention-macs": "at least -70 %",
        "flood/attention-less-time": "at least -70 %",
        "flood/attention-more-speed": "at least 1.7x",
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
    assert claim.conditions or claim.modules, "a part of a network is the same under all conditions"
