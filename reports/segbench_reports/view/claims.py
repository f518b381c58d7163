"""Published claims as every format prints them: the sentence that counts them, and one row for each reading with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segbench import JudgedClaim, RunResult, Verdict, claims_of_run, claims_tested, count_verdicts, row_words
from segbench_reports.text import numbers


@dataclass(frozen=True)
class ClaimRow:
    """A row of the table of claims in plain text; ``outcome`` is its verdict without further words, ``row`` None over several readings."""

    name: str
    claimed: str
    measured: str
    words: str
    source: str
    outcome: str
    row: Verdict | None


def claims_sentence(result: RunResult) -> str:
    """How many claims about these models were tested and what came of them; empty where none was tested."""
    claims = claims_of_run(result)
    tested = [claim for claim in claims if claim.tested]
    if not tested:
        return ""
    counts = count_verdicts(tested)
    phrases = {
        "kept": "kept",
        "broken": "broken",
        "depends": f"that depend{'s' * (counts['depends'] == 1)} on the form, setting or reading",
        "cannot tell": "that the measurement cannot decide",
    }
    parts = [f"{counts[verdict]} {phrases[verdict]}" for verdict in ("kept", "broken", "depends", "cannot tell") if counts[verdict]]
    can = f"{len(tested)} of {numbers.counted(len(claims), 'published claim')} about these models could be tested here"
    return f"{can}: {numbers.listed(parts)}{_of_reconstruction(tested)}."


def claim_rows(result: RunResult) -> Iterator[ClaimRow]:
    """Tested claims, broken ones first. A claim of several readings has a row with its one verdict above theirs, tested or not."""
    for claim in claims_tested(result):
        rows = claim.shown
        first = rows[0]
        if len(rows) == 1:
            yield _row(first, first.summary, first.claimed, first.source)
            continue
        figures, sources = (list(dict.fromkeys(texts)) for texts in ((row.claimed for row in rows), (row.source for row in rows)))
        measured = f"{len(rows)} readings"
        yield ClaimRow(first.summary, " or ".join(figures), measured, claim.words, "; ".join(sources), claim.verdict, None)
        for row in rows:
            yield _row(row, f"– {claim.label(row)}", row.claimed if len(figures) > 1 else "", "")


def untested_claims(result: RunResult) -> list[JudgedClaim]:
    """Claims about these models that the run does not test; none where it tests no claim at all."""
    claims = claims_of_run(result)
    return [claim for claim in claims if not claim.tested] if any(claim.tested for claim in claims) else []


def claim_notes(result: RunResult) -> Iterator[str]:
    """What the verdicts mean and of what they are, in plain text."""
    rows = list(claim_rows(result))
    if any(row.row is not None and row.row.low is not None for row in rows):
        yield (
            "[low, high] is the 95 % interval of what was measured: a claim is kept where all of it meets the claim, broken where none "
            "of it does, and otherwise cannot be told. Counts are exact."
        )
        yield (
            "Each claim is judged by itself at 95 %, not corrected for the number of claims or comparisons, so that its interval can be "
            "narrower than that of the same pair in the tables."
        )
    if any(row.row is None for row in rows):
        yield (
            "A claim that is tested in several forms or settings, or whose wording can be read in several ways, counts once: it depends "
            "where one of these readings keeps it and another breaks it."
        )
    yield from reconstructions(result)


def reconstructions(result: RunResult) -> list[str]:
    """What the networks of tested claims were made from, where that is no published code; a sentence each."""
    rows = [row for claim in claims_tested(result) for row in claim.rows if row.reconstruction]
    models: dict[str, list[str]] = {}
    for row in rows:
        models.setdefault(str(row.reconstruction), []).append((row.subject or "").partition("|")[0].partition("[")[0])
    return [f"{numbers.listed(list(dict.fromkeys(names)))}: a reconstruction from {text}." for text, names in models.items()]


def _row(row: Verdict, name: str, claimed: str, source: str) -> ClaimRow:
    return ClaimRow(name, claimed, row.measured or numbers.NOT_MEASURED, row_words(row), source, row.verdict, row)


def _of_reconstruction(tested: Sequence[JudgedClaim]) -> str:
    remade = sum(any(row.reconstruction for row in claim.rows) for claim in tested)
    if not remade:
        return ""
    return " (of this reconstruction)" if remade == len(tested) else f" ({remade} of them of a reconstruction)"
