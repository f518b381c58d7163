"""TensorRT on CUDA: an engine file built from ONNX, and torch_tensorrt in memory. Written to their documentation, not yet run by us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segbench import BackendError
from segbench_plugins.backends.onnx_graph import explain, quiet
from segbench_plugins.backends.onnx_runtime import write_onnx
from segbench_plugins.backends.precision import Run, for_size, in_precision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench import Target
    from segbench_plugins.backends import TensorRTOptions


def export(
    network: nn.Module, inputs: tuple[Tensor, ...], folder: Path, options: TensorRTOptions, calibration: Sequence[tuple[Tensor, ...]]
) -> Path:
    """Write ``model.engine``, for this GPU and this TensorRT only. fp32 leaves TF32 on, as PyTorch's convolutions do.

    Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
    """
    del calibration
    import tensorrt

    onnx = folder / "model.onnx"
    write_onnx(in_precision(network, options.precision), inputs, onnx)
    builder = tensorrt.Builder(_logger())
    # strongly typed: the precision is the graph's, not a choice of the builder's for each layer
    graph = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(graph, _logger())
    if not parser.parse(onnx.read_bytes()):
        raise BackendError(f"TensorRT cannot read the network's ONNX file: {parser.get_error(0).desc()}. Use another backend.")
    engine = builder.build_serialized_network(graph, builder.create_builder_config())
    if engine is None:
        raise BackendError("TensorRT built no engine; its log says why. Use another backend for this model.")
    onnx.unlink()
    path = folder / "model.engine"
    path.write_bytes(bytes(engine))
    return path


def load(path: Path, options: TensorRTOptions, target: Target) -> Run:
    """The engine on one GPU; images and logits stay there."""
    del options
    import tensorrt

    engine = tensorrt.Runtime(_logger()).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise BackendError(f"TensorRT cannot load {path.name}: it was built for another GPU or by another version. Export it again here.")
    context = engine.create_execution_context()
    *names, output = (engine.get_tensor_name(index) for index in range(engine.num_io_tensors))

    def run(*images: Tensor) -> Tensor:
        logits = torch.empty(tuple(engine.get_tensor_shape(output)), device=target.device)
        inputs = [image.contiguous() for image in images]
        for name, tensor in zip([*names, output], [*inputs, logits], strict=True):
            context.set_tensor_address(name, tensor.data_ptr())
        context.execute_async_v3(torch.cuda.current_stream(target.device).cuda_stream)
        return logits

    return for_size(run, [tuple(engine.get_tensor_shape(name)) for name in names])


def build(network: nn.Module, inputs: tuple[Tensor, ...], options: TensorRTOptions) -> Run:
    """torch_tensorrt's compiled module, for one size."""
    import torch_tensorrt

    form = in_precision(network, options.precision)  # takes and gives float32 in either precision
    try:
        with quiet():
            compiled = torch_tensorrt.compile(form, ir="dynamo", inputs=list(inputs), use_explicit_typing=True)
    except Exception as error:
        raise BackendError(f"torch_tensorrt cannot compile the network: {explain(error)}") from error

    def call(*images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = compiled(*images)
            return logits

    return for_size(call, [tuple(image.shape) for image in inputs])


def _logger() -> Any:
    import tensorrt

    return tensorrt.Logger(tensorrt.Logger.ERROR)
