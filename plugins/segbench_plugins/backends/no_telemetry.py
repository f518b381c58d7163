"""OpenVINO and NNCF imported without their telemetry."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from segbench_plugins.backends.onnx_graph import quiet

_TELEMETRY_PACKAGE = "openvino_telemetry"


def import_openvino() -> Any:
    """OpenVINO, which otherwise reports each import and conversion to its makers (and writes an id below the home folder)."""
    with _without_telemetry("openvino"):
        import openvino

    return openvino


def import_nncf() -> Any:
    """NNCF, which otherwise reports each use to its makers, and prints its progress."""
    import_openvino()
    with _without_telemetry("nncf"):
        import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _without_telemetry(package: str) -> Iterator[None]:
    """While the package is imported, its telemetry cannot be, which it takes for "do not report"."""
    if package not in sys.modules:
        sys.modules.setdefault(_TELEMETRY_PACKAGE, None)  # type: ignore[arg-type]
    with quiet():
        yield
