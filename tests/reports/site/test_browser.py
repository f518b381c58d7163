"""A site in a headless browser: all controls work, and it sends no request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench import RunResult

Build = Callable[..., Path]
Open = Callable[..., Any]
Barriers = Callable[[Any], list[tuple[str, ...]]]

PAGES = ("index.html", "leaderboards/squares.html", "badges.html")


@pytest.fixture
def open_page(browser: Any, site_runs: dict[str, RunResult], build_site: Build) -> Iterator[Open]:
    """Build the site and open one of its pages from disk, at a width, in light or dark."""
    root = build_site(site_runs)

    def opened(name: str, *, width: int = 1280, dark: bool = False) -> Any:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get((root / name).as_uri())
        limit = time.monotonic() + 60
        while browser.execute_script("return document.documentElement.dataset.ready") != "true":
            assert time.monotonic() < limit, "it took too long"
            time.sleep(0.05)
        return browser

    yield opened
    browser.get("about:blank")


def _requests(browser: Any) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def _column(browser: Any, place: int) -> list[str]:
    script = "return [...document.querySelector('table.board').tBodies[0].rows].map((r) => r.cells[arguments[0]].firstChild.textContent)"
    return [str(text).strip() for text in browser.execute_script(script, place)]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=["light-desktop", "dark-phone"])
def test_nothing_fails_nothing_is_asked_for_and_nothing_is_too_wide(name: str, width: int, dark: bool, open_page: Open) -> None:
    browser = open_page(name, width=width, dark=dark)
    assert [url.rpartition("/site/")[2] for url in _requests(browser)] == [name]
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paper = "rgb(15, 18, 22)" if dark else "rgb(255, 255, 255)"
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == paper
    assert browser.execute_script("return [...document.images].every((image) => image.naturalWidth > 0)")


def test_a_leaderboard_sorts_in_both_directions_and_back(open_page: Open) -> None:
    browser = open_page(PAGES[1])
    cells = browser.execute_script("return [...document.querySelector('table.board').tHead.rows[0].cells].map((h) => h.innerText)")
    heads = [str(text).split("\n")[0] for text in cells]
    model, miou = heads.index("model"), heads.index("mIoU")
    button = browser.find_element("css selector", f"table.board thead th:nth-child({miou + 1}) button")
    orders = []
    for _ in range(3):
        button.send_keys("\ue007")  # by keyboard
        orders.append((button.find_element("xpath", "..").get_attribute("aria-sort"), _column(browser, model)))
    assert orders == [
        ("descending", ["medium", "big", "small"]),
        ("ascending", ["small", "big", "medium"]),
        (None, ["medium", "big", "small"]),
    ]
    latency = f"#table-1 thead th:nth-child({heads.index('latency') + 1}) button"
    assert not browser.find_elements("css selector", latency), "latencies of two races do not sort"


def test_runs_are_filtered_by_words(open_page: Open) -> None:
    browser = open_page(PAGES[0])
    browser.find_element("id", "filter").send_keys("squares medium")
    shown = browser.execute_script("return [...document.querySelectorAll('.card')].filter((c) => !c.hidden).map((c) => c.innerText)")
    assert len(shown) == 1
    assert "medium on squares" in shown[0]
    assert browser.find_element("id", "count").text == "1 of 4 runs"


def test_the_colours_can_be_changed_and_heads_explain_themselves(open_page: Open) -> None:
    browser = open_page(PAGES[1])
    browser.find_element("id", "theme").click()
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
    browser.execute_script("document.querySelector('.still').focus()")
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    assert "Timed in different races" in tip.text


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_no_page_has_a_serious_barrier(name: str, width: int, dark: bool, open_page: Open, barriers: Barriers) -> None:
    browser = open_page(name, width=width, dark=dark)
    assert barriers(browser) == []
