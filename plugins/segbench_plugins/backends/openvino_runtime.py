"""An OpenVINO file (model.xml with model.bin) of fixed size, run by OpenVINO on the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segbench import BackendError
from segbench_plugins.backends.no_telemetry import import_openvino
from segbench_plugins.backends.onnx_graph import capture, explain, quiet
from segbench_plugins.backends.precision import Run, for_size

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segbench import Target
    from segbench_plugins.backends import OpenVinoOptions

_FILE = "model.xml"


def export(
    network: nn.Module, inputs: tuple[Tensor, ...], folder: Path, options: OpenVinoOptions, calibration: Sequence[tuple[Tensor, ...]]
) -> Path:
    """Write ``model.xml`` and ``model.bin``. bf16 is a matter of loading: the file has float32 weights, as OpenVINO's own do."""
    model = convert(network, inputs)
    if options.precision == "int8":
        from segbench_plugins.backends.openvino_int8 import quantize

        model = quantize(model, calibration)
    path = folder / _FILE
    _save(model, path)
    return path


def convert(network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """The network as an OpenVINO model for exactly these shapes; :class:`~segbench.BackendError` names an operator it does not have."""
    network.eval()
    graph = capture(network, inputs)
    try:
        with quiet():
            model = import_openvino().convert_model(graph)
            model.reshape({port: list(tensor.shape) for port, tensor in zip(model.inputs, inputs, strict=True)})
    except Exception as error:
        raise BackendError(f"the network cannot be converted for OpenVINO: {explain(error)}") from error
    for index, port in enumerate(model.inputs):
        port.set_names({f"input_{index}"})
    model.outputs[0].set_names({"logits"})
    return model


def load(path: Path, options: OpenVinoOptions, target: Target) -> Run:
    """A compiled model, called with images that it reads where they lie."""
    openvino, compiled = import_openvino(), compile_file(path, options.precision, target)
    request, shape = compiled.create_infer_request(), tuple(compiled.output(0).shape)

    def run(*images: Tensor) -> Tensor:
        logits = torch.empty(shape)  # its own for each call: a later call must not write into it
        request.set_output_tensor(0, openvino.Tensor(logits.numpy(), shared_memory=True))
        # OpenVINO reads the images where they lie and holds no reference: copies must outlive the call
        arrays = [image.detach().contiguous().numpy() for image in images]
        for index, array in enumerate(arrays):
            request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        request.infer()
        return logits

    return for_size(run, [tuple(port.shape) for port in compiled.inputs])


def compile_file(path: Path, precision: str, target: Target) -> Any:
    """A compiled model with one stream, whose threads the system places on cores, as those of every other backend."""
    openvino = import_openvino()
    settings: dict[str, Any] = {
        # the default is bf16 on CPUs with AMX: fp32 has to be set
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    if target.threads is not None:
        settings["INFERENCE_NUM_THREADS"] = target.threads
    try:
        return openvino.Core().compile_model(str(path), "CPU", settings)
    except Exception as error:
        raise BackendError(f"OpenVINO cannot load {path.name}: {explain(error)}") from error


def annotate(path: Path, metadata: Mapping[str, str]) -> None:
    """Write metadata below ``rt_info/segbench`` of the XML file."""
    model = import_openvino().Core().read_model(str(path))
    for key, text in metadata.items():
        model.set_rt_info(text, ["segbench", key])
    _save(model, path)


def _save(model: Any, path: Path) -> None:
    # beside the old pair first: the weights of a model that was read may still lie in the file
    unfinished = path.with_name("unfinished.xml")
    import_openvino().save_model(model, str(unfinished), compress_to_fp16=False)
    os.replace(unfinished.with_suffix(".bin"), path.with_suffix(".bin"))
    os.replace(unfinished, path)


def read_texts(path: Path) -> dict[str, str]:
    """The metadata that :func:`annotate` wrote, and those of other tools below ``rt_info/model_info`` and ``rt_info/framework``."""
    model = import_openvino().Core().read_model(str(path))
    texts: dict[str, str] = {}
    for section in ("model_info", "framework", "segbench"):
        if model.has_rt_info([section]):
            texts |= {
                str(key): str(value.value if hasattr(value, "value") else value)
                for key, value in model.get_rt_info([section]).value.items()
            }
    return texts
