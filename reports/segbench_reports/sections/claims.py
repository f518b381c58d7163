"""The section on published claims: each beside the measured value, with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench import RunResult, Verdict
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid

_ORDER = ("broken", "cannot tell", "kept", "kept (exceeded)")


def claims(result: RunResult) -> str:
    """Judged claims, broken ones first; those that this run cannot test are folded away with the missing condition.

    Claims about models that are not in the run are only counted.
    """
    tested, relevant = claims_tested(result), claims_of_models(result)
    untested = [v for v in relevant if v.verdict == "not tested here"]
    parts = [_tested(tested), bullets(_notes(tested))] if tested else []
    if untested:
        parts.append(folded(f"{numbers.counted(len(untested), 'claim')} not tested here", _untested(untested)))
    if parts and len(relevant) < len(result.claims):
        others = numbers.counted(len(result.claims) - len(relevant), "further claim")
        parts.append(f"{others} about models that are not in this run: `segbench list claims`.")
    return "\n\n".join(filter(None, parts))


def claims_of_models(result: RunResult) -> list[Verdict]:
    """Verdicts on claims about the models of this run, with any options."""
    models = {cell.model.partition("[")[0] for cell in result.cells}
    return [v for v in result.claims if v.subject is None or v.subject.partition("|")[0].partition("[")[0] in models]


def claims_tested(result: RunResult) -> list[Verdict]:
    """Verdicts on claims that this run tests: broken ones first, then those that the measurement cannot decide."""
    return sorted((v for v in result.claims if v.verdict in _ORDER), key=lambda v: _ORDER.index(v.verdict))


def _tested(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            markdown(v.summary),
            markdown(v.claimed),
            markdown(v.measured or numbers.NOT_MEASURED),
            _verdict(v),
            markdown(v.source),
        ]
        for v in verdicts
    ]
    return grid(["claim", "claimed", "measured", "verdict", "source"], rows, ["left"] * 5)


def _verdict(verdict: Verdict) -> str:
    why = f": {markdown(verdict.missing)}" if verdict.verdict == "cannot tell" and verdict.missing else ""
    return f"**{verdict.verdict}**" if verdict.verdict == "broken" else f"{verdict.verdict}{why}"


def _notes(verdicts: Sequence[Verdict]) -> Iterable[str]:
    if any(v.low is not None for v in verdicts):
        yield (
            "\\[low, high\\] is the 95 % interval of what was measured: a claim is kept where all of it meets the claim, broken where none "
            "of it does, and otherwise *cannot tell*. Counts are exact."
        )


def _untested(verdicts: Sequence[Verdict]) -> str:
    rows = [[markdown(v.summary), markdown(v.claimed), markdown(v.missing or numbers.NOT_MEASURED), markdown(v.source)] for v in verdicts]
    return grid(["claim", "claimed", "missing here", "source"], rows, ["left"] * 4)
