"""OpenVINO and NNCF imported without their telemetry."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

from segbench_plugins.backends.onnx_graph import quiet

_TELEMETRY_PACKAGE = "openvino_telemetry"


def import_openvino() -> Any:
    """OpenVINO, which otherwise reports each import and conversion to its makers (and writes an id below the home folder)."""
    return _import_without_telemetry("openvino")


def import_nncf() -> Any:
    """NNCF, which otherwise reports each use to its makers, and prints its progress."""
    _import_without_telemetry("openvino")
    nncf = _import_without_telemetry("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf


def _import_without_telemetry(name: str) -> Any:
    if name not in sys.modules:
        # both take a package that cannot be imported for "do not report"
        sys.modules.setdefault(_TELEMETRY_PACKAGE, None)  # type: ignore[arg-type]
    with quiet():
        return importlib.import_module(name)
