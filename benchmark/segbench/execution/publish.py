"""A static site of runs: each run's own files, the pages above them, and a list of all files written.

A site is built in a temporary folder and then moved to its place file by file: an error while rendering leaves the old site as it was.
Files that are not of the site (``.git``, ``CNAME``) stay.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segbench.analysis.short_names import labelled
from segbench.errors import SegbenchError
from segbench.execution.reanalysis import up_to_date
from segbench.execution.reports import render
from segbench.plugin.choice import slug
from segbench.plugin.registry import Catalog
from segbench.plugin.specs import Reporter, ReportTarget, resolve
from segbench.results.publishing import public
from segbench.results.records import RunResult
from segbench.results.store import load_run
from segbench.util.files import explained, replacing, write_atomic

MANIFEST = "site.json"
RUNS = "runs"
_FORMATS = {"csv": "cells.csv", "latex": "tables.tex"}
_FOREIGN_FILES = ("CNAME",)


@dataclass(frozen=True)
class PublishedSite:
    """A published site: its runs by folder, those kept from before, and the numbers of files written and removed."""

    runs: Mapping[str, RunResult]
    kept: Sequence[str]
    changed: int
    removed: int


def publish(
    paths: Sequence[Path], out: Path, catalog: Catalog, *, format: str = "html", title: str = "", address: str = "", keep: bool = False
) -> PublishedSite:
    """Build or renew the site below ``out`` from runs (directories, or their ``run.json``).

    ``keep`` leaves the runs that the site shows already. Raises :class:`SegbenchError` before anything is written where a run cannot be
    read or ``out`` holds something else.
    """
    reporter = _reporter(catalog, format)
    old = _read_manifest(out)
    sources = _folder_names(paths)
    folders = {name: path if path.is_dir() else path.parent for name, path in sources.items()}
    runs = {name: public(up_to_date(load_run(path), folders[name], catalog)) for name, path in sources.items()}
    kept_names = [str(name) for name in old.get("runs", []) if keep and name not in runs and _is_inside(str(name))]
    runs |= {name: load_run(out / RUNS / name) for name in kept_names}
    with explained(out):
        stage = Path(tempfile.mkdtemp(prefix="segbench-site-"))
        try:
            for name in sources:
                _write_run_pages(stage / RUNS / name, runs[name], folders[name], reporter, catalog)
            for name in kept_names:
                shutil.copytree(out / RUNS / name, stage / RUNS / name)
            (stage / ".nojekyll").touch()
            resolve(reporter.site or "")(runs, ReportTarget(stage, home=address, title=title))
            changed, removed = _replace_site(stage, out, old, list(runs))
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return PublishedSite(runs, kept_names, changed, removed)


def _reporter(catalog: Catalog, name: str) -> Reporter:
    reporter: Reporter = catalog.reporter(name)
    if reporter.site is None:
        able = ", ".join(spec.name for spec, _ in catalog.specs("reporters") if spec.site)
        raise SegbenchError(f"Format '{name}' makes no site; formats that do: {able}.")
    missing = resolve(reporter.check)(None, None) if reporter.check else []
    if missing:
        raise SegbenchError(missing[0])
    return reporter


def _read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of an earlier publication in this folder. Raises :class:`SegbenchError` where the folder holds something else."""
    if out.exists() and not out.is_dir():
        raise SegbenchError(f"'{out}' is a file. Choose another --out DIR.")
    others = [entry.name for entry in out.iterdir() if not entry.name.startswith(".")] if out.is_dir() else []
    if MANIFEST in others:
        try:
            manifest = json.loads((out / MANIFEST).read_bytes())
            if manifest["generator"] == "segbench publish" and isinstance(manifest["files"], list):
                return dict(manifest)
        except (OSError, ValueError, KeyError, TypeError):
            pass
    foreign = sorted(set(others) - set(_FOREIGN_FILES))
    if foreign:
        raise SegbenchError(f"'{out}' holds something else than a site of segbench ({', '.join(foreign[:3])}). Choose an empty --out DIR.")
    return {}


def _folder_names(paths: Sequence[Path]) -> dict[str, Path]:
    """A folder's name for each run: its own, with its parent's in front where two are alike."""
    folders: dict[str, Path] = {}
    taken_names: set[str] = set()
    for path in dict.fromkeys(path.resolve() for path in paths):
        folder = path if path.is_dir() else path.parent
        plain, longer = slug(folder.name or "run"), slug(f"{folder.parent.name}-{folder.name}")
        numbered = (f"{longer}-{number}" for number in range(2, len(paths) + 2))
        name = next(name for name in (plain, longer, *numbered) if name.casefold() not in taken_names)
        taken_names.add(name.casefold())
        folders[name] = path
    return folders


def _write_run_pages(directory: Path, result: RunResult, source: Path, reporter: Reporter, catalog: Catalog) -> None:
    """Write one run's own files: its report, its data, and its tables."""
    directory.mkdir(parents=True)
    target = ReportTarget(directory, run_directory=source, home="../../index.html")
    (directory / "index.html").write_text(resolve(reporter.render)(labelled(result), target), encoding="utf-8")
    (directory / "run.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    names = {spec.name for spec, _ in catalog.specs("reporters")}
    for format, file in _FORMATS.items():
        if format in names:
            (directory / file).write_text(render(result, format, catalog, directory=directory), encoding="utf-8")


def _replace_site(stage: Path, out: Path, old: Mapping[str, Any], runs: Sequence[str]) -> tuple[int, int]:
    """Move the staged files into the site, the first page last; remove files that the old site had and the new one has not."""
    files = sorted(file.relative_to(stage).as_posix() for file in stage.rglob("*") if file.is_file())
    before = [str(name) for name in old.get("files", []) if _is_inside(str(name))]
    out.mkdir(parents=True, exist_ok=True)
    _write_manifest(out, runs, {*files, *before})  # should this stop half-way, the folder still counts as a site
    changed = sum([_replace_file(stage / name, out / name) for name in sorted(files, key=lambda name: name == "index.html")])
    obsolete = [out / name for name in before if name not in files and (out / name).is_file()]
    for file in obsolete:
        file.unlink()
    for folder in sorted({parent for file in obsolete for parent in _parents(file, out)}, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    _write_manifest(out, runs, files)
    return changed, len(obsolete)


def _write_manifest(out: Path, runs: Sequence[str], files: Sequence[str] | set[str]) -> None:
    manifest = {"generator": "segbench publish", "runs": list(runs), "files": sorted(files)}
    write_atomic(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())


def _replace_file(staged: Path, file: Path) -> bool:
    """Replace a file of the site; False where it is unchanged. A reader sees the old file or the new one, never half."""
    if file.is_file() and filecmp.cmp(staged, file, shallow=False):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as unfinished:
        shutil.copyfile(staged, unfinished)  # not forced to the disk one by one: what a crash loses, the same command writes again
    return True


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name != MANIFEST


def _parents(file: Path, out: Path) -> Iterator[Path]:
    for parent in file.parents:
        if parent == out:
            return
        yield parent
