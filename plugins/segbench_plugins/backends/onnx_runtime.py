"""An ONNX file of fixed size from PyTorch's exporter, run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segbench import BackendError, first_line
from segbench_plugins.backends.onnx_graph import capture, explain, quiet
from segbench_plugins.backends.precision import Run, for_size, in_precision

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from segbench import Target
    from segbench_plugins.backends import OnnxRuntimeOptions

_FILE = "model.onnx"
_LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights from which on they stand in a file beside the graph: one protobuf message holds less than 2 GiB."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def export(
    network: nn.Module, inputs: tuple[Tensor, ...], folder: Path, options: OnnxRuntimeOptions, calibration: Sequence[tuple[Tensor, ...]]
) -> Path:
    """Write ``model.onnx``, with inputs ``input_0``, ``input_1`` .. and output ``logits``, all float32."""
    if options.precision == "fp16" and inputs[0].device.type == "cpu":
        raise BackendError("ONNX Runtime has no fp16 kernels for the CPU. Use precision=int8, or openvino[precision=bf16].")
    path = folder / _FILE
    if options.precision == "int8":
        from segbench_plugins.backends.onnx_int8 import quantize

        plain = folder / "float32.onnx"
        write_onnx(network, inputs, plain)
        quantize(plain, path, calibration)
        plain.unlink()
    else:
        write_onnx(in_precision(network, options.precision), inputs, path)
    return path


def write_onnx(network: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """The network as one ONNX file; :class:`~segbench.BackendError` names the operator that ONNX does not have."""
    network.eval()
    graph = capture(network, inputs)
    names = [f"input_{index}" for index in range(len(inputs))]
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            program = torch.onnx.export(graph, inputs, dynamo=True, verbose=False, input_names=names, output_names=["logits"])
            assert program is not None
            program.save(path, external_data=_weight_bytes(graph) > _LARGEST_FILE)
    except Exception as error:
        raise BackendError(f"the network cannot be written as ONNX: {explain(error)}") from error


def _weight_bytes(graph: ExportedProgram) -> int:
    tensors = [*graph.state_dict.values(), *(value for value in graph.constants.values() if isinstance(value, torch.Tensor))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def load(path: Path, options: OnnxRuntimeOptions, target: Target) -> Run:
    """A session for one device. Its idle threads sleep: threads that spin would take the cores of the process that runs next."""
    del options
    session = open_session(path, target)
    inputs = session.get_inputs()
    run = _run_on_cuda(session, target.device) if target.device.startswith("cuda") else _run_on_cpu(session)
    return for_size(run, [entry.shape for entry in inputs])


def annotate(path: Path, metadata: Mapping[str, str]) -> None:
    """Write metadata into the file's own properties, where every ONNX tool shows it."""
    import onnx

    model = onnx.load(path, load_external_data=False)  # weights in a file beside it stay there
    onnx.helper.set_model_props(model, {**{entry.key: entry.value for entry in model.metadata_props}, **metadata})
    # a file is replaced as a whole: one that is cut off would load as another network
    unfinished = path.with_suffix(".unfinished")
    onnx.save(model, unfinished)
    os.replace(unfinished, path)


def open_session(path: Path, target: Target) -> Any:
    """A session for one device, whose idle threads sleep. Raises :class:`~segbench.BackendError` where the runtime cannot load the file."""
    import onnxruntime

    kind = target.device.partition(":")[0]
    provider = _PROVIDERS.get(kind)
    if provider is None or provider not in onnxruntime.get_available_providers():
        gpu = " Install onnxruntime-gpu in place of onnxruntime." if kind == "cuda" else ""
        raise BackendError(f"the installed ONNX Runtime cannot run on {target.device}.{gpu}")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.inter_op_num_threads = 1
    if target.threads is not None:
        settings.intra_op_num_threads = target.threads
    for pool in ("intra_op", "inter_op"):
        settings.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    device = {"device_id": str(torch.device(target.device).index or 0)} if kind == "cuda" else {}
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=[(provider, device)])
    except Exception as error:
        raise BackendError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}") from error


def _run_on_cpu(session: Any) -> Run:
    names = [entry.name for entry in session.get_inputs()]

    def run(*images: Tensor) -> Tensor:
        feed = {name: image.detach().contiguous().numpy() for name, image in zip(names, images, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def _run_on_cuda(session: Any, device: str) -> Run:
    """Images and logits stay on the device."""
    import numpy as np

    names, output = [entry.name for entry in session.get_inputs()], session.get_outputs()[0]
    index = torch.device(device).index or 0

    def bind_tensor(bind: Any, name: str, tensor: Tensor) -> None:
        bind(name, "cuda", index, np.float32, tuple(tensor.shape), tensor.data_ptr())

    def run(*images: Tensor) -> Tensor:
        binding, logits = session.io_binding(), torch.empty(output.shape, device=device)
        for name, image in zip(names, [image.contiguous() for image in images], strict=True):
            bind_tensor(binding.bind_input, name, image)
        bind_tensor(binding.bind_output, output.name, logits)
        torch.cuda.current_stream(index).synchronize()
        session.run_with_iobinding(binding)
        return logits

    return run
