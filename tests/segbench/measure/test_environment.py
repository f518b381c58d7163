from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import cpuinfo
import pytest

from segbench.measure import environment
from segbench.measure.environment import describe_environment
from segbench.plugin.chosen import Plugin


def test_it_says_what_ran_where() -> None:
    found = describe_environment(threads=2)
    assert found.python == platform.python_version()
    assert found.packages["torch"] == importlib.metadata.version("torch")
    assert found.packages["lightning-fabric"] == importlib.metadata.version("lightning-fabric")
    assert found.segbench == importlib.metadata.version("segbench")
    assert found.threads == 2
    assert found.cpu_cores is not None
    assert 1 <= found.cpu_cores <= (os.cpu_count() or 1)
    assert found.platform is not None
    assert found.platform.startswith(platform.system())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_and_processor_agree_with_the_system() -> None:
    found = describe_environment()
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    assert found.memory_gb == pytest.approx(pages * size / 2**30, abs=0.1)
    assert found.cpu


def test_py_cpuinfo_is_asked_once_where_linux_names_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"brand_raw": "Neoverse-N1"}])
    monkeypatch.setattr(environment, "_read", lambda path: "")
    monkeypatch.setattr(cpuinfo, "get_cpu_info", lambda: next(answers))
    environment._cpu_name_by_programs.cache_clear()
    assert [describe_environment().cpu for _ in range(2)] == ["Neoverse-N1"] * 2
    environment._cpu_name_by_programs.cache_clear()


def test_a_processor_that_py_cpuinfo_does_not_know_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> dict[str, str]:
        raise Exception("py-cpuinfo currently only works on X86 and some ARM CPUs.")

    monkeypatch.setattr(environment, "_read", lambda path: "")
    monkeypatch.setattr(cpuinfo, "get_cpu_info", refuse)
    environment._cpu_name_by_programs.cache_clear()
    assert describe_environment().cpu == (platform.processor() or None)
    environment._cpu_name_by_programs.cache_clear()


def test_the_cuda_version_is_that_of_torch() -> None:
    import torch

    assert describe_environment().cuda == torch.version.cuda


def test_it_can_be_published() -> None:
    broken = Plugin(
        name="mine:models",
        package="mine",
        version="1.0",
        origin=str(Path.home() / "projects" / "mine"),
        error=f"ImportError: cannot import name 'x' from 'mine' ({Path.home()}/projects/mine/__init__.py)",
    )
    text = describe_environment(catalog_plugins=[broken]).model_dump_json()
    assert "(__init__.py)" in text
    private = [socket.gethostname(), str(Path.home()) + "/", str(Path.cwd()), str(Path(sys.prefix))]
    assert [word for word in private if word in text] == []
    user = getpass.getuser()
    assert f"/{user}/" not in text


def test_plugins_are_listed_with_package_and_version() -> None:
    plugin = Plugin(name="mine:models", package="mine", version="1.0", origin="/somewhere")
    info = describe_environment(catalog_plugins=[plugin]).plugins[0]
    assert (info.name, info.version, info.origin, info.error) == ("mine:models", "1.0", "mine", None)


def test_other_load_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_usable_cores", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.9, 1.0, 0.5))
    busy = describe_environment()
    assert "other load when the run started: 1.9 runnable tasks on 2 cores" in busy.notes
    assert busy.load_average == [1.9, 1.0, 0.5]
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 1.0, 0.5))
    assert not any("other load" in note for note in describe_environment().notes)


def test_gpus_and_driver_come_from_the_drivers_own_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A, B 80GB, 570.01'\necho 'NVIDIA C, 570.01'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = describe_environment()
    assert (found.gpu, found.driver) == (["NVIDIA A, B 80GB", "NVIDIA C"], "570.01")
    tool.write_text("#!/bin/sh\nexit 9\n")
    broken = describe_environment()
    assert (broken.gpu, broken.driver) == ([], None)


def test_it_needs_no_torch() -> None:
    script = "import sys; from segbench.measure.environment import describe_environment as f; f(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
