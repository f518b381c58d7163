"""Each instrument is broken on purpose, and its check must turn red; unbroken, it must not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import flop_counter

from segbench.analysis.statistics import bootstrap as uncertainty
from segbench.analysis.statistics import timing as steadiness
from segbench.analysis.statistics.bootstrap import Interval
from segbench.measure import contender as contenders
from segbench.measure import fvcore as fvcore_counter
from segbench.measure import macs, params
from segbench.measure.params import ParamCount
from segbench.measure.quality import confusion
from segbench.measure.quality import scores as quality
from segbench.testing.instruments import counts, intervals, memory, published, timer_torch
from segbench.testing.instruments.findings import Finding

Patch = pytest.MonkeyPatch
Verdicts = Callable[[str], dict[str, str]]
Findings = Callable[[str], tuple[Finding, ...]]

SMALL = (published.SEGMENTATION[0], published.ENCODERS[4])
LRASPP, SMALLEST = "lraspp_mobilenet_v3_large at 520", "mobilenet_v3_small at 224"


@pytest.fixture
def small_counts(monkeypatch: Patch) -> None:
    monkeypatch.setattr(counts, "SEGMENTATION", SMALL[:1])
    monkeypatch.setattr(counts, "ENCODERS", SMALL[1:])
    monkeypatch.setattr(counts, "SAME_IN_TIMM", ())


@pytest.mark.usefixtures("small_counts")
def test_counts_are_green_unbroken(verdicts_of: Verdicts) -> None:
    assert verdicts_of("counts") == {LRASPP: "ok", SMALLEST: "ok"}


@pytest.mark.usefixtures("small_counts")
def test_a_counter_that_forgets_that_a_multiply_add_is_two_flops_is_found(verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    whole = macs._count
    monkeypatch.setattr(macs, "_count", lambda network, inputs: 2 * whole(network, inputs))
    assert set(verdicts_of("counts").values()) == {"FAILED"}


@pytest.mark.usefixtures("small_counts")
def test_a_counter_that_misses_linear_layers_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setitem(flop_counter.flop_registry, torch.ops.aten.addmm, lambda *_, **__: 0)
    found = {finding.subject: finding for finding in findings_of("counts")}
    assert found[SMALLEST].verdict == "FAILED"
    # 576 * 1024 + 1024 * 1000 multiply-adds are missing, and 0.0565 G are there
    assert (found[SMALLEST].measured, found[SMALLEST].reason) == ("2,542,856; 0.055 G", "+0 params, -0.0021 GMACs")
    assert found[LRASPP].verdict == "ok", "it has no linear layer"


@pytest.mark.usefixtures("small_counts")
def test_a_counter_of_params_that_takes_buffers_along_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    honest = params.count_params

    def with_buffers(network: nn.Module, *, parts: Any) -> ParamCount:
        found = honest(network, parts=parts)
        return dataclasses.replace(found, total=found.total + sum(buffer.numel() for buffer in network.buffers()))

    monkeypatch.setattr(params, "count_params", with_buffers)
    found = findings_of("counts")
    assert [finding.verdict for finding in found] == ["FAILED", "FAILED"]
    assert all(finding.reason.startswith("+") for finding in found)


@pytest.mark.parametrize(("broken", "verdict"), [(False, "ok"), (True, "FAILED")])
def test_fvcores_total_without_norms_is_found(broken: bool, verdict: str, verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    monkeypatch.setattr(counts, "FVCORE_TOTALS", published.FVCORE_TOTALS[5:6])
    if broken:
        from fvcore.nn import FlopCountAnalysis  # loaded before, by the counter, which knows of its warnings

        class WithoutNorms(FlopCountAnalysis):  # type: ignore[misc]
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self.set_op_handle("aten::batch_norm", lambda inputs, outputs: 0)

        monkeypatch.setattr(fvcore_counter, "FlopCountAnalysis", WithoutNorms)
    assert verdicts_of("fvcore") == {"mobilenetv3_large_100 at 224": verdict}


def test_scores_are_green_unbroken(verdicts_of: Verdicts) -> None:
    assert set(verdicts_of("iou").values()) == {"ok"}
    peers = verdicts_of("iou-peers")
    assert len(peers) == 2
    assert set(peers.values()) <= {"ok", "skipped"}


def _transposed(monkeypatch: Patch) -> None:
    honest = confusion._count
    monkeypatch.setattr(confusion, "_count", lambda *arguments: honest(*arguments).T)


def _ignore_index_as_class_0(monkeypatch: Patch) -> None:
    honest = confusion._count
    monkeypatch.setattr(confusion, "_count", lambda p, labels, n, ignored: honest(p, np.where(labels == ignored, 0, labels), n, ignored))


def _absent_classes_as_zero(monkeypatch: Patch) -> None:
    honest = quality._iou
    monkeypatch.setattr(quality, "_iou", lambda matrices: np.nan_to_num(honest(matrices)))


def _union_with_the_intersection_twice(monkeypatch: Patch) -> None:
    monkeypatch.setattr(quality, "_union", lambda matrices: matrices.sum(axis=-1) + matrices.sum(axis=-2))


@pytest.mark.parametrize(
    ("mutate", "red"),
    [
        (_transposed, "two classes"),
        (_ignore_index_as_class_0, "ignored pixels"),
        (_absent_classes_as_zero, "an absent class that is predicted"),
        (_union_with_the_intersection_twice, "two classes"),
    ],
)
def test_a_broken_score_is_found(mutate: Callable[[Patch], None], red: str, verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    assert verdicts_of("iou")[red] == "FAILED"


@pytest.mark.parametrize("mutate", [_ignore_index_as_class_0, _union_with_the_intersection_twice])
def test_a_broken_score_differs_from_other_libraries(mutate: Callable[[Patch], None], verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    peers = verdicts_of("iou-peers")
    assert peers["IoU of 5 classes by torchmetrics"] == "FAILED"
    assert "ok" not in peers.values()


def test_losses_are_green_unbroken(verdicts_of: Verdicts) -> None:
    found = verdicts_of("losses")
    assert set(found.values()) == {"ok"}
    assert {"ce", "focal", "dice", "combined", "schedule", "bce-dice"} <= set(found)


def _mean_over_all(terms: Tensor, valid: Tensor) -> Tensor:
    return terms.mean()


def _no_modulation(cross_entropy: Tensor, missing: Tensor, *, gamma: float) -> Tensor:
    return cross_entropy


def _dice_without_two(overlap: Tensor, predicted: Tensor, labelled: Tensor, *, smooth: float) -> Tensor:
    return (overlap + smooth) / (predicted + labelled + smooth)


@pytest.mark.parametrize(
    ("where", "what", "red"),
    [
        ("cross_entropy.mean_over_valid", _mean_over_all, ["ce", "ce[label_smoothing=0.1]", "schedule"]),
        ("focal.mean_over_valid", _mean_over_all, ["focal", "combined"]),
        ("focal.modulate", _no_modulation, ["focal", "combined", "focal: p_t 0.9, cross-entropy 0.1", "focal: p_t 0.3, cross-entropy 2.5"]),
        ("dice.soft_dice", _dice_without_two, ["dice", "dice[smooth=0]", "combined", "schedule"]),
        ("bce_dice.mean_over_valid", _mean_over_all, ["bce-dice"]),
        ("bce_dice.soft_dice", _dice_without_two, ["bce-dice"]),
    ],
)
def test_a_broken_loss_is_found(where: str, what: Any, red: Sequence[str], verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    monkeypatch.setattr(f"segbench_plugins.losses.{where}", what)
    found = verdicts_of("losses")
    assert {name: found[name] for name in red} == dict.fromkeys(red, "FAILED")
    assert "ok" in found.values(), "other losses keep their formula"


def test_a_loss_that_looks_at_ignored_pixels_is_found(verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    for module in ("cross_entropy", "focal", "dice", "bce_dice"):
        monkeypatch.setattr(f"segbench_plugins.losses.{module}.without_ignored", lambda logits, valid: logits)
    found = verdicts_of("losses")
    assert found["dice"] == "FAILED", "the logits of ignored pixels are nan there"


def _scaled_timer(monkeypatch: Patch, factor: float) -> None:
    honest = contenders.LocalContender.block
    monkeypatch.setattr(contenders.LocalContender, "block", lambda self, calls: [factor * ms for ms in honest(self, calls)])


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_timer_that_is_a_tenth_off_is_found_by_a_sleep(factor: float, findings_of: Findings, monkeypatch: Patch) -> None:
    _scaled_timer(monkeypatch, factor)
    (found,) = findings_of("timer-sleep")
    assert found.verdict == "FAILED"
    assert "against a second clock" in found.reason


def test_a_sleep_is_timed_right_or_the_machine_is_too_busy(findings_of: Findings) -> None:
    (found,) = findings_of("timer-sleep")
    assert found.verdict in ("ok", "cannot tell")


@pytest.mark.parametrize(("factor", "verdicts"), [(1.0, {"ok", "cannot tell"}), (2.0, {"FAILED"})])
def test_a_timer_that_is_off_disagrees_with_torchs(factor: float, verdicts: set[str], findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setattr(timer_torch, "LOOKS", (20,))
    _scaled_timer(monkeypatch, factor)
    (found,) = findings_of("timer-torch")
    assert found.verdict in verdicts


def test_the_memory_meter_is_right_after_any_parent(verdicts_of: Verdicts) -> None:
    found = verdicts_of("memory")
    assert len(found) == 3
    assert set(found.values()) <= {"ok", "skipped"}
    if Path("/proc/self/clear_refs").exists():
        assert found["200 MB tensor in a fresh process"] == "ok"


def test_a_meter_that_inherits_the_parents_peak_is_found(findings_of: Findings, break_processes: Callable[[str], None]) -> None:
    break_processes(
        "import resource\n"
        "import segbench.measure.memory as memory\n"
        "honest = memory._status_mb\n"
        "own = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "memory._status_mb = lambda key: own() if key == 'VmHWM' else honest(key)\n"
    )
    found = {finding.subject: finding for finding in findings_of("memory")}
    child = found["200 MB tensor in a child of a process with 1.5 GB"]
    assert child.verdict in ("FAILED", "skipped")
    if child.verdict == "FAILED":
        assert child.reason == "the peak holds the parent's memory"


def test_a_meter_that_mixes_up_1000_and_1024_is_found(
    findings_of: Findings, break_processes: Callable[[str], None], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(memory, "_available_mb", lambda: 2000.0)
    break_processes(
        "import segbench.measure.memory as memory\nhonest = memory._status_mb\nmemory._status_mb = lambda key: honest(key) * 1.024 ** 2\n"
    )
    fresh, child, *_ = findings_of("memory")
    assert (child.verdict, child.reason) == ("skipped", "only 2.0 GB of memory are free")
    assert fresh.verdict == "FAILED"
    assert "+4." in fresh.reason or "+5." in fresh.reason


@pytest.fixture
def few_simulations(monkeypatch: Patch) -> None:
    few = {"mIoU": 60, "mean": 4000}
    kinds = [dataclasses.replace(kind, simulations=few.get(kind.name.split()[0].strip(","), 150)) for kind in intervals.KINDS]
    monkeypatch.setattr("segbench.testing.instruments.coverage.KINDS", tuple(kinds))


@pytest.mark.usefixtures("few_simulations")
def test_intervals_hold_the_truth_unbroken(verdicts_of: Verdicts) -> None:
    found = verdicts_of("intervals")
    assert len(found) == len(intervals.KINDS)
    assert set(found.values()) == {"ok"}


def _stretched(honest: Callable[..., Interval], factor: float) -> Callable[..., Interval]:
    """The same intervals, their ends so much nearer to or further from the value."""

    def interval(*arguments: Any, **options: Any) -> Interval:
        found = honest(*arguments, **options)
        low, high = (None if end is None else found.value + factor * (end - found.value) for end in (found.low, found.high))
        return dataclasses.replace(found, low=low, high=high)

    return interval


@pytest.mark.usefixtures("few_simulations")
def test_intervals_that_are_too_narrow_are_found(findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setattr(steadiness, "expanded_tail", lambda rounds: 0.15)
    monkeypatch.setattr(steadiness, "_reach", lambda values: (0.0, 1))
    for function in ("miou_interval", "miou_difference", "mean_interval"):
        monkeypatch.setattr(uncertainty, function, _stretched(getattr(uncertainty, function), 0.5))
    found = findings_of("intervals")
    assert {finding.subject: finding.verdict for finding in found} == {kind.name: "FAILED" for kind in intervals.KINDS}
    assert all("too narrow" in finding.reason for finding in found)


def test_an_interval_that_takes_every_round_for_a_start_of_its_own_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    started = tuple(kind for kind in intervals.KINDS if "starts" in kind.name)
    monkeypatch.setattr("segbench.testing.instruments.coverage.KINDS", started)
    monkeypatch.setattr(steadiness, "serial_stretch", lambda rounds: 1.0)
    monkeypatch.setattr(steadiness, "_reach", lambda values: (0.0, 1))
    assert [(found.verdict, found.reason) for found in findings_of("intervals")] == [("FAILED", "too narrow")] * 2


def test_an_interval_of_a_median_that_does_not_know_of_starts_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    started = tuple(kind for kind in intervals.KINDS if "median" in kind.name and "starts" in kind.name)
    monkeypatch.setattr("segbench.testing.instruments.coverage.KINDS", started)
    monkeypatch.setattr(steadiness, "_MANY_STARTS", 99)
    assert [(found.verdict, found.reason) for found in findings_of("intervals")] == [("FAILED", "too narrow")]


def test_an_interval_that_always_holds_the_truth_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setattr("segbench.testing.instruments.coverage.KINDS", intervals.KINDS[-1:])
    monkeypatch.setattr(uncertainty, "mean_interval", _stretched(uncertainty.mean_interval, 100.0))
    (seeds,) = findings_of("intervals")
    assert seeds.verdict == "FAILED"
    assert seeds.reason == "too wide"


def test_an_instrument_that_crashes_has_failed(findings_of: Findings, monkeypatch: Patch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing\nat all")

    monkeypatch.setattr(confusion, "confusion_matrix", crash)
    (found,) = findings_of("iou")
    assert (found.verdict, found.reason) == ("FAILED", "RuntimeError: no such thing")
