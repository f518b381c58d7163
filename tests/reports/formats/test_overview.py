"""Several runs in one document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segbench.errors import SegbenchError
from segbench.execution.reports import write_overview
from segbench.plugin.registry import load_catalog
from segbench.results.records import Ablation, AblationStep, CellResult, Quality, RunResult


def run(*models: str, dataset: str, **fields: object) -> RunResult:
    cells = [
        CellResult(id=name, model=name, dataset=dataset, loss="ce", status="ok", params=count, quality=Quality(split="val", miou=0.5))
        for count, name in enumerate(models, start=10)
    ]
    return RunResult(cells=cells, task={"dataset": dataset, "class_names": ["a", "b"]}, **fields)


def test_each_run_has_its_tables_and_a_link_to_its_whole_report(tmp_path: Path) -> None:
    runs = {"one (1)": (run("unet", dataset="dots"), tmp_path), "two": (run("unet", "fpn", dataset="lines"), tmp_path)}
    path = write_overview(runs, "markdown", load_catalog(), directory=tmp_path / "out")
    text = path.read_text()
    assert text.startswith("# 2 models in 2 runs\n")
    assert "## unet on dots" in text
    assert "## unet against fpn on lines" in text
    assert text.count("### Results") == 2
    assert re.findall(r"\[whole report\]\((.+?)\)", text) == ["one%20%281%29/report.md", "two/report.md"]
    for folder in runs:
        assert (tmp_path / "out" / folder / "report.md").read_text().startswith("# unet")


def test_pictures_of_a_section_are_looked_for_where_its_run_lies(tmp_path: Path) -> None:
    step = AblationStep(option="width", before="1", after="2", subject="fpn", baseline="unet")
    walked = run("unet", "fpn", dataset="dots", ablation=Ablation(start="unet", end="fpn", steps=[step]))
    path = write_overview({"walk": (walked, tmp_path)}, "markdown", load_catalog(), directory=tmp_path / "out")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text())
    assert pictures
    assert all((path.parent / picture).is_file() for picture in pictures)


def test_a_format_of_single_runs_says_which_ones_can(tmp_path: Path) -> None:
    with pytest.raises(SegbenchError, match=r"Format 'csv' shows one run at a time; several in one document: markdown"):
        write_overview({"a": (run("unet", dataset="dots"), tmp_path)}, "csv", load_catalog(), directory=tmp_path)
    (tmp_path / "report.md").mkdir()
    with pytest.raises(SegbenchError, match="is a folder"):
        write_overview({"a": (run("unet", dataset="dots"), tmp_path)}, "markdown", load_catalog(), directory=tmp_path)
