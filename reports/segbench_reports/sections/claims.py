"""Published claims beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import RunResult, Verdict
from segbench_reports import wording
from segbench_reports.escape import markdown
from segbench_reports.grid import folded, grid


def claims(result: RunResult) -> str:
    """Judged claims, broken ones first; those that this run cannot test are folded away with the missing condition."""
    judged = sorted((v for v in result.claims if v.verdict != "not tested here"), key=lambda v: v.verdict != "broken")
    untested = [v for v in result.claims if v.verdict == "not tested here"]
    parts = [_judged(judged)] if judged else []
    if untested:
        parts.append(folded(f"{wording.counted(len(untested), 'claim')} not tested here", _untested(untested)))
    return "\n\n".join(parts)


def _judged(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            markdown(v.summary),
            markdown(v.claimed),
            markdown(v.measured or wording.NOT_MEASURED),
            _verdict(v),
            markdown(v.source),
        ]
        for v in verdicts
    ]
    return grid(["claim", "claimed", "measured", "verdict", "source"], rows, ["left"] * 5)


def _verdict(verdict: Verdict) -> str:
    return f"**{verdict.verdict}**" if verdict.verdict == "broken" else verdict.verdict


def _untested(verdicts: Sequence[Verdict]) -> str:
    rows = [[markdown(v.summary), markdown(v.claimed), markdown(v.missing or wording.NOT_MEASURED), markdown(v.source)] for v in verdicts]
    return grid(["claim", "claimed", "missing here", "source"], rows, ["left"] * 4)
