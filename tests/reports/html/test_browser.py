"""The page in a headless browser: all controls work, and it sends no request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reports.made_comparisons import with_comparisons

from segbench import ReportTarget, RunResult
from segbench_reports.html.page import render

Open = Callable[..., Any]
Barriers = Callable[[Any], list[tuple[str, ...]]]

_READY = """
return document.documentElement.dataset.ready === 'true'
  && [...document.querySelectorAll('[data-chart]')].every((chart) => chart.dataset.drawn)
"""
_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Pages by the result that they show: each is rendered once."""
    return {}


@pytest.fixture
def open_page(browser: Any, pages: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Write a run's report and open it from disk, at a width, in light or dark."""

    def opened(result: RunResult, *, width: int = 1280, dark: bool = False) -> Any:
        file, key = tmp_path / "report.html", result.model_dump_json()
        if key not in pages:
            pages[key] = render(result, ReportTarget(tmp_path, run_directory=tmp_path))
        file.write_text(pages[key], encoding="utf-8")
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get(file.as_uri())
        _until(lambda: browser.execute_script(_READY))
        return browser

    yield opened
    browser.get("about:blank")


def _until(condition: Callable[[], Any]) -> Any:
    limit = time.monotonic() + _TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.1)
    return found


def _all(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def _press(browser: Any, selector: str) -> None:
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", browser.find_element("css selector", selector)
    )
    browser.find_element("css selector", selector).click()


def _choose(browser: Any, selector: str, value: str) -> None:
    script = "const s = document.querySelector(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change', {bubbles: true}))"
    browser.execute_script(script, selector, value)


def _rows(browser: Any, column: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#main-table tbody tr')].filter(r => !r.hidden).map(r => r.children[arguments[0]].innerText)"
    )
    return [str(text).split("\n")[0].strip() for text in browser.execute_script(script, column)]


