"""OpenVINO and NNCF without their reports home."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from segbench_plugins.backends.onnx_graph import quiet

_REPORTER = "openvino_telemetry"


def import_openvino() -> Any:
    """The package, which otherwise tells its makers of each import and conversion (and writes an id below the home folder)."""
    return _import("openvino")


def import_nncf() -> Any:
    """NNCF, which otherwise tells its makers of each use, and prints what it does."""
    _import("openvino")
    nncf = _import("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf


def _import(name: str) -> Any:
    if name not in sys.modules:
        # both take a package that cannot be imported for "do not report"
        sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]
    with quiet():
        return importlib.import_module(name)
