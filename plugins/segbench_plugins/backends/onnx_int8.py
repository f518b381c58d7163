"""Post-training quantization of an ONNX file by ONNX Runtime's static quantizer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench import BackendError, first_line
from segbench_plugins.backends.onnx_graph import quiet

if TYPE_CHECKING:
    from torch import Tensor


def quantize(source: Path, target: Path, calibration: Sequence[tuple[Tensor, ...]]) -> None:
    """Write ``source`` with int8 weights (a scale per output channel) and int8 activations (ranges: each image's least and largest
    value, averaged over the images, so that one outlier does not set the step).

    Activations are unsigned: on x86 that halves the time of signed ones, at the same drift. Source:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    if not len(calibration):
        raise BackendError("int8 needs images to calibrate on, and there are none. Give it a training split with at least one image.")
    try:
        with quiet(), tempfile.TemporaryDirectory() as scratch:
            _quantize(source, target, calibration, Path(scratch))
    except Exception as error:
        text = first_line(error)
        raise BackendError(f"ONNX Runtime cannot quantize the network: {type(error).__name__}: {text}") from error


def _quantize(source: Path, target: Path, calibration: Sequence[tuple[Tensor, ...]], scratch: Path) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static, shape_inference

    # folds batch normalisation into convolutions and infers shapes, without which ranges of inner values are unknown
    prepared = scratch / "prepared.onnx"
    shape_inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(target),
        _reader(calibration),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=_attention_nodes(prepared),
        extra_options={"CalibMovingAverage": True},
    )


def _attention_nodes(path: Path) -> list[str]:
    """Names of the softmaxes, and of the products of two activations before and behind them, which stay in float32.

    Attention spreads a weight of 1 over hundreds of positions: most are less than 1/256, the quantizer's fixed step, and become 0.
    """
    import onnx

    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "Softmax" or (node.op_type == "MatMul" and weights.isdisjoint(node.input))]


def _reader(calibration: Sequence[tuple[Tensor, ...]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped package
        """Hands the quantizer one tuple of images after the other."""

        def __init__(self) -> None:
            self.images: Iterator[tuple[Tensor, ...]] = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            images = next(self.images, None)
            return None if images is None else {f"input_{i}": x.detach().cpu().contiguous().numpy() for i, x in enumerate(images)}

    return Reader()
