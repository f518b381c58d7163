"""Each instrument is broken on purpose, and its check must turn red; unbroken, it must not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import flop_counter

from segbench.measure import contender as contenders
from segbench.measure import fvcore as fvcore_counter
from segbench.measure import macs, params
from segbench.measure.params import ParamCount
from segbench.measure.quality import confusion
from segbench.measure.quality import scores as quality
from segbench.testing.check import CheckResult
from segbench.testing.instruments import counts, memory, published, timer_torch

Patch = pytest.MonkeyPatch
Verdicts = Callable[[str], dict[str, str]]
Findings = Callable[[str], list[CheckResult]]

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
    whole = macs.trace_macs
    monkeypatch.setattr(macs, "trace_macs", lambda *given: replace(done := whole(*given), counted=2 * done.counted))
    assert set(verdicts_of("counts").values()) == {"FAILED"}


@pytest.mark.usefixtures("small_counts")
def test_a_counter_that_misses_linear_layers_is_found(findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setitem(flop_counter.flop_registry, torch.ops.aten.addmm, lambda *_, **__: 0)
    found = {finding.subject: finding for finding in findings_of("counts")}
    assert found[SMALLEST].verdict == "FAILED"
    # 576 * 1024 + 1024 * 1000 multiply-adds are missing, and 0.0565 G are there
    assert (found[SMALLEST].measured, found[SMALLEST].message) == ("2,542,856; 0.055 G", "+0 params, -0.0021 GMACs")
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
    assert all(finding.message.startswith("+") for finding in found)


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


def test_scores_are_those_of_other_libraries_unbroken(verdicts_of: Verdicts) -> None:
    peers = verdicts_of("iou-peers")
    assert len(peers) == 2
    assert set(peers.values()) <= {"ok", "skipped"}


def _ignore_index_as_class_0(monkeypatch: Patch) -> None:
    honest = confusion._count
    monkeypatch.setattr(confusion, "_count", lambda p, labels, n, ignored: honest(p, np.where(labels == ignored, 0, labels), n, ignored))


def _union_with_the_intersection_twice(monkeypatch: Patch) -> None:
    monkeypatch.setattr(quality, "_union", lambda matrices: matrices.sum(axis=-1) + matrices.sum(axis=-2))


@pytest.mark.parametrize("mutate", [_ignore_index_as_class_0, _union_with_the_intersection_twice])
def test_a_broken_score_differs_from_other_libraries(mutate: Callable[[Patch], None], verdicts_of: Verdicts, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    peers = verdicts_of("iou-peers")
    assert peers["IoU of 5 classes by torchmetrics"] == "FAILED"
    assert "ok" not in peers.values()


def _scaled_timer(monkeypatch: Patch, factor: float) -> None:
    honest = contenders.LocalContender.block
    monkeypatch.setattr(contenders.LocalContender, "block", lambda self, calls: [factor * ms for ms in honest(self, calls)])


@pytest.mark.clock
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_timer_that_is_a_tenth_off_is_found_by_a_sleep(factor: float, findings_of: Findings, monkeypatch: Patch) -> None:
    _scaled_timer(monkeypatch, factor)
    (found,) = findings_of("timer-sleep")
    assert found.verdict == "FAILED"
    assert "against a second clock" in found.message


@pytest.mark.clock
def test_a_sleep_is_timed_right_or_the_machine_is_too_busy(findings_of: Findings) -> None:
    (found,) = findings_of("timer-sleep")
    assert found.verdict in ("ok", "cannot tell")


@pytest.mark.clock
@pytest.mark.parametrize(("factor", "verdicts"), [(1.0, {"ok", "cannot tell"}), (2.0, {"FAILED"})])
def test_a_timer_that_is_off_disagrees_with_torchs(factor: float, verdicts: set[str], findings_of: Findings, monkeypatch: Patch) -> None:
    monkeypatch.setattr(timer_torch, "LOOKS", (20,))
    _scaled_timer(monkeypatch, factor)
    found = {findings_of("timer-torch")[0].verdict for _ in range(1 if factor != 1 else 2)}
    # another program may disturb one of two looks at an honest timer; one that is off must fail at once
    assert found & verdicts


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
        assert child.message == "the peak holds the parent's memory"


def test_a_meter_that_mixes_up_1000_and_1024_is_found(
    findings_of: Findings, break_processes: Callable[[str], None], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(memory, "_available_mb", lambda: 2000.0)
    break_processes(
        "import segbench.measure.memory as memory\nhonest = memory._status_mb\nmemory._status_mb = lambda key: honest(key) * 1.024 ** 2\n"
    )
    fresh, child, *_ = findings_of("memory")
    assert (child.verdict, child.message) == ("skipped", "only 2.0 GB of memory are free")
    assert fresh.verdict == "FAILED"
    assert "+9." in fresh.message or "+10." in fresh.message


def test_an_instrument_that_crashes_has_failed(findings_of: Findings, monkeypatch: Patch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing\nat all")

    monkeypatch.setattr(confusion, "confusion_matrices", crash)
    (found,) = findings_of("iou-peers")
    assert (found.verdict, found.message) == ("FAILED", "RuntimeError: no such thing")