def _heads(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#main-table thead th')].map(h => h.innerText.split('\\n')[0].trim())"
    return [str(text) for text in browser.execute_script(script)]


def _copied(browser: Any, name: str) -> str:
    _press(browser, f'[data-table-copy="{name}"]')
    _until(lambda: "copied" in browser.find_element("id", "said").get_attribute("textContent"))
    text: str = browser.execute_async_script("const done = arguments[0]; navigator.clipboard.readText().then(done, (e) => done(String(e)))")
    return text.replace("\r\n", "\n")


def _errors(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def _requests(browser: Any) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def test_nothing_leaves_the_page_and_nothing_fails(rich: RunResult, open_page: Open, tmp_path: Path) -> None:
    browser = open_page(rich)
    assert _requests(browser) == [(tmp_path / "report.html").as_uri()]
    assert _errors(browser) == []
    assert len(_all(browser, "[data-chart] svg")) == len(_all(browser, "[data-chart]")) > 8


def test_headings_sort_in_both_directions_and_back(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    heads = _heads(browser)
    miou = heads.index("mIoU")
    head = f"#main-table thead th:nth-child({miou + 1})"
    states = []
    for _ in range(3):
        _press(browser, f"{head} button")
        states.append((browser.find_element("css selector", head).get_attribute("aria-sort"), _rows(browser, miou)))
    assert states == [
        ("descending", ["52.0", "50.0", "48.0"]),
        ("ascending", ["48.0", "50.0", "52.0"]),
        (None, ["50.0", "52.0", "48.0"]),
    ]
    # and by keyboard
    button = browser.find_element("css selector", "#main-table thead th:first-child button")
    button.send_keys("\ue007")
    button.send_keys("\ue007")
    assert _rows(browser, 0) == ["small", "big", "big"]


def test_text_filters_rows_and_columns_can_be_hidden(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    browser.find_element("id", "filter").send_keys("big foc")
    assert _rows(browser, 1) == ["focal"]
    assert browser.find_element("id", "count").text == "1 of 3 rows."
    browser.find_element("id", "filter").send_keys("\ue003" * 7)
    assert len(_rows(browser, 1)) == 3
    _press(browser, ".menu summary")
    _press(browser, "[data-column]")
    assert not browser.find_element("css selector", "#main-table thead th:nth-child(3)").is_displayed()


def test_another_baseline_changes_ratios_classes_and_the_marked_row(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    params = _heads(browser).index("params")
    small = f"#main-table tbody tr[data-row='0'] td:nth-child({params + 1}) small"
    assert browser.find_element("css selector", small).text == ""
    _choose(browser, "#baseline", "2")
    assert browser.find_element("css selector", small).text == "×4.00"
    assert browser.find_element("css selector", "tr.baseline").get_attribute("data-row") == "2"
    _press(browser, "#heat-differences")
    cells = [cell.text for cell in _all(browser, "#heat tbody tr[data-row='0'] td")]
    assert cells == ["+2.0", "+2.0", "–"]


def test_a_measured_comparison_is_explained_on_hover_and_focus(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    miou = _heads(browser).index("mIoU")
    tips = browser.execute_script(f"return document.querySelector(\"tr[data-row='2'] td:nth-child({miou + 1})\").dataset.tip")
    assert tips == "Against big (ce): −2.0 (95 % interval −3.5 to −0.5): worse, these two checkpoints"
    browser.execute_script(f"document.querySelector('#main-table thead th:nth-child({miou + 1}) button').focus()")
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    assert tip.text.startswith("mIoU: intersection over union")


def test_the_table_is_copied_in_three_languages(rich: RunResult, open_page: Open) -> None:
    browser = open_page(with_comparisons(rich))
    for box in _all(browser, "[data-column]")[2:]:
        browser.execute_script("arguments[0].click()", box)
    assert _copied(browser, "markdown") == (
        "| model | loss | mIoU (%, 2 of 3 classes) | params (M) |\n| :-- | :-- | --: | --: |\n"
        "| big | ce | *50.0* | 4.00 |\n| big | focal | **52.0** (+2.0) | 4.00 |\n| small | ce | 48.0 (−2.0) | **1.00** (×0.25) |\n"
    )
    assert _copied(browser, "latex").splitlines()[4:7] == [
        r"  big & ce & \underline{50.0} & 4.00 \\",
        r"  big & focal & \textbf{52.0} & 4.00 \\",
        r"  small & ce & 48.0 & \textbf{1.00} \\",
    ]
    csv = 'model,loss,"mIoU (%, 2 of 3 classes)",params (M)\nbig,ce,50.0,4.00\nbig,focal,52.0,4.00\nsmall,ce,48.0,1.00\n'
    assert _copied(browser, "csv") == csv


def test_the_axes_of_the_trade_off_can_be_chosen(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    chart = browser.find_element("css selector", "[data-chart='front']")
    assert "latency, batch 1 (ms)" in chart.get_attribute("textContent")
    _choose(browser, "#front-cost", "params")
    _until(lambda: "parameters (M)" in chart.get_attribute("textContent"))
    assert browser.find_element("id", "front-words").text == "Pareto-optimal by point values: small (ce); big (focal)."


def test_confusions_are_shown_for_the_chosen_cell(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)
    words = browser.find_element("id", "confusion-words")
    assert words.text == "Most often: ground taken for square, 40 % of its pixels."
    _choose(browser, "#confusion-cell", "2")
    _until(lambda: words.text == "Most often: ground taken for square, 57 % of its pixels.")


def test_predictions_change_with_the_model_and_by_arrow_keys(rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich)

    def shown() -> set[str]:
        return {figure.get_attribute("data-of") for figure in _all(browser, "[data-of]") if figure.is_displayed()}

    assert shown() == {"0"}
    _press(browser, ".toggle[data-model='2']")
    assert shown() == {"2"}
    browser.switch_to.active_element.send_keys("\ue012")
    assert shown() == {"1"}
    assert browser.find_element("css selector", ".toggle[data-model='1']").get_attribute("aria-pressed") == "true"
    _press(browser, ".toggle[data-model='all']")
    assert shown() == {"0", "1", "2"}
    _press(browser, ".wipe summary")
    sources = [image.get_attribute("src") for image in _all(browser, ".scene:first-of-type .stack img")]
    assert all(source.startswith("data:image/png") for source in sources)
    assert len(set(sources)) == 2


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)], ids=["light-desktop", "dark-phone"])
def test_colours_follow_the_system_and_the_button_and_nothing_is_too_wide(dark: bool, width: int, rich: RunResult, open_page: Open) -> None:
    browser = open_page(rich, dark=dark, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paper = "return getComputedStyle(document.body).backgroundColor"
    own, other = ("rgb(15, 18, 22)", "rgb(255, 255, 255)") if dark else ("rgb(255, 255, 255)", "rgb(15, 18, 22)")
    assert browser.execute_script(paper) == own
    _press(browser, "#theme")
    assert browser.execute_script(paper) == other


def test_hostile_names_run_nothing(hostile: RunResult, open_page: Open) -> None:
    browser = open_page(hostile, width=390)
    assert _errors(browser) == []
    assert len(_requests(browser)) == 1
    assert browser.execute_script("return document.querySelectorAll('script').length") == 3
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    for name in ("markdown", "latex", "csv"):
        assert "alert(1)" in _copied(browser, name)


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_the_page_has_no_serious_barrier(width: int, dark: bool, rich: RunResult, open_page: Open, barriers: Barriers) -> None:
    browser = open_page(rich, width=width, dark=dark)
    assert barriers(browser) == []


def test_single_seeds_are_shown_on_demand(make_cell: Any, make_run: Any, open_page: Open) -> None:
    cells = [make_cell(model, seed=seed, miou=0.4 + seed / 10) for model in ("big", "small") for seed in (0, 1)]
    browser = open_page(make_run(cells))
    assert _rows(browser, 1) == ["mean of 2", "mean of 2"]
    _press(browser, "#seeds")
    assert _rows(browser, 1) == ["0", "1", "mean of 2"] * 2
