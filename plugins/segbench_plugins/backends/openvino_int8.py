"""Post-training quantization of an OpenVINO model by NNCF."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segbench import BackendError, first_line
from segbench_plugins.backends.no_telemetry import import_nncf
from segbench_plugins.backends.onnx_graph import quiet

if TYPE_CHECKING:
    from torch import Tensor


def quantize(model: Any, calibration: Sequence[tuple[Tensor, ...]]) -> Any:
    """The model with int8 weights and activations, its biases corrected on the same images.

    ``mixed``: weights symmetric, activations asymmetric, which suits activations that are not ReLU's.
    Source: https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
    """
    if not len(calibration):
        raise BackendError("int8 needs images to calibrate on, and there are none. Give it a training split with at least one image.")
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            nncf = import_nncf()
            images = nncf.Dataset(calibration, lambda inputs: [x.detach().cpu().contiguous().numpy() for x in inputs])
            return nncf.quantize(
                model,
                images,
                preset=nncf.QuantizationPreset.MIXED,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(calibration),
            )
    except Exception as error:
        text = first_line(error)
        raise BackendError(f"NNCF cannot quantize the network: {type(error).__name__}: {text}") from error
