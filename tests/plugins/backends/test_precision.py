"""Rules that every backend keeps, checked against the eager network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from segbench import BackendError

_HALF = ["eager[precision=bf16]", "eager[precision=fp16]", "channels-last[precision=bf16]", "openvino[precision=bf16]"]
_INT8 = ["onnxruntime[precision=int8]", "openvino[precision=int8]"]
_FP32 = ["eager", "channels-last", "onnxruntime", "openvino"]
_FIXED = ["onnxruntime", "openvino", *_INT8, "openvino[precision=bf16]"]
_COMPILED = [pytest.param(text, marks=pytest.mark.slow) for text in ("compile", "compile[freezing=true]")]


def _logits(subject: Any, run: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    """Logits of three images: the form's and the eager network's."""
    images = [subject.images(seed) for seed in (0, 1, 2)]
    with torch.inference_mode():
        expected = torch.cat([subject.network(*x) for x in images])
    return torch.cat([run(*x) for x in images]), expected


def _agreement(logits: Tensor, expected: Tensor) -> float:
    return float((logits.argmax(1) == expected.argmax(1)).float().mean())


@pytest.mark.parametrize("text", [*_FP32, *_COMPILED])
def test_fp32_forms_differ_by_rounding_only(small: Any, forms: Any, text: str) -> None:
    logits, expected = _logits(small, forms(text).run)
    assert float((logits - expected).abs().max()) <= 1e-4 * float(expected.std())


@pytest.mark.parametrize("text", [*_HALF, pytest.param("compile[precision=bf16]", marks=pytest.mark.slow)])
def test_half_precision_shows_and_keeps_the_labels(small: Any, forms: Any, text: str) -> None:
    logits, expected = _logits(small, forms(text).run)
    # a form that says bf16 and computes in fp32 would be timed under a wrong name
    assert float((logits - expected).abs().max()) > 1e-4 * float(expected.std())
    assert _agreement(logits, expected) >= 0.97


@pytest.mark.parametrize("text", _INT8)
def test_int8_keeps_most_labels_in_a_smaller_file(small: Any, forms: Any, text: str) -> None:
    logits, expected = _logits(small, forms(text).run)
    assert float((logits - expected).abs().max()) > 1e-3 * float(expected.std())
    assert _agreement(logits, expected) >= 0.9


def test_labels_of_the_eager_network_are_no_constant(small: Any) -> None:
    """Else agreement of labels would say nothing."""
    _, expected = _logits(small, small.network)
    assert set(expected.argmax(1).flatten().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("text", [*_FP32, *_HALF, *_INT8, *_COMPILED])
def test_logits_are_float32_and_their_own_memory(small: Any, forms: Any, text: str) -> None:
    run = forms(text).run
    first = run(*small.images(0))
    kept = first.clone()
    second = run(*small.images(1))
    assert (first.dtype, first.device.type, tuple(first.shape)) == (torch.float32, "cpu", (1, 4, 96, 128))
    assert first.is_contiguous()
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("text", _FIXED)
def test_another_shape_is_refused_with_both_shapes(small: Any, forms: Any, text: str) -> None:
    first, second = small.images()
    with pytest.raises(BackendError, match=r"made for inputs of shape 1x2x96x128 and 1x3x96x128, it was given 1x2x64x128 and 1x3x96x128"):
        forms(text).run(first[:, :, :64], second)
    with pytest.raises(BackendError, match=r"it was given 1x2x96x128\. Pad or resize"):
        forms(text).run(first)


@pytest.mark.parametrize("text", ["onnxruntime", "openvino"])
def test_images_of_any_memory_layout_are_read_right(small: Any, forms: Any, text: str) -> None:
    images = small.images()
    expected = forms(text).run(*images)
    turned = [image.contiguous(memory_format=torch.channels_last) for image in images]
    assert torch.equal(forms(text).run(*turned), expected)


@pytest.mark.parametrize("text", ["eager[precision=bf16]", "channels-last", "channels-last[precision=fp16]"])
def test_the_callers_network_stays_as_it_is(small: Any, forms: Any, text: str) -> None:
    forms(text)
    weights = list(small.network.parameters())
    assert all(weight.dtype == torch.float32 for weight in weights)
    assert all(weight.is_contiguous() for weight in weights)


@pytest.mark.clock
@pytest.mark.parametrize("text", ["onnxruntime", "openvino"])
def test_idle_threads_do_not_spin(small: Any, deployed: Any, text: str) -> None:
    """ONNX Runtime's spin for a quarter of the 10 ms after a call, unless told otherwise."""
    run, images = deployed(small, text, threads=2).run, small.images()

    def busy_share() -> float:
        idle = busy = 0.0
        for _ in range(20):
            run(*images)
            used, start = time.process_time(), time.perf_counter()
            time.sleep(0.01)
            idle, busy = idle + time.perf_counter() - start, busy + time.process_time() - used
        return busy / idle

    # on a busy machine a worker's last moments fall into the pause; threads that spin are busy in every try
    assert min(busy_share() for _ in range(4)) < 0.15


def test_metadata_stays_with_the_file_and_leaves_its_logits(small: Any, forms: Any, deployed: Any) -> None:
    import onnx

    from segbench import Target
    from segbench_plugins.backends import OnnxRuntimeOptions
    from segbench_plugins.backends.onnx_runtime import annotate, load

    form = deployed(small, "onnxruntime")
    annotate(form.file, {"classes": "a, b", "size": "96x128"})
    annotate(form.file, {"classes": "sea, land"})
    kept = {entry.key: entry.value for entry in onnx.load(form.file).metadata_props}
    assert (kept["classes"], kept["size"]) == ("sea, land", "96x128")
    assert [file.name for file in form.file.parent.iterdir()] == ["model.onnx"]
    again = load(form.file, OnnxRuntimeOptions(), Target("cpu", 1))
    assert torch.equal(again(*small.images()), form.run(*small.images()))


def test_openvino_files_keep_metadata_and_logits(small: Any, deployed: Any) -> None:
    from segbench import Target
    from segbench_plugins.backends import OpenVinoOptions
    from segbench_plugins.backends.no_telemetry import import_openvino
    from segbench_plugins.backends.openvino_runtime import annotate, load

    form = deployed(small, "openvino")
    expected = form.run(*small.images())
    annotate(form.file, {"classes": "a, b"})
    annotate(form.file, {"size": "96x128"})
    model = import_openvino().Core().read_model(str(form.file))
    assert model.get_rt_info(["segbench", "classes"]).value == "a, b"
    assert model.get_rt_info(["segbench", "size"]).value == "96x128"
    assert [port.get_any_name() for port in (*model.inputs, *model.outputs)] == ["input_0", "input_1", "logits"]
    assert sorted(file.name for file in form.file.parent.iterdir()) == ["model.bin", "model.xml"]
    assert torch.equal(load(form.file, OpenVinoOptions(), Target("cpu", 1))(*small.images()), expected)
