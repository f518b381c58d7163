"""Names come from users and plugins: they are shown as they are and never interpreted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from segbench import CellResult, ReportTarget, RunResult
from segbench_reports.formats import csv as csv_rows
from segbench_reports.formats import markdown, terminal
from segbench_reports.text.escape import code_block
from segbench_reports.text.escape import markdown as escaped

CellMaker = Callable[..., CellResult]
RunMaker = Callable[..., RunResult]

NAMES = [
    "[red]x[/red]",
    "a|b",
    "<script>alert(1)</script>",
    "`code`",
    "![x](http://e.x/y.png)",
    "*b* _i_ ~s~",
    "# head",
    "1. one",
    "a\\|b",
    "&amp;",
    "$x$",
]


class _Text(HTMLParser):
    """The text that a reader sees, and the tags around it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.tags: list[str] = []

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def _read(text: str) -> _Text:
    reader = _Text()
    reader.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
    return reader


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_exactly_the_name(name: str) -> None:
    paragraph, table = _read(escaped(name)), _read(f"| a |\n| :-- |\n| {escaped(name)} |")
    assert "".join(paragraph.seen).strip() == name
    assert [text for text in "".join(table.seen).split("\n") if text] == ["a", name]
    assert set(paragraph.tags) == {"p"}


@given(st.text(st.sampled_from("ab1 _*`~[]()<>&|!#+-.:$\\/\"'=hw"), min_size=1, max_size=12))
def test_no_text_of_markup_characters_is_interpreted(text: str) -> None:
    seen = _read(f"| a |\n| :-- |\n| x{escaped(text)}x |")
    # HTML shows runs of blanks as one
    assert " ".join("".join(seen.seen).split()) == f"a x{' '.join(text.split())}x"
    assert set(seen.tags) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_whole_reports_hold_the_names_literally(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    cells = [make_cell(name, loss=name, id=str(i)) for i, name in enumerate(NAMES)]
    result = make_run(cells, warnings=NAMES)
    screen = terminal.render(result, target)
    rows = list(csv.DictReader(io.StringIO(csv_rows.render(result, target))))
    page = _read(markdown.render(result, target))
    assert not {"script", "del"} & set(page.tags)
    for i, name in enumerate(NAMES):
        assert name in screen
        assert [rows[i]["model"], rows[i]["loss"]] == [name, name]
        assert f"\n{name}\n{name}\n" in "".join(page.seen)


def test_control_characters_do_not_reach_the_terminal(make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    result = make_run([make_cell("a\x1b[2Jb\u202ec\nd")], warnings=["\x07"])
    text = terminal.render(result, target)
    assert "a�[2Jb�c d" in text
    assert not {"\x1b", "\u202e", "\x07"} & set(text)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_spreadsheets_run_no_formula_from_a_name(name: str, make_cell: CellMaker, make_run: RunMaker, target: ReportTarget) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_rows.render(make_run([make_cell(name)]), target))))
    assert rows[0]["model"] == f"'{name}"


def test_no_command_leaves_its_code_block() -> None:
    assert code_block("echo ```\n# x").startswith("````")
