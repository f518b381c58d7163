"""One verdict for each claim over all rows that test it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.results.claims import (
    VERDICTS,
    claims_of_run,
    claims_tested,
    count_verdicts,
    judged_claims,
    row_words,
    with_claim_verdicts,
)
from segbench.results.records import CellResult, RunResult, Verdict

OUTCOMES = ("kept", "kept (exceeded)", "broken", "cannot tell", "not tested here")


def row(claim: str, verdict: str, subject: str | None = None, **circumstances: Any) -> Verdict:
    return Verdict.model_validate(
        {"claim": claim, "summary": claim, "claimed": "1", "verdict": verdict, "subject": subject, "circumstances": circumstances}
    )


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["kept"], "kept"),
        (["broken", "broken"], "broken"),
        (["kept", "kept (exceeded)"], "kept"),
        (["kept (exceeded)"] * 2, "kept (exceeded)"),
        (["kept", "broken"], "depends"),
        (["kept (exceeded)", "broken", "cannot tell"], "depends"),
        (["kept", "cannot tell"], "cannot tell"),
        (["broken", "cannot tell"], "cannot tell"),
        (["not tested here", "kept"], "kept"),
        (["not tested here"] * 2, "not tested here"),
    ],
)
def test_rows_roll_up_into_one_verdict(outcomes: list[str], verdict: str) -> None:
    for order in (outcomes, outcomes[::-1]):
        assert [claim.verdict for claim in judged_claims(row("a", outcome) for outcome in order)] == [verdict]


@pytest.mark.parametrize(
    ("circumstances", "words"),
    [
        ([{"backend": "onnxruntime", "precision": "int8"}, {"backend": "openvino", "precision": "int8"}], "depends on the form"),
        ([{"backend": "eager", "precision": "fp32"}, {"backend": "openvino", "precision": "int8"}], "depends on the form"),
        ([{"input_size": "256"}, {"input_size": "512"}], "depends on the input size"),
        ([{"loss": "ce", "train.lr": 0.1}, {"loss": "focal", "train.lr": 0.2}], "depends on the loss and the train.lr"),
        ([{}, {}], "depends on the conditions"),
    ],
)
def test_a_claim_that_is_kept_here_and_broken_there_names_what_it_depends_on(circumstances: list[dict[str, Any]], words: str) -> None:
    one, other = circumstances
    claim = judged_claims([row("a", "kept", **one), row("a", "broken", **other)])[0]
    assert claim.words == words
    labels = [claim.label(one) for one in claim.rows]
    assert len(set(labels)) == 2
    assert all(labels)


def test_a_verdict_on_a_reconstruction_says_so_and_an_untested_claim_does_not() -> None:
    kept, untested = (row("a", outcome).model_copy(update={"reconstruction": "a text"}) for outcome in ("kept", "not tested here"))
    assert (row_words(kept), judged_claims([kept])[0].words) == ("kept, of this reconstruction",) * 2
    assert (row_words(untested), judged_claims([untested])[0].words) == ("not tested here",) * 2
    cannot = row("a", "cannot tell").model_copy(update={"reconstruction": "a text", "missing": "too few rounds"})
    assert row_words(cannot) == "cannot tell, of this reconstruction: too few rounds"


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(OUTCOMES), st.sampled_from(["small", "small[x=1]|ce", "flood", None])), max_size=20
)


@given(ROWS)
def test_counts_are_of_claims_and_agree_with_their_rows(drawn: list[tuple[str, str, str | None]]) -> None:
    rows = [row(name, outcome, subject, backend=str(place)) for place, (name, outcome, subject) in enumerate(drawn)]
    result = RunResult(cells=[CellResult(id="a", model="small[y=2]")], claims=rows)
    own = [r for r in rows if r.subject != "flood"]
    claims = claims_of_run(result)
    assert [claim.name for claim in claims] == list(dict.fromkeys(r.claim for r in own))
    assert sorted((r.claim, r.verdict) for claim in claims for r in claim.rows) == sorted((r.claim, r.verdict) for r in own)
    by_claim = {name: {r.verdict for r in own if r.claim == name} - {"not tested here"} for name in {r.claim for r in own}}
    counts = count_verdicts(claims)
    assert sum(counts.values()) == len(by_claim)
    assert counts["broken"] == sum(outcomes == {"broken"} for outcomes in by_claim.values())
    assert counts["kept"] == sum(bool(outcomes) and outcomes <= {"kept", "kept (exceeded)"} for outcomes in by_claim.values())
    assert counts["not tested here"] == sum(not outcomes for outcomes in by_claim.values())
    tested = claims_tested(result)
    assert Counter(claim.name for claim in tested) == Counter(name for name, outcomes in by_claim.items() if outcomes)
    assert [VERDICTS.index(claim.verdict) for claim in tested] == sorted(VERDICTS.index(claim.verdict) for claim in tested)


@given(ROWS)
def test_each_row_carries_the_verdict_of_its_claim(drawn: list[tuple[str, str, str | None]]) -> None:
    rows = with_claim_verdicts([row(name, outcome, subject) for name, outcome, subject in drawn])
    words = {claim.name: claim.words for claim in judged_claims(rows)}
    assert [r.claim_verdict for r in rows] == [words[r.claim] for r in rows]
    assert with_claim_verdicts(rows) == rows
