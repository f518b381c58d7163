"""The mishaps plugin, found by an entry point as any stranger's is, also by worker processes and the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

if "--benchmark-only" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: tests run side by side, and tensors here are small

from segbench.config.run_config import RunConfig, load_config
from segbench.execution.events import Event
from segbench.plugin.registry import Catalog, load_catalog
from segbench.results.records import RunResult


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's decoded cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread again after a test that ran cells in this process."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mishaps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip fills it: the plugin's module and its metadata."""
    folder = tmp_path_factory.mktemp("installed")
    source = Path(__file__).parent / "plugins_under_test" / "segbench_mishaps.py"
    (folder / source.name).write_text(source.read_text())
    metadata = folder / "segbench_mishaps-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: segbench-mishaps\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[segbench]\nmishaps = segbench_mishaps\n")
    return folder


@pytest.fixture
def mishaps(mishaps_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The catalog with the plugin in it."""
    monkeypatch.syspath_prepend(str(mishaps_folder))
    monkeypatch.setenv("PYTHONPATH", str(mishaps_folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return load_catalog()


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on(self, event: Event) -> None:
        self.events.append(event)

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    @property
    def reasons(self) -> dict[str, str]:
        return {event.cell["id"]: event.reason for event in self.of("cell")}

    @property
    def stages(self) -> dict[str, tuple[str, ...]]:
        return {event.cell["id"]: event.stages for event in self.of("cell")}


@dataclass
class Bench:
    """Runs the harness on tiny parts in one directory."""

    catalog: Catalog
    directory: Path
    heard: Heard = field(default_factory=Heard)

    def config(self, *, models: str = "dot", losses: str = "ce", sets: Sequence[str] = (), **flags: Any) -> RunConfig:
        flags = {"dataset": "dots", "recipes": "tiny", "device": "cpu", "out": str(self.directory), **flags}
        return load_config(sets=sets, flags={"models": models, "losses": losses, **flags})

    def run(self, *, fresh: bool = False, listener: Any = None, **config: Any) -> RunResult:
        from segbench.execution.runner import run

        self.heard = Heard()
        return run(self.config(**config), catalog=self.catalog, listener=listener or self.heard, fresh=fresh)


@pytest.fixture
def bench(mishaps: Catalog, tmp_path: Path) -> Bench:
    return Bench(mishaps, tmp_path / "run")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def segbench(mishaps: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command line in this process, in an empty folder: ``segbench("run", "--models", "dot")``."""
    from segbench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    shown, handler = warnings.showwarning, signal.getsignal(signal.SIGTERM)

    def call(*arguments: str | Path) -> Said:
        capfd.readouterr()
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        said = capfd.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, said.out, said.err)

    with warnings.catch_warnings():
        yield call
    warnings.showwarning = shown
    signal.signal(signal.SIGTERM, handler)


def _answer_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def command(mishaps: Catalog, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command line in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "segbench", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a test runner in the background may have been started with Ctrl-C switched off, and children inherit that
            preexec_fn=_answer_interrupts,  # noqa: PLW1509 - it only resets a signal
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds."""

    def wait(condition: Callable[[], Any], *, seconds: float = 120.0) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, "it took too long"
            time.sleep(0.05)

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process still runs (a zombie does not)."""

    def check(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    return check
