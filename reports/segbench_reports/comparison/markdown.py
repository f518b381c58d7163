"""A comparison of two runs as a comment for a pull request: the verdict, the table, and the rest to unfold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segbench import Change, ReportTarget, RunComparison
from segbench_reports.comparison import wording as words
from segbench_reports.comparison.terminal import shown_rows
from segbench_reports.text.escape import markdown as escaped

_MOST_ROWS = 40
_LONGEST = 60_000
"""Characters; a comment on GitHub holds 65 536."""

_MARKS = {"regressed": "**regressed**", "improved": "improved", "no difference shown": "no difference shown", "cannot tell": "cannot tell"}


def render(comparison: RunComparison, target: ReportTarget) -> str:
    """Markdown as GitHub renders it; what would not fit into a comment is counted and left out."""
    rows = shown_rows(comparison, everything=target.everything, most=_MOST_ROWS)
    head = "\n".join(_head(comparison))
    table = _table(rows, _LONGEST // 2)
    folded = [
        *_folded("Why", [f"{words.several(whose)}: {why}" for why, whose in words.reasons(rows)]),
        *_folded("Conditions that could not be judged", words.undecided(comparison)),
        *_folded("Differences of the runs beside their results", words.differences(comparison)),
        *_folded("How", [*words.means(rows), *words.methods(rows), words.meaning(comparison)]),
    ]
    hidden = len(comparison.rows) - len(rows)
    note = [f"\n{hidden} rows without a shown difference are left out.\n"] if hidden else []
    return _cut("\n".join([head, *table, *note, *folded]))


def _head(comparison: RunComparison) -> Iterator[str]:
    yield f"### segbench: {escaped(comparison.baseline.name)} → {escaped(comparison.new.name)}\n"
    counts = words.counts(comparison)
    yield f"**{escaped(words.gate(comparison))}.** {counts}.\n" if comparison.gate else f"**{counts}.**\n"
    yield from (f"- {escaped(text)}" for text in words.missing(comparison))
    yield ""


def _table(rows: Sequence[Change], longest: int) -> Iterator[str]:
    if not rows:
        return
    yield "| | quantity | baseline | new | change | 95 % interval | verdict |"
    yield "|:--|:--|--:|--:|--:|--:|:--|"
    length, subject = 0, None
    for number, row in enumerate(rows):
        name = escaped(row.subject) if row.subject != subject else ""
        subject = row.subject
        cells = [words.value(row, row.baseline), words.value(row, row.new), words.change(row), words.noise(row), _MARKS[row.verdict]]
        line = f"| {' | '.join([name, escaped(words.title(row)), *cells])} |"
        length += len(line)
        if length > longest:
            yield f"\n{len(rows) - number} more rows do not fit here: `segbench compare --format json` has them all.\n"
            return
        yield line


def _folded(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        listed = [f"- {escaped(line)}" for line in lines[:100]]
        rest = [f"- and {len(lines) - 100} more"] if len(lines) > 100 else []
        yield "\n".join([f"\n<details><summary>{heading}</summary>\n", *listed, *rest, "\n</details>"])


def _cut(text: str) -> str:
    """The text without its last sections, where it is still too long."""
    while len(text) > _LONGEST and "\n<details>" in text:
        text = text[: text.rindex("\n<details>")].rstrip() + "\n"
    return text.rstrip() + "\n"
