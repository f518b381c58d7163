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


def _missing(packages: Mapping[str, str], *, extra: str) -> list[str]:
    missing: Sequence[str] = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return []
    verb = "is" if len(missing) == 1 else "are"
    return [f"{' and '.join(missing)} {verb} not installed. Install with: pip install 'segbench[{extra}]'"]
