"""Feeds of the runs: Atom for readers, JSON Feed for programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from xml.etree import ElementTree

from segbench import RunResult
from segbench_reports.html.embed import shown
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary, unfinished_note

_ATOM = "http://www.w3.org/2005/Atom"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Item:
    """One run in a feed; ``when`` is when it was measured."""

    folder: str
    title: str
    when: datetime
    text: str

    @property
    def key(self) -> str:
        """The same as long as the run is."""
        return f"urn:segbench:published:{hashlib.sha256(f'{self.folder} {self.when.isoformat()}'.encode()).hexdigest()[:16]}"


def items(runs: Mapping[str, RunResult], titles: Mapping[str, str]) -> list[Item]:
    """The newest first."""
    found = [Item(folder, titles[folder], measured(run), _text(run)) for folder, run in runs.items()]
    return sorted(found, key=lambda item: (item.when, item.folder), reverse=True)


def measured(result: RunResult) -> datetime:
    """When a run was measured; long ago where it does not say."""
    try:
        found = datetime.fromisoformat(str(result.environment.started or "").replace("Z", "+00:00"))
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def json_feed(found: list[Item], *, title: str, address: str) -> str:
    """JSON Feed 1.1; addresses are relative where the site's own is not known."""
    listed = [
        {
            "id": item.key,
            "url": f"{address}runs/{item.folder}/index.html",
            "title": item.title,
            "content_text": item.text,
            "date_published": item.when.isoformat(),
        }
        for item in found
    ]
    head = {"version": "https://jsonfeed.org/version/1.1", "title": title, "home_page_url": f"{address}index.html"}
    own = {"feed_url": f"{address}feed.json"} if address else {}
    return json.dumps({**head, **own, "items": listed}, ensure_ascii=False, indent=1) + "\n"


def atom_feed(found: list[Item], *, title: str, address: str) -> str:
    """Atom (RFC 4287)."""
    ElementTree.register_namespace("", _ATOM)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _add(feed, "title", title)
    _add(feed, "id", address or f"urn:segbench:site:{hashlib.sha256(title.encode()).hexdigest()[:16]}")
    _add(feed, "updated", max((item.when for item in found), default=_LONG_AGO).isoformat())
    ElementTree.SubElement(feed, f"{{{_ATOM}}}link", href=f"{address}index.html")
    if address:
        ElementTree.SubElement(feed, f"{{{_ATOM}}}link", href=f"{address}feed.xml", rel="self")
    _add(ElementTree.SubElement(feed, f"{{{_ATOM}}}author"), "name", "segbench")
    for item in found:
        entry = ElementTree.SubElement(feed, f"{{{_ATOM}}}entry")
        for tag, text in (("title", item.title), ("id", item.key), ("updated", item.when.isoformat()), ("summary", item.text)):
            _add(entry, tag, text)
        ElementTree.SubElement(entry, f"{{{_ATOM}}}link", href=f"{address}runs/{item.folder}/index.html")
    ElementTree.indent(feed)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(feed, encoding="unicode")}\n'


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, f"{{{_ATOM}}}{tag}").text = text


def _text(result: RunResult) -> str:
    sentences = summary(result, main_table(result))
    return " ".join(shown(text) for text in (unfinished_note(result), *sentences) if text)
