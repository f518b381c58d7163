"""Checks of what backends need on this machine, at planning. No heavy package is imported here."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence

from segbench import Options, Task

_COMPILERS = ("g++", "c++", "clang++", "cl")


def calibrates(options: Options) -> bool:
    """True for int8, the only precision that is calibrated on images."""
    return getattr(options, "precision", None) == "int8"


def check_compile(task: Task, options: Options) -> list[str]:
    """A C++ compiler has to be installed, for the inductor."""
    del task, options
    named = os.environ.get("CXX")
    if any(shutil.which(name) for name in ((named,) if named else _COMPILERS)):
        return []
    searched = f"'{named}' (from CXX)" if named else ", ".join(_COMPILERS)
    return [f"torch.compile needs a C++ compiler and none was found ({searched}). Install one (apt install g++), or name it in CXX."]


def check_onnxruntime(task: Task, options: Options) -> list[str]:
    """The exporter's packages and the runtime have to be installed."""
    del task, options
    return _missing_packages({"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}, extra="onnx")


def check_openvino(task: Task, options: Options) -> list[str]:
    """The runtime has to be installed, and the quantizer where it is used."""
    del task
    packages = {"openvino": "openvino"}
    return _missing_packages({**packages, "nncf": "nncf"} if calibrates(options) else packages, extra="openvino")


def check_tensorrt(task: Task, options: Options) -> list[str]:
    """The ONNX exporter has to be installed, and TensorRT, which comes from NVIDIA and is part of no extra."""
    missing = check_onnxruntime(task, options)
    if _is_installed("tensorrt"):
        return missing
    return [*missing, "tensorrt is not installed. Install it with: pip install tensorrt (NVIDIA GPUs only)"]


def check_torch_tensorrt(task: Task, options: Options) -> list[str]:
    """torch_tensorrt of the version that fits torch has to be installed."""
    del task, options
    if _is_installed("torch_tensorrt"):
        return []
    return ["torch-tensorrt is not installed. Install the version of your torch with: pip install torch-tensorrt (NVIDIA GPUs only)"]


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _missing_packages(packages: Mapping[str, str], *, extra: str) -> list[str]:
    missing: Sequence[str] = [name for module, name in packages.items() if not _is_installed(module)]
    if not missing:
        return []
    verb = "is" if len(missing) == 1 else "are"
    return [f"{' and '.join(missing)} {verb} not installed. Install with: pip install 'segbench[{extra}]'"]
