"""One LaTeX table: booktabs rules, two lines of heads, shrunk where it is wider than the text, what the numbers mean below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segbench_reports.text.latex import latex

_MOST_ROWS = 40
_LONG = 30
_WIDE = r"0.32\linewidth"


@dataclass(frozen=True)
class Head:
    """A column: ``unit`` stands below its title; names are left, figures right."""

    title: str
    unit: str = ""
    name: bool = False


def tables(heads: Sequence[Head], rows: Sequence[Sequence[str]], *, caption: str, label: str, notes: Sequence[str]) -> Iterator[str]:
    """Floating tables of rows that are LaTeX already; one that no page could hold goes on in the next."""
    long = [head.name and any(_width(row[place]) > _LONG for row in rows) for place, head in enumerate(heads)]
    columns = "".join(f"p{{{_WIDE}}}" if wide else "l" if head.name else "r" for head, wide in zip(heads, long, strict=True))
    body = [_line(_ragged(cell) if wide else cell for cell, wide in zip(row, long, strict=True)) for row in rows]
    top = [_line(latex(head.title) for head in heads), _line(latex(head.unit) for head in heads)]
    for first in range(0, len(body), _MOST_ROWS):
        again = first > 0
        yield _float(
            columns,
            top,
            body[first : first + _MOST_ROWS],
            caption=f"{caption} (continued)" if again else caption,
            label="" if again else label,
            notes=[] if again else notes,
        )


def _float(columns: str, top: Sequence[str], body: Sequence[str], *, caption: str, label: str, notes: Sequence[str]) -> str:
    below = [rf"  \par\vspace{{0.6ex}}\begin{{minipage}}{{\linewidth}}\scriptsize {' '.join(notes)}\end{{minipage}}"] if notes else []
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            *([rf"  \label{{{label}}}"] if label else []),
            r"  \footnotesize\setlength{\tabcolsep}{4pt}%",
            r"  \sbox0{%",
            rf"  \begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"    \toprule",
            *(f"    {line}" for line in top),
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}}%",
            r"  \ifdim\wd0>\linewidth \resizebox{\linewidth}{!}{\usebox0}\else \usebox0\fi",
            *below,
            r"\end{table}",
        ]
    )


def _line(cells: Iterator[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _ragged(cell: str) -> str:
    return rf"\raggedright\hangindent 1em {cell}"


def _width(cell: str) -> int:
    """About how many letters a cell has, its commands left out."""
    return len(cell.replace(r"\allowbreak{}", "").replace("\\", "").replace("{", "").replace("}", ""))
