"""Refused deployments: one message names the operator or the package, with advice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segbench import BackendError, NoOptions, Target, Task
from segbench_plugins.backends import CompileOptions, OnnxRuntimeOptions, OpenVinoOptions, checks, compiled, onnx_runtime
from segbench_plugins.backends import openvino_runtime as open_vino

_TASK = Task(class_names=("land", "water"))
_IMAGE = (torch.ones(1, 3, 8, 8),)


class _Bessel(nn.Module):
    """An operator that neither ONNX nor OpenVINO has."""

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = torch.special.bessel_j1(image)
        return logits


class _Complex(nn.Module):
    """A product of complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 3, dtype=torch.complex64))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = torch.fft.irfft2(torch.einsum("bchw,cd->bdhw", torch.fft.rfft2(image), self.weight))
        return result


class _Moody(nn.Module):
    """A branch on what the image shows."""

    def forward(self, image: Tensor) -> Tensor:
        return image if image.mean() > 0 else -image


class _Broken(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError("the lamp is off")


def _onnx(network: nn.Module, folder: Path, **options: Any) -> Path:
    return onnx_runtime.export(network, _IMAGE, folder, OnnxRuntimeOptions(**options), ())


def _openvino(network: nn.Module, folder: Path, **options: Any) -> Path:
    return open_vino.export(network, _IMAGE, folder, OpenVinoOptions(**options), ())


@pytest.mark.parametrize("export", [_onnx, _openvino])
def test_an_operator_without_counterpart_is_named(tmp_path: Path, export: Any) -> None:
    with pytest.raises(BackendError, match=r"operator (aten|prims)(::|\.)(special_)?bessel_j1\S* has no counterpart\. Replace it"):
        export(_Bessel(), tmp_path)


def test_an_operator_on_complex_numbers_is_named_with_that_reason(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"operator aten.einsum works on complex numbers, which have no counterpart\. Replace it"):
        _onnx(_Complex(), tmp_path)


@pytest.mark.parametrize("largest", [1, 2**31])
def test_weights_beyond_the_limit_of_an_onnx_file_stand_beside_it(tmp_path: Path, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "_LARGEST_FILE", largest)
    network = nn.Conv2d(3, 64, 3).eval()
    path = _onnx(network, tmp_path)
    onnx_runtime.annotate(path, {"classes": "[]"})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"][: 2 if largest == 1 else 1]
    (tmp_path / "moved").mkdir()
    for file in [file for file in tmp_path.iterdir() if file.is_file()]:
        file.rename(tmp_path / "moved" / file.name)
    run = onnx_runtime.load(tmp_path / "moved" / path.name, OnnxRuntimeOptions(), Target("cpu", 1))
    with torch.no_grad():
        assert torch.allclose(run(*_IMAGE), network(*_IMAGE), atol=1e-5)


@pytest.mark.parametrize("export", [_onnx, _openvino])
def test_a_branch_on_values_is_named(tmp_path: Path, export: Any) -> None:
    with pytest.raises(BackendError, match=r"branches on the values of a tensor. Write it without that branch"):
        export(_Moody(), tmp_path)


def test_an_error_of_the_network_itself_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="RuntimeError: the lamp is off"):
        _onnx(_Broken(), tmp_path)
    with pytest.raises(BackendError, match="the lamp is off"):
        compiled.build(_Broken(), _IMAGE, CompileOptions())


@pytest.mark.parametrize("export", [_onnx, _openvino])
def test_int8_without_images_is_refused(tmp_path: Path, export: Any) -> None:
    with pytest.raises(BackendError, match="int8 needs images to calibrate on, and there are none"):
        export(nn.Conv2d(3, 2, 1), tmp_path, precision="int8")


def test_fp16_on_the_cpu_is_refused_by_onnx_runtime(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"no fp16 kernels for the CPU. Use precision=int8, or openvino\[precision=bf16\]"):
        _onnx(nn.Conv2d(3, 2, 1), tmp_path, precision="fp16")


def test_a_device_without_provider_is_refused(tmp_path: Path) -> None:
    path = _onnx(nn.Conv2d(3, 2, 1), tmp_path)
    with pytest.raises(BackendError, match=r"cannot run on cuda:0. Install onnxruntime-gpu"):
        onnx_runtime.load(path, OnnxRuntimeOptions(), Target("cuda:0"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.xml"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(BackendError, match=r"ONNX Runtime cannot load model\.onnx"):
        onnx_runtime.load(tmp_path / "model.onnx", OnnxRuntimeOptions(), Target())
    with pytest.raises(BackendError, match=r"OpenVINO cannot load model\.xml"):
        open_vino.load(tmp_path / "model.xml", OpenVinoOptions(), Target())


def test_missing_packages_come_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_onnxruntime(_TASK, NoOptions()) == checks.check_openvino(_TASK, OpenVinoOptions(precision="int8")) == []
    for name in ("onnxruntime", "onnxscript", "nncf"):
        monkeypatch.setitem(sys.modules, name, None)
    (message,) = checks.check_onnxruntime(_TASK, NoOptions())
    assert message == "onnxscript and onnxruntime are not installed. Install with: pip install 'segbench[onnx]'"
    (message,) = checks.check_openvino(_TASK, OpenVinoOptions(precision="int8"))
    assert message == "nncf is not installed. Install with: pip install 'segbench[openvino]'"
    assert checks.check_openvino(_TASK, OpenVinoOptions()) == []


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "cxx-of-nowhere")
    assert checks.check_compile(_TASK, NoOptions()) == [
        "torch.compile needs a C++ compiler and none was found ('cxx-of-nowhere' (from CXX)). "
        "Install one (apt install g++), or name it in CXX."
    ]
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(checks.check_compile(_TASK, NoOptions())) == 1
    compiler = tmp_path / "clang++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert checks.check_compile(_TASK, NoOptions()) == []


def test_openvino_and_nncf_do_not_report_home() -> None:
    from segbench_plugins.backends.no_telemetry import import_nncf

    import_nncf()
    assert sys.modules["openvino_telemetry"] is None
