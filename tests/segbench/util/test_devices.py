from __future__ import annotations

import pytest
import torch

from segbench.errors import DeviceError
from segbench.util.compat import explain
from segbench.util.devices import resolve_device


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "cuda:x", "cuda:-1", "mps", "CPU"])
def test_other_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(DeviceError, match="Choose auto, cpu, cuda or cuda:N"):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_that_is_not_there_is_explained() -> None:
    with pytest.raises(DeviceError, match=r"--device cuda:1: CUDA is not available here \(.+\)\. Use --device cpu or auto\."):
        resolve_device("cuda:1")


def test_a_broken_pair_of_packages_is_one_line_with_versions_and_the_cure() -> None:
    said = explain("operator torchvision::nms does not exist\nmore")
    assert "\n" not in said
    assert torch.__version__.split("+")[0] in said
    assert "operator torchvision::nms does not exist" in said
    assert said.endswith("pip install --upgrade --force-reinstall torch torchvision")
    assert "(import failed)" in explain("")
