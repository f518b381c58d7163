"""Numbers and their nouns: no message prints "1 epochs"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLURALS = (
    "epochs|models|cells|samples|images|rounds|validations|files|runs|tiles|checks|claims|steps|batches|groups|scenes|errors|warnings|values|"
    "colours|splits|channels|inputs|means|masks|plugins|reports|recipes|entries|contenders"
)
NOT_YET = ("analysis", "view", "sections", "site", "comparison", "html")
"""Rooms whose sentences are built elsewhere, or whose numbers are never one."""


def numbers_before_plurals(file: Path) -> Iterator[str]:
    """Each f-string of a file in which a value that may be one stands before a plural noun."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant) or value.format_spec is not None:
                continue
            noun = re.match(rf" ((?:[a-z]+ )?(?:{PLURALS}))\b", str(after.value))
            text = ast.unparse(value.value)
            if noun and re.match(r"len\(|[a-z_.\[\]']*(count|epochs|cells|images|samples|errors|warnings|checks|channels|steps)\b", text):
                yield f"{file.name}:{node.lineno}: {{{text}}} {noun[1]}"


def test_a_number_that_may_be_one_is_counted() -> None:
    folders = [ROOT / "benchmark" / "segbench", ROOT / "plugins" / "segbench_plugins", ROOT / "reports" / "segbench_reports"]
    files = [file for folder in folders for file in folder.rglob("*.py") if not {*file.parts} & {*NOT_YET}]
    assert len(files) > 150
    assert [found for file in files for found in numbers_before_plurals(file)] == []


def test_the_search_sees_what_it_is_for(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text('count = 1\ntext = f"{count} epochs"\nmore = f"{len(text)} trained cells"\nfine = f"{3.5:.1f} images"\n')
    assert [found.partition(": ")[2] for found in numbers_before_plurals(file)] == ["{count} epochs", "{len(text)} trained cells"]
