"""The page as text: its contents, that it requests nothing, and that no name in it is interpreted."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segbench import CellResult, ReportTarget, RunResult, SegbenchError
from segbench_reports.html.page import render

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]


def test_the_answer_comes_first_and_in_the_words_of_the_other_reports(rich: RunResult, run_target: ReportTarget, page: Any) -> None:
    from segbench_reports.view.main_table import main_table
    from segbench_reports.view.summary import summary

    text = page(render(rich, run_target)).text
    first = summary(rich, main_table(rich))[0]
    assert first in text
    assert text.index(first) < text.index("Results Filter")


def test_everything_stands_in_one_file(rich: RunResult, run_target: ReportTarget, page: Any) -> None:
    before = set(run_target.directory.rglob("*"))
    found = page(render(rich, run_target))
    assert set(run_target.directory.rglob("*")) == before
    sources = [attrs[key] or "" for _, attrs in found.tags for key in ("src", "href", "action", "srcset", "data") if key in attrs]
    assert sources
    assert {source[:1] if source.startswith("#") else source[:5] for source in sources} <= {"#", "data:"}
    assert not [attrs for name, attrs in found.tags if name in ("iframe", "object", "embed", "form", "base")]


def test_the_policy_allows_exactly_the_two_scripts_and_no_request(rich: RunResult, run_target: ReportTarget, page: Any) -> None:
    found = page(render(rich, run_target))
    policy = next(attrs["content"] for attrs in found.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    code = [text for attrs, text in found.scripts if attrs.get("type") != "application/json"]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in code}
    assert set(re.findall(r"'sha256-[^']+'", policy)) == hashes
    assert len(hashes) == 2
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy


def test_no_hostile_name_becomes_markup(hostile: RunResult, run_target: ReportTarget, page: Any) -> None:
    found = page(render(hostile, run_target))
    assert len(found.scripts) == 3
    json.loads(found.scripts[0][1])
    assert not {"img", "b"} & {name for name, _ in found.tags}
    assert not [attrs for _, attrs in found.tags if any(key.startswith("on") for key in attrs)]
    assert "<img src=x onerror=alert(2)>" in found.text
    assert "{{ 7 * 7 }}" in found.text
    everything = render(hostile, run_target)
    assert not {"\u202e", "\u2066", "\u2028", "\u2029"} & set(everything)


def test_a_name_of_ten_thousand_letters_does_not_fill_the_page(hostile: RunResult, run_target: ReportTarget, page: Any) -> None:
    words = page(render(hostile, run_target)).text.split()
    assert max(map(len, words)) < 400


@pytest.mark.parametrize("status", ["pending", "interrupted"])
def test_a_half_finished_run_says_so(status: str, make_cell: CellMaker, make_run: RunMaker, run_target: ReportTarget, page: Any) -> None:
    waiting = make_cell("later", status=status, training=None, quality=None, deployments=[], params=None, macs=None, size_mb=None)
    text = page(render(make_run([make_cell(), waiting], complete=False), run_target)).text
    assert "Not finished. This run is incomplete: 1 of 2 cells is done." in text


def test_a_run_without_any_result_is_a_page_all_the_same(make_run: RunMaker, run_target: ReportTarget, page: Any) -> None:
    text = page(render(make_run([], complete=False), run_target)).text
    assert "Nothing has been measured yet." in text


def test_a_failed_cell_is_shown_with_its_advice(comparison: RunResult, run_target: ReportTarget, page: Any) -> None:
    text = page(render(comparison, run_target)).text
    assert "2.1 GB were asked for" in text
    assert "Set train.batch_size=4." in text


def test_pictures_that_are_gone_are_said_to_be_gone(rich: RunResult, tmp_path: Path, page: Any) -> None:
    found = page(render(rich, ReportTarget(tmp_path, run_directory=tmp_path / "elsewhere")))
    assert "none of them is beside it" in found.text
    assert not found.of("img")


def test_a_result_without_a_directory_is_rendered(rich: RunResult, tmp_path: Path, page: Any) -> None:
    assert "Results" in page(render(rich, ReportTarget(tmp_path))).text


def test_tables_have_captions_and_heads(rich: RunResult, run_target: ReportTarget, page: Any) -> None:
    found = page(render(rich, run_target))
    assert len(found.of("caption")) == len(found.of("table")) > 4
    assert all(attrs.get("scope") in ("col", "row") for attrs in found.of("th"))
    assert all(attrs.get("alt") is not None for attrs in found.of("img"))
    assert next(attrs["lang"] for attrs in found.of("html")) == "en"


def test_sections_say_the_same_as_the_markdown_report(rich: RunResult, run_target: ReportTarget, page: Any) -> None:
    text = page(render(rich, run_target)).text
    for title in ("Published claims", "Training", "Protocol", "Environment", "What the numbers mean", "Repeat it"):
        assert (title in text) is (title != "Published claims")
    assert "the loss still falls" in text
    assert "segbench run --models big,small --dataset squares" in text


def test_without_its_libraries_the_format_says_how_to_get_them(
    comparison: RunResult, run_target: ReportTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "jinja2" else real(name, *rest))
    with pytest.raises(SegbenchError, match=r"needs Jinja2: pip install 'segbench\[report\]'"):
        render(comparison, run_target)
