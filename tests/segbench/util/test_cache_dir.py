"""The user's folders: named by the environment first, else the system's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from segbench.results.baselines import baselines_folder
from segbench.util.cache_dir import user_cache, user_data

_VARIABLES = ("SEGBENCH_CACHE", "SEGBENCH_BASELINES", "XDG_CACHE_HOME", "XDG_DATA_HOME")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("folder", "own", "xdg", "below"),
    [
        (user_cache, "SEGBENCH_CACHE", "XDG_CACHE_HOME", "segbench"),
        (baselines_folder, "SEGBENCH_BASELINES", "XDG_DATA_HOME", "segbench/baselines"),
    ],
)
def test_segbench_s_own_variable_wins_over_xdg(
    bare: pytest.MonkeyPatch, tmp_path: Path, folder: Callable[[], Path], own: str, xdg: str, below: str
) -> None:
    bare.setenv(xdg, str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / below
    bare.setenv(own, str(tmp_path / "own"))
    assert folder() == tmp_path / "own"
    bare.setenv(own, "~/own")
    assert folder() == Path.home() / "own"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own folders")
def test_the_folders_on_linux_are_those_of_the_home(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "segbench"
    assert user_data() == tmp_path / ".local" / "share" / "segbench"
    assert baselines_folder() == tmp_path / ".local" / "share" / "segbench" / "baselines"


def test_other_systems_get_their_own_folders_but_heed_xdg(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setattr(platformdirs, "user_cache_path", lambda name, *, appauthor: tmp_path / "Library" / "Caches" / name)
    bare.setattr(platformdirs, "user_data_path", lambda name, *, appauthor: tmp_path / "Library" / "Application Support" / name)
    assert user_cache() == tmp_path / "Library" / "Caches" / "segbench"
    assert baselines_folder() == tmp_path / "Library" / "Application Support" / "segbench" / "baselines"
    bare.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert user_cache() == tmp_path / "xdg" / "segbench"
