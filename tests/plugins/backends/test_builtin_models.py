"""The four built-in models through every backend that runs on the CPU, at an odd size, with attention opened and statistics moved.

Random weights are the hard case for low precision: the classes lie closer together than training would put them, so that the bounds on
agreement are looser than those that a trained network meets.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

_MODELS = ["deeplab-original", "deeplab-optimized", "flood-original", "flood-efficient"]
_FP32 = ["eager", "channels-last", "onnxruntime", "openvino"]
_BF16 = ["eager[precision=bf16]", "channels-last[precision=bf16]", "openvino[precision=bf16]"]
_FP16 = ["eager[precision=fp16]", "channels-last[precision=fp16]"]
_INT8 = ["onnxruntime[precision=int8]", "openvino[precision=int8]"]
# least agreement of labels with eager fp32, and largest mean difference in deviations of the logits
_BOUNDS = {**dict.fromkeys(_FP32, (0.999, 1e-4)), **dict.fromkeys(_FP16, (0.97, 0.05))}
_BOUNDS |= {**dict.fromkeys(_BF16, (0.85, 0.4)), **dict.fromkeys(_INT8, (0.75, 0.4))}


def _check(subject: Any, form: Any, text: str) -> None:
    images = [subject.images(seed) for seed in (0, 1)]
    with torch.inference_mode():
        expected = torch.cat([subject.network(*x) for x in images])
    logits = torch.cat([form.run(*x) for x in images])
    agreement = float((logits.argmax(1) == expected.argmax(1)).float().mean())
    drift = float((logits - expected).abs().mean() / expected.std())
    least, most = _BOUNDS[text]
    assert agreement >= least, f"agreement {agreement:.4f}, mean drift {drift:.2e}"
    assert drift <= most, f"agreement {agreement:.4f}, mean drift {drift:.2e}"
    if text in _FP32:
        assert float((logits - expected).abs().max()) <= 1e-3 * float(expected.std())


def test_deeplab_optimized_runs_in_openvino(builtin_models: Any, deployed: Any) -> None:
    subject = builtin_models("deeplab-optimized")
    _check(subject, deployed(subject, "openvino"), "openvino")


@pytest.mark.slow
@pytest.mark.parametrize("text", list(_BOUNDS))
@pytest.mark.parametrize("name", _MODELS)
def test_built_in_models_survive_each_backend(builtin_models: Any, deployed: Any, name: str, text: str) -> None:
    subject = builtin_models(name)
    _check(subject, deployed(subject, text), text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplab-optimized", "flood-efficient"])
def test_built_in_models_compile(builtin_models: Any, deployed: Any, name: str) -> None:
    subject = builtin_models(name)
    _check(subject, deployed(subject, "compile"), "eager")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["onnxruntime", "openvino"])
def test_flood_efficient_pools_its_attention_above_a_size(builtin_models: Any, tmp_path: Any, text: str) -> None:
    """The branch above 1024 positions is taken as it is at the size of the export."""
    import importlib

    from segbench import Target
    from segbench_plugins.backends import OnnxRuntimeOptions, OpenVinoOptions

    subject = builtin_models("flood-efficient")
    images = tuple(torch.randn(1, channels, 544, 544) for channels in subject.channels)
    module = importlib.import_module(f"segbench_plugins.backends.{'onnx_runtime' if text == 'onnxruntime' else 'openvino_runtime'}")
    options = OnnxRuntimeOptions() if text == "onnxruntime" else OpenVinoOptions()
    run = module.load(module.export(subject.network, images, tmp_path, options, ()), options, Target("cpu", 1))
    with torch.inference_mode():
        expected = subject.network(*images)
    assert float((run(*images) - expected).abs().max()) <= 1e-3 * float(expected.std())
