"""What disturbs, told from a made-up machine."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from segbench.measure.disturbance import Watch, other_gpu_processes

Machine = Callable[..., None]


def processes(used: dict[int, float]) -> Callable[[int], Any]:
    """``psutil.Process`` for a system with these processes only, by the CPU seconds that they have used."""

    def process(pid: int) -> Any:
        if pid not in used:
            raise psutil.NoSuchProcess(pid)
        return SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=used[pid] / 2, system=used[pid] / 2))

    return process


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Sets what two cores have done so far, in hundredths of a second; ten seconds pass from one look to the next."""
    seconds = itertools.count(100.0, 10.0)
    monkeypatch.setattr("segbench.measure.disturbance.time.monotonic", lambda: next(seconds))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def write(busy: int = 0, stolen: int = 0, ours: int = 0, throttled: int = 0, quota: int = 0, **files: str) -> None:
        system = SimpleNamespace(user=busy / 100, nice=0.0, system=0.0, idle=5.0, iowait=0.0, irq=0.0, softirq=0.0, steal=stolen / 100)
        monkeypatch.setattr(psutil, "cpu_times", lambda: system)
        monkeypatch.setattr(psutil, "Process", processes({os.getpid(): 0.0, 77: ours / 100}))
        texts = {
            "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": str(throttled),
            "sys/fs/cgroup/cpu.stat": f"usage_usec 1\nnr_throttled {quota}\n",
            **{name.replace("__", "/"): text for name, text in files.items()},
        }
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


def test_a_process_that_ends_in_between_is_still_the_measurements_own(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(busy=0)
    watch = _watch(tmp_path)
    machine(busy=900, ours=900)
    watch.look()
    machine(busy=1000, ours=900)
    monkeypatch.setattr(psutil, "Process", processes({os.getpid(): 0.0}))
    assert watch.stop().figures["other_load_cores"] == pytest.approx(1.0 / 20)


def _watch(root: Path) -> Watch:
    return Watch(lambda: [77], root=root)


def test_a_quiet_machine_gives_no_sentence(machine: Machine, tmp_path: Path) -> None:
    machine()
    watch = _watch(tmp_path)
    machine(busy=1000, ours=990)
    found = watch.stop(idle={"a": 0.01})
    assert found.sentences == ()
    assert found.figures == {"seconds": 10, "other_load_cores": 0.01, "stolen_share": 0, "throttled_events": 0, "quota_events": 0}


def test_other_programs_are_what_is_busy_beside_the_contenders(machine: Machine, tmp_path: Path) -> None:
    machine()
    watch = _watch(tmp_path)
    machine(busy=1900, ours=1000)
    found = watch.stop()
    assert found.figures["other_load_cores"] == 0.9
    assert found.sentences == ("Other programs used 0.9 of 2 cores while the models were timed.",)


def test_a_contender_that_ended_keeps_its_time(machine: Machine, tmp_path: Path) -> None:
    pids = [77]
    machine(ours=100)
    watch = Watch(lambda: pids, root=tmp_path)
    machine(busy=500, ours=100)
    pids.clear()
    assert watch.stop().figures["other_load_cores"] == 0.5


def test_stolen_time_throttling_and_quota_are_told(machine: Machine, tmp_path: Path) -> None:
    machine(throttled=3, quota=5)
    watch = _watch(tmp_path)
    machine(stolen=100, throttled=5, quota=6)
    assert watch.stop().sentences == (
        "The host of this virtual machine took away 5% of its CPU time.",
        "The CPU was throttled for heat or power 2 times.",
        "The container's CPU quota stopped the race 1 times.",
    )


def test_turbo_and_governor_are_told(machine: Machine, tmp_path: Path) -> None:
    cpu = "sys__devices__system__cpu"
    machine(**{f"{cpu}__intel_pstate__no_turbo": "0\n", f"{cpu}__cpu0__cpufreq__scaling_governor": "powersave\n"})
    turbo, governor = _watch(tmp_path).stop().sentences
    assert turbo.startswith("Turbo is on")
    assert "governor 'powersave'" in governor
    machine(**{f"{cpu}__intel_pstate__no_turbo": "1\n", f"{cpu}__cpu0__cpufreq__scaling_governor": "performance\n"})
    assert _watch(tmp_path).stop().sentences == ()


def test_a_contender_whose_idle_threads_spin_is_named(machine: Machine, tmp_path: Path) -> None:
    machine()
    (sentence,) = _watch(tmp_path).stop(idle={"well": 0.04, "b (openvino)": 0.97}).sentences
    assert sentence == "b (openvino) kept 97% of a core busy while it waited for its turn: idle threads of its runtime spin."


def test_a_shared_or_slowed_gpu_is_told(machine: Machine, tmp_path: Path) -> None:
    machine()
    asked: list[Sequence[str]] = []

    def answer(apps: str, reasons: str) -> tuple[str, ...]:
        def ask(command: Sequence[str]) -> str:
            asked.append(command)
            return apps if "--query-compute-apps=pid" in command else reasons

        return Watch(lambda: [77], device="cuda:1", root=tmp_path, ask=ask).stop().sentences

    assert answer("77\n", "0x0000000000000001\n") == ()
    assert answer("77\n4711\n", "0x0000000000000000\n") == ("The GPU was not exclusive: 2 processes held it.",)
    assert answer("77\n", "0x0000000000000024\n") == ("The GPU's clock was lowered: power cap, heat.",)
    assert answer("", "") == (), "no tool, no word"
    assert all("--id=1" in command for command in asked)


def test_the_load_of_a_real_process_is_its_own(tmp_path: Path) -> None:
    """Half a second of work of a child: the measurement's own, not that of other programs."""
    code = "import time\nprint('go', flush=True); input()\nwhile time.process_time() < 0.7: pass\nprint('done', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        watch = Watch(lambda: [child.pid], root=tmp_path)
        before = sum(watch._own.values())
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
        found = watch.stop()
        assert sum(watch._own.values()) - before >= 0.5
        child.communicate("\n")
    assert found.figures["other_load_cores"] >= 0


def test_a_system_that_shows_nothing_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise FileNotFoundError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", nothing)
    found = Watch(lambda: [77], root=tmp_path / "nowhere").stop()
    assert found.sentences == ()
    assert list(found.figures) == ["seconds"]


def test_a_share_of_the_cpu_is_what_others_used_and_the_host_took(machine: Machine, tmp_path: Path) -> None:
    """By hand: of 20 CPU seconds programs used 15, 11 of them were ours, and the host took 1."""
    machine()
    watch = _watch(tmp_path)
    machine(busy=1500, ours=1100, stolen=100)
    assert watch.used().share_of_others() == pytest.approx(0.25)


def test_a_system_that_does_not_show_our_own_use_shows_nothing_of_others(machine: Machine, tmp_path: Path) -> None:
    machine()
    watch = _watch(tmp_path)
    machine(busy=0, ours=1900)
    assert watch.used().share_of_others() is None


@pytest.mark.parametrize(("listed", "others"), [("", None), ("71\n", 0), ("71\n72\n73\n", 2), ("No devices were found", None)])
def test_other_processes_on_a_gpu_are_those_beside_this_one(listed: str, others: int | None) -> None:
    asked: list[Sequence[str]] = []

    def ask(command: Sequence[str]) -> str:
        asked.append(command)
        return listed

    assert other_gpu_processes("cuda:1", ask) == others
    assert "--id=1" in asked[0]
    assert other_gpu_processes("cpu", ask) is None
