"""Baselines: runs kept under a name, with what it takes to compare with them later.

They are no cache: nothing can make them again. They lie in the user's data folder, or wherever ``--to`` says (in a repository, for CI).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segbench.errors import ConfigError, StoreError, did_you_mean
from segbench.results.records import RunResult
from segbench.results.store import load_run
from segbench.util.cache_dir import user_data
from segbench.util.files import explained, folder_mb, write_atomic

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Baseline:
    """A kept run. ``error`` says why it cannot be read."""

    name: str
    directory: Path
    result: RunResult | None
    error: str = ""

    @property
    def megabytes(self) -> float:
        return folder_mb(self.directory)

    @property
    def has_checkpoints(self) -> bool:
        return any(self.directory.glob("checkpoints/*/best.pt"))


def baselines_folder(chosen: Path | None = None) -> Path:
    """``chosen``, else ``$SEGBENCH_BASELINES``, else ``segbench/baselines`` in the user's data folder.

    >>> baselines_folder(Path("ci")).name
    'ci'
    """
    if chosen is not None:
        return chosen.expanduser()
    return Path(os.environ.get("SEGBENCH_BASELINES") or user_data() / "baselines").expanduser()


def save_baseline(name: str, run: Path, *, folder: Path, checkpoints: bool = True, replace: bool = False) -> Baseline:
    """Copy a run's results, its matrices and (``checkpoints``) best weights and exported files. The copy appears whole or not at all.

    Raises :class:`ConfigError` for a name that is none or is taken.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no name for a baseline: use letters, digits, dots, dashes and underscores, as in 'main' or 'v1.2'.")
    result = load_run(run)
    source = run if run.is_dir() else run.parent
    target = folder / name
    if target.resolve() == source.resolve():
        raise ConfigError(f"'{run}' is the baseline '{name}' itself.")
    if target.exists() and not replace:
        raise ConfigError(f"There is a baseline '{name}' already. Give another name, or --replace it.")
    with explained(target):
        folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}."))
        try:
            _fill(staged, result, source, checkpoints=checkpoints)
            staged.chmod(0o755)
            _put(staged, target)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    return Baseline(name, target, result)


def list_baselines(folder: Path) -> list[Baseline]:
    """All baselines of a folder by name; one that cannot be read says so."""
    if not folder.is_dir():
        return []
    baselines = []
    for directory in sorted(path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)):
        try:
            baselines.append(Baseline(directory.name, directory, load_run(directory)))
        except StoreError as error:
            baselines.append(Baseline(directory.name, directory, None, str(error)))
    return baselines


def remove_baseline(name: str, folder: Path) -> None:
    """Delete a baseline. Raises :class:`ConfigError` where there is none of that name."""
    target = folder / name
    if not _NAME.fullmatch(name) or not target.is_dir():
        raise ConfigError(_unknown(name, folder))
    with explained(target):
        shutil.rmtree(target)


def find_run(text: str, folder: Path) -> Path:
    """A run's directory, its ``run.json``, or a baseline's name. Raises :class:`ConfigError` for what is none of these."""
    path = Path(text).expanduser()
    baseline = folder / text if _NAME.fullmatch(text) else None
    if _is_run(path):
        return path
    if baseline is not None and baseline.is_dir():
        return baseline
    if path.exists():
        return path  # reading it says what is wrong with it
    raise ConfigError(_unknown(text, folder))


def _fill(target: Path, result: RunResult, source: Path, *, checkpoints: bool) -> None:
    write_atomic(target / "run.json", result.model_dump_json(indent=1).encode())
    for name in _kept_files(result, checkpoints=checkpoints):
        # what run.json names is read from below the run's directory, and nothing else
        path = (source / name).resolve()
        if not path.exists() or not path.is_relative_to(source.resolve()):
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        else:
            # a format may put its weights into a file beside the one that is named
            for file in path.parent.iterdir() if name.startswith("deployments/") else (path,):
                if file.is_file():
                    shutil.copyfile(file, copy.parent / file.name)


def _kept_files(result: RunResult, *, checkpoints: bool) -> Iterator[str]:
    for cell in result.cells:
        yield cell.artifacts.confusions or f"confusions/{cell.id}.npz"
        if checkpoints:
            yield cell.artifacts.best or f"checkpoints/{cell.id}/best.pt"
            yield from (form.artifact for form in cell.deployments if form.artifact)


def _put(staged: Path, target: Path) -> None:
    """Move a finished folder to its target; an older one is removed only afterwards."""
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        target.replace(old)
    staged.replace(target)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _is_run(path: Path) -> bool:
    return path.is_file() or (path / "run.json").is_file() or (path / "cells").is_dir()


def _unknown(name: str, folder: Path) -> str:
    known = [each.name for each in folder.iterdir() if each.is_dir() and _NAME.fullmatch(each.name)] if folder.is_dir() else []
    listing = f"Baselines: {', '.join(sorted(known))}." if known else "No baseline has been saved yet: segbench baseline save NAME RUN."
    return f"'{name}' is neither a run nor the name of a baseline.{did_you_mean(name, known)} {listing}"
