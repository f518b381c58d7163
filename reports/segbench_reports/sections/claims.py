"""The section on published claims: each beside the measured value, with its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import JudgedClaim, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.view.claims import ClaimRow, claim_notes, claim_rows, untested_claims


def claims(result: RunResult) -> str:
    """Judged claims, broken ones first; those that this run cannot test are folded away with the missing condition.

    Empty where no claim about the models of this run was tested.
    """
    rows = list(claim_rows(result))
    if not rows:
        return ""
    untested = untested_claims(result)
    parts = [_tested(rows), bullets(map(markdown, claim_notes(result)))]
    if untested:
        parts.append(folded(f"{numbers.counted(len(untested), 'claim')} not tested here", _untested(untested)))
    return "\n\n".join(filter(None, parts))


def _tested(rows: Sequence[ClaimRow]) -> str:
    cells = [[markdown(text) for text in (row.name, row.claimed, row.measured)] + [_words(row), markdown(row.source)] for row in rows]
    return grid(["claim", "claimed", "measured", "verdict", "source"], cells, ["left"] * 5)


def _words(row: ClaimRow) -> str:
    return f"**{markdown(row.words)}**" if row.outcome in ("broken", "depends") else markdown(row.words)


def _untested(untested: Sequence[JudgedClaim]) -> str:
    rows = [[markdown(text) for text in (claim.rows[0].summary, *_alternatives(claim))] for claim in untested]
    return grid(["claim", "claimed", "missing here", "source"], rows, ["left"] * 4)


def _alternatives(claim: JudgedClaim) -> tuple[str, str, str]:
    """Figure, missing condition and source of an untested claim; those of each of its readings where they differ."""
    missing = {row.read_as: row.missing or numbers.NOT_MEASURED for row in claim.rows}
    reasons = [f"read as {name}: {why}" if name else why for name, why in missing.items()]
    return (
        " or ".join(dict.fromkeys(row.claimed for row in claim.rows)),
        "; ".join(reasons if len(set(missing.values())) > 1 else set(missing.values())),
        "; ".join(dict.fromkeys(row.source for row in claim.rows)),
    )
