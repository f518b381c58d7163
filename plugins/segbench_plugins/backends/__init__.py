"""Catalogue of the built-in backends: ways to deploy a trained network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from segbench import BackendSpec, Options, hookimpl, option

_CAST = "fp32, or weights and inputs cast to half the bits (logits come back as float32)"


class TorchOptions(Options):
    """``eager`` and ``channels-last``."""

    precision: Literal["fp32", "bf16", "fp16"] = option("fp32", help=_CAST)


class CompileOptions(TorchOptions):
    """``compile``."""

    mode: Literal["default", "reduce-overhead", "max-autotune"] = option("default", help="torch.compile's mode")
    freezing: bool = option(False, help="weights become constants: the inductor folds normalisation and packs kernels ahead (CPU)")


class OnnxRuntimeOptions(Options):
    """``onnxruntime``."""

    precision: Literal["fp32", "fp16", "int8"] = option(
        "fp32", help="fp16 is for CUDA; int8 is calibrated, with weights per channel, and its logits come back as float32"
    )


class OpenVinoOptions(Options):
    """``openvino``."""

    precision: Literal["fp32", "bf16", "int8"] = option(
        "fp32", help="bf16 is OpenVINO's own default where the CPU has AMX; int8 is calibrated, and what it leaves out runs in fp32"
    )


class TensorRTOptions(Options):
    """``tensorrt`` and ``torch-tensorrt``."""

    precision: Literal["fp32", "fp16"] = option("fp32", help="fp32 (with TF32, as PyTorch's convolutions have on CUDA) or fp16")


@hookimpl
def segbench_backends() -> Iterable[BackendSpec]:
    """The network as PyTorch runs it, compiled, and as a file for a runtime of its own."""
    return [_eager(), _channels_last(), _compile(), _onnxruntime(), _openvino(), _tensorrt(), _torch_tensorrt()]


def _eager() -> BackendSpec:
    return BackendSpec(
        name="eager",
        summary="the network as it is, in PyTorch's eager mode under inference mode",
        build="segbench_plugins.backends.eager:build",
        options=TorchOptions,
        precisions=("fp32", "bf16", "fp16"),
        package="torch",
    )


def _channels_last() -> BackendSpec:
    return BackendSpec(
        name="channels-last",
        summary="eager mode with weights and images laid out channels last",
        build="segbench_plugins.backends.eager:build_channels_last",
        options=TorchOptions,
        precisions=("fp32", "bf16", "fp16"),
        package="torch",
    )


def _compile() -> BackendSpec:
    return BackendSpec(
        name="compile",
        summary="torch.compile with the inductor, for one size",
        build="segbench_plugins.backends.compiled:build",
        fixed_size=True,
        options=CompileOptions,
        precisions=("fp32", "bf16", "fp16"),
        package="torch",
        check="segbench_plugins.backends.checks:check_compile",
        source="Ansel et al., PyTorch 2, ASPLOS 2024",
    )


def _onnxruntime() -> BackendSpec:
    return BackendSpec(
        name="onnxruntime",
        summary="an ONNX file of fixed size, run by ONNX Runtime",
        export="segbench_plugins.backends.onnx_runtime:export",
        load="segbench_plugins.backends.onnx_runtime:load",
        annotate="segbench_plugins.backends.onnx_runtime:annotate",
        options=OnnxRuntimeOptions,
        precisions=("fp32", "fp16", "int8"),
        calibrates="segbench_plugins.backends.checks:calibrates",
        package="onnxruntime",
        check="segbench_plugins.backends.checks:check_onnxruntime",
    )


def _openvino() -> BackendSpec:
    return BackendSpec(
        name="openvino",
        summary="an OpenVINO file of fixed size, run by OpenVINO on the CPU",
        export="segbench_plugins.backends.openvino_runtime:export",
        load="segbench_plugins.backends.openvino_runtime:load",
        annotate="segbench_plugins.backends.openvino_runtime:annotate",
        options=OpenVinoOptions,
        precisions=("fp32", "bf16", "int8"),
        calibrates="segbench_plugins.backends.checks:calibrates",
        devices=("cpu",),
        package="openvino",
        check="segbench_plugins.backends.checks:check_openvino",
    )


def _tensorrt() -> BackendSpec:
    return BackendSpec(
        name="tensorrt",
        summary="a TensorRT engine of fixed size for one GPU (untested: no machine of ours has TensorRT)",
        export="segbench_plugins.backends.tensorrt_runtime:export",
        load="segbench_plugins.backends.tensorrt_runtime:load",
        options=TensorRTOptions,
        precisions=("fp32", "fp16"),
        devices=("cuda",),
        package="tensorrt",
        check="segbench_plugins.backends.checks:check_tensorrt",
    )


def _torch_tensorrt() -> BackendSpec:
    return BackendSpec(
        name="torch-tensorrt",
        summary="torch_tensorrt's compiled module, for one size (untested: no machine of ours has TensorRT)",
        build="segbench_plugins.backends.tensorrt_runtime:build",
        fixed_size=True,
        options=TensorRTOptions,
        precisions=("fp32", "fp16"),
        devices=("cuda",),
        package="torch-tensorrt",
        check="segbench_plugins.backends.checks:check_torch_tensorrt",
    )
