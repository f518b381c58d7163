"""The committed Markdown reports as GitHub shows them: permitted tags, links to existing files, pictures without requests."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "reports" / "samples").glob("**/report.md"))
_TAGS = "h1 h2 h3 p ul ol li table thead tbody tr th td br sub strong em s del code pre a img details summary blockquote"
KEPT = set(_TAGS.split())
"""Tags that the reports use and GitHub's sanitiser permits."""


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.parent.name)
def test_a_report_uses_tags_that_github_keeps_and_links_that_lead_to_files(report: Path) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(report.read_text(encoding="utf-8"))
    found = _Tags(html)
    assert found.names <= KEPT
    assert found.attributes <= {"href", "src", "alt", "style", "class", "start"}
    for target in found.targets:
        assert "://" not in target
        assert target.startswith("#") or (report.parent / unquote(target)).exists(), target


@pytest.mark.parametrize(
    "picture", sorted((ROOT / "reports" / "samples").glob("**/*.svg")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_charts_draw_on_a_ground_of_their_own_and_load_nothing(picture: Path) -> None:
    tree = ElementTree.parse(picture).getroot()
    names = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not names & {"script", "foreignObject", "image", "style", "use"}
    links = [value for element in tree.iter() for name, value in element.attrib.items() if name.endswith("href")]
    assert [link for link in links if not link.startswith("#")] == []
    first = next(element for element in tree.iter() if element.tag.endswith("rect"))
    assert re.fullmatch(r"white|#fff(fff)?", first.attrib["fill"]), "black letters on GitHub's dark ground cannot be read"
