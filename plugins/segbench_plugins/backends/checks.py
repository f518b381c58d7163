"""What the backends need on this machine, asked for at planning: imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence

from segbench import Options, Task

_COMPILERS = ("g++", "c++", "clang++", "cl")


def calibrates(options: Options) -> bool:
    """Only int8 looks at images."""
    return getattr(options, "precision", None) == "int8"


def check_compile(task: Task, options: Options) -> list[str]:
    """The inductor writes C++ and has it compiled."""
    del task, options
    named = os.environ.get("CXX")
    if any(shutil.which(name) for name in ((named,) if named else _COMPILERS)):
        return []
    looked = f"'{named}' (from CXX)" if named else ", ".join(_COMPILERS)
    return [f"torch.compile needs a C++ compiler and none was found ({looked}). Install one (apt install g++), or name it in CXX."]


def check_onnxruntime(task: Task, options: Options) -> list[str]:
    """What exports, and what runs the file."""
    del task, options
    return _missing({"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}, extra="onnx")


def check_openvino(task: Task, options: Options) -> list[str]:
    """The runtime, and the quantizer where it is used."""
    del task
    packages = {"openvino": "openvino"}
    return _missing({**packages, "nncf": "nncf"} if calibrates(options) else packages, extra="openvino")


def check_tensorrt(task: Task, options: Options) -> list[str]:
    """What exports to ONNX, and TensorRT, which comes from NVIDIA and is part of no extra."""
    missing = check_onnxruntime(task, options)
    return (
        missing if _found("tensorrt") else [*missing, "tensorrt is not installed. Install it with: pip install tensorrt (NVIDIA GPUs only)"]
    )


def check_torch_tensorrt(task: Task, options: Options) -> list[str]:
    """torch_tensorrt of the version that goes with torch."""
    del task, options
    if _found("torch_tensorrt"):
        return []
    return ["torch-tensorrt is not installed. Install the version of your torch with: pip install torch-tensorrt (NVIDIA GPUs only)"]


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _missing(packages: Mapping[str, str], *, extra: str) -> list[str]:
    missing: Sequence[str] = [name for module, name in packages.items() if not _found(module)]
    if not missing:
        return []
    verb = "is" if len(missing) == 1 else "are"
    return [f"{' and '.join(missing)} {verb} not installed. Install with: pip install 'segbench[{extra}]'"]
