"""The pages and badges of a site."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from segbench import CellResult, RunResult

RunMaker = Callable[..., RunResult]
Changed = Callable[..., CellResult]
Build = Callable[..., Path]

HOSTILE = [
    "</script><script>alert(1)</script>",
    '" onmouseover="alert(3)"',
    "a\u202eb\u2028c",
    "{{ 7*7 }}",
    "../../up",
    "n" * 10_000,
    "<b>&amp;",
]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _pages(root: Path) -> dict[str, _Page]:
    found = [*root.glob("*.html"), *root.glob("leaderboards/*.html")]
    return {file.relative_to(root).as_posix(): _Page(file.read_text(encoding="utf-8")) for file in found}


@pytest.fixture
def hostile_runs(changed: Changed, make_run: RunMaker) -> dict[str, RunResult]:
    runs = {}
    for place, name in enumerate(HOSTILE):
        cell = changed(
            name, loss=name, dataset=name, id="a", settings={name: name}, quality={"class_names": [name] * 3, "headline_class": name}
        )
        environment = {"cpu": name, "started": name, "segbench": name}
        runs[f"run-{place}"] = make_run([cell], environment=environment, warnings=[name], config={"dataset": name}, complete=False)
    return runs


def test_the_index_shows_every_run_with_its_files(site_runs: dict[str, RunResult], build_site: Build) -> None:
    page = _pages(build_site(site_runs))["index.html"]
    assert "4 runs, 5 models and 1 dataset" in page.text
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    for folder in site_runs:
        assert f"runs/{folder}/index.html" in links
        assert f"runs/{folder}/run.json" in links
    newest = [link for link in links if link and re.fullmatch(r"runs/\w+/index.html", link)][:4]
    assert newest == [f"runs/{name}/index.html" for name in ("half", "longer", "second", "first")]


def test_a_half_finished_run_says_so(site_runs: dict[str, RunResult], build_site: Build) -> None:
    text = _pages(build_site(site_runs))["index.html"].text
    assert "This run is incomplete: 1 of 2 cells is done." in text
    assert text.count("not finished") == 2, "on its card, and of its cell without a score"


def test_a_table_that_stands_apart_says_why(site_runs: dict[str, RunResult], build_site: Build) -> None:
    page = _pages(build_site(site_runs))["leaderboards/squares.html"]
    assert "Run longer stands apart from the first table: 40 epochs instead of 4." in page.text
    assert "a training score is never ranked" in page.text


def test_every_link_leads_to_a_file_of_the_site(site_runs: dict[str, RunResult], build_site: Build) -> None:
    root = build_site(site_runs)
    for name, page in _pages(root).items():
        targets = [attrs[key] or "" for _, attrs in page.tags for key in ("href", "src") if key in attrs]
        for target in targets:
            parts = urlsplit(target)
            assert parts.scheme in ("", "data"), target
            if not parts.scheme and parts.path:
                assert ((root / name).parent / unquote(parts.path)).is_file(), f"{name}: {target}"


def test_the_policy_allows_the_page_s_own_script_alone(site_runs: dict[str, RunResult], build_site: Build) -> None:
    for page in _pages(build_site(site_runs)).values():
        policy = next(attrs["content"] or "" for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
        code = [text for text in page.scripts if text != "{}"]
        assert len(code) == 1
        assert re.findall(r"'sha256-([^']+)'", policy) == [base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()]
        assert "default-src 'none'" in policy
        assert "connect-src" not in policy


def test_names_are_shown_and_never_read_as_markup(hostile_runs: dict[str, RunResult], build_site: Build) -> None:
    root = build_site(hostile_runs, title=HOSTILE[0], home="https://example.org/")
    for page in _pages(root).values():
        assert len(page.scripts) == 2
        assert not {"b", "iframe"} & {tag for tag, _ in page.tags}
        assert not [attrs for _, attrs in page.tags if any(key.startswith("on") for key in attrs)]
        assert not {"\u202e", "\u2028"} & set(page.text)
        assert max(map(len, page.text.split())) < 400
    assert "{{ 7*7 }}" in _pages(root)["index.html"].text
    assert {file.relative_to(root).parts[0] for file in root.rglob("*")} == {
        "index.html", "badges.html", "badges", "leaderboards", "runs",
    }  # fmt: skip
    endpoints = [json.loads(file.read_text(encoding="utf-8")) for file in root.glob("badges/*/*")]
    assert endpoints
    assert all(set(endpoint) == {"schemaVersion", "label", "message", "color"} for endpoint in endpoints)
    assert not {"\u202e", "\u2028"} & set("".join(endpoint["label"] + endpoint["message"] for endpoint in endpoints))


def test_badges_are_endpoints_as_shields_reads_them(site_runs: dict[str, RunResult], build_site: Build) -> None:
    root = build_site(site_runs)

    def badge(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((root / "badges" / f"{name}.json").read_text())
        return found

    assert badge("first/big-miou") == {
        "schemaVersion": 1,
        "label": "mIoU squares test",
        "message": "50.0 %, 2 of 3 classes",
        "color": "blue",
    }
    assert badge("first/small-params")["message"] == "4.00 M"
    assert badge("first/small-latency") == {
        "schemaVersion": 1, "label": "latency 48x64, cpu, 2 threads", "message": "10.0 ms", "color": "blue",
    }  # fmt: skip
    assert badge("first/run")["message"] == "big 50.0 % mIoU, 2 of 3 classes"
    assert badge("half/run") == {"schemaVersion": 1, "label": "squares", "message": "1 of 2 cells", "color": "orange"}
    assert not list((root / "badges" / "half").glob("seen*")), "a training score is no badge"
    assert {file.suffix for file in (root / "badges").rglob("*.*")} == {".json"}, "shields.io draws them"
    assert "mIoU squares test: 50.0 %, 2 of 3 classes" in _pages(root)["badges.html"].text
    assert "img.shields.io" not in _pages(root)["badges.html"].text, "which cannot reach a relative address"


def test_an_address_makes_badges_whole(site_runs: dict[str, RunResult], build_site: Build) -> None:
    root = build_site(site_runs, home="https://team.example/bench/", title="Our runs")
    endpoint = "https://team.example/bench/badges/first/big-miou.json"
    assert (
        f"![mIoU squares test: 50.0 %, 2 of 3 classes](https://img.shields.io/endpoint?url={endpoint})" in _pages(root)["badges.html"].text
    )
    assert not list(root.glob("feed*"))


def test_the_same_runs_make_the_same_site(site_runs: dict[str, RunResult], build_site: Build) -> None:
    root = build_site(site_runs)
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    assert {file: file.read_bytes() for file in build_site(site_runs).rglob("*") if file.is_file()} == before


def test_a_site_without_any_score_is_a_site_all_the_same(make_run: RunMaker, build_site: Build) -> None:
    assert "1 run, 0 models and 0 datasets" in _pages(build_site({"empty": make_run([])}))["index.html"].text
