"""The Markdown report's sections as HTML: a fixed set of tags, everything else as text."""

from __future__ import annotations

import functools
import html
from typing import TYPE_CHECKING, Any

from segbench_reports.html.embed import without_endless_words

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_TAGS = {"<br>": "<br>", "<sub>": "<small>", "</sub>": "</small>", "</details>": "</details>"}
_DETAILS = "<details>\n<summary>"


def section_html(markdown: str, title: str = "") -> str:
    """HTML of one section; ``title`` becomes the caption of its tables for screen readers.

    >>> section_html("a <b>*c*</b>")
    '<p>a &lt;b&gt;<em>c</em>&lt;/b&gt;</p>\\n'
    """
    return str(_parser().render(markdown, {"title": title}))


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    rules: dict[str, Any] = {
        "html_inline": _inline,
        "html_block": _block,
        "image": _no_image,
        "text": _text,
        "table_open": _table_open,
        "table_close": lambda self, tokens, place, options, env: "</table></div>\n",
        "th_open": _heading_cell,
        "td_open": _cell,
        "heading_open": lambda self, tokens, place, options, env: "<h3>",
        "heading_close": lambda self, tokens, place, options, env: "</h3>\n",
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


def _inline(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    content = tokens[place].content
    return _TAGS.get(content) or html.escape(content)


def _block(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    """A folded block of :func:`segbench_reports.text.markdown.folded`; any other block is text."""
    content = tokens[place].content.strip()
    if content in _TAGS:
        return f"{_TAGS[content]}\n"
    if content.startswith(_DETAILS) and content.endswith("</summary>"):
        title = html.escape(html.unescape(content.removeprefix(_DETAILS).removesuffix("</summary>")))
        return f"<details><summary>{title}</summary>\n"
    return f"<p>{html.escape(content)}</p>\n"


def _no_image(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    """Empty: the page draws its charts itself, and a link to a file would be a request."""
    return ""


def _text(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    return html.escape(without_endless_words(tokens[place].content))


def _table_open(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    env["tables"] = env.get("tables", 0) + 1
    number = f", table {env['tables']}" if env["tables"] > 1 else ", table"
    title = html.escape(f"{env.get('title') or 'Text'}{number}")
    caption = f'<caption class="unseen">{title}</caption>'
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>{caption}\n'


def _heading_cell(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    return f'<th scope="col"{_aligned(tokens[place])}>'


def _cell(self: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    return f"<td{_aligned(tokens[place])}>"


def _aligned(token: Token) -> str:
    return ' class="number"' if "right" in str(token.attrGet("style") or "") else ""
