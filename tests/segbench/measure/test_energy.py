"""Energy is read from a counter, or it is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from segbench.measure import energy
from segbench.measure.energy import energy_per_image


class World:
    """A clock and a device that draws 50 W."""

    def __init__(self) -> None:
        self.now = 0.0

    def call(self) -> None:
        self.now += 0.25

    def joules(self) -> float:
        return 1000 + 50 * self.now


def test_energy_is_power_times_time_per_image() -> None:
    world = World()
    found = energy_per_image(world.call, images=4, device="cpu", counter=(world.joules, "a counter"), clock=lambda: world.now)
    assert found.joules == pytest.approx(50 * 0.25 / 4)
    assert found.method == "a counter"
    assert world.now == pytest.approx(2.25), "one call ahead of it, then two seconds"


def test_a_counter_that_stands_still_measures_nothing() -> None:
    world = World()
    found = energy_per_image(world.call, images=1, device="cpu", counter=(lambda: 7.0, "a counter"), clock=lambda: world.now)
    assert (found.joules, found.why) == (None, "a counter: the counter did not move")


def packages(folder: Path, *microjoules: int, limit: int = 999_999) -> list[Path]:
    zones = []
    for number, value in enumerate(microjoules):
        zone = folder / f"intel-rapl:{number}"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "energy_uj").write_text(str(value))
        (zone / "max_energy_range_uj").write_text(str(limit))
        (folder / f"intel-rapl:{number}:0").mkdir(exist_ok=True)  # its cores, which the package holds already
        zones.append(zone)
    return zones


def test_rapl_sums_packages_and_undoes_their_wrapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    first, second = packages(tmp_path, 900_000, 5)
    counter = energy.open_counter("cpu")
    assert not isinstance(counter, str)
    read, method = counter
    assert method == "RAPL, 2 CPU package(s), idle power included"
    assert read() == 0
    (first / "energy_uj").write_text("100000")  # past its limit, and once around
    (second / "energy_uj").write_text("500005")
    assert read() == pytest.approx(0.2 + 0.5)


def test_without_a_counter_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "nowhere")
    found = energy_per_image(lambda: None, images=1, device="cpu")
    assert (found.joules, found.why) == (None, "no RAPL counter: the kernel shows none under powercap")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    (zone,) = packages(tmp_path, 0)
    (zone / "energy_uj").unlink()
    assert "cannot be read" in energy_per_image(lambda: None, images=1, device="cpu").why
    assert "'mps'" in energy_per_image(lambda: None, images=1, device="mps").why


class FakeNvml:
    """The part of ``pynvml`` that is used; ``refuses`` names the function that fails."""

    def __init__(self, refuses: str = "", error: int = pynvml.NVML_ERROR_NOT_SUPPORTED) -> None:
        self.refuses, self.error = refuses, error
        self.millijoules = 5_000
        self.uuid = ""

    def nvmlInit(self) -> None:  # noqa: N802
        self._answer("nvmlInit")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self.uuid = uuid
        self._answer("nvmlDeviceGetHandleByUUID")
        return "the handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        assert handle == "the handle"
        self._answer("nvmlDeviceGetTotalEnergyConsumption")
        return self.millijoules

    def _answer(self, function: str) -> None:
        if function == self.refuses:
            raise pynvml.NVMLError(self.error)


def _install(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"):
        monkeypatch.setattr(pynvml, name, getattr(nvml, name))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"of-{device.index}"))


def test_a_gpu_s_counter_is_read_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    _install(nvml, monkeypatch)
    counter = energy.open_counter("cuda:1")
    assert not isinstance(counter, str)
    read, method = counter
    assert (nvml.uuid, method) == ("GPU-of-1", "NVML, whole board, idle power included")
    nvml.millijoules += 2_500
    assert read() == 7.5


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [
        ("nvmlInit", pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVML: the driver's library is not there"),
        ("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "NVML cannot be started: Driver Not Loaded"),
        ("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_NOT_FOUND, r"NVML does not know this device (part of a shared GPU?): Not Found"),
        ("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_NOT_SUPPORTED, "NVML: this device has no energy counter: Not Supported"),
    ],
)
def test_a_gpu_without_a_counter_says_why(monkeypatch: pytest.MonkeyPatch, function: str, error: int, reason: str) -> None:
    _install(FakeNvml(function, error), monkeypatch)
    assert energy.open_counter("cuda:0") == reason


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_s_counter_gives_a_plausible_power() -> None:
    counter: Any = energy.open_counter("cuda")
    if isinstance(counter, str):
        pytest.skip(counter)
    square = torch.ones(2048, 2048, device="cuda")
    found = energy_per_image(lambda: square @ square, images=1, device="cuda")
    assert found.joules is not None
    assert 0 < found.joules < 10
