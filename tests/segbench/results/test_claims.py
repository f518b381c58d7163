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
    assert (row_words(kept), judged_claims([kept])[0].words) == ("kept (of this reconstruction)",) * 2
    assert (row_words(untested), judged_claims([untested])[0].words) == ("not tested here",) * 2
    cannot = row("a", "cannot tell").model_copy(update={"reconstruction": "a text", "missing": "too few rounds"})
    assert row_words(cannot) == "cannot tell (of this reconstruction): too few rounds"


def read(read_as: str, verdict: str, **circumstances: Any) -> Verdict:
    """A row of one published claim, "first", in one of its readings."""
    name = "first" if read_as == "time" else f"first-{read_as}"
    added = {"read_as": read_as, "reading_of": None if read_as == "time" else "first"}
    return row(name, verdict, **circumstances).model_copy(update=added)


@pytest.mark.parametrize(
    ("rows", "verdict", "words"),
    [
        ([read("time", "kept"), read("speed", "kept")], "kept", "kept"),
        ([read("time", "broken", threads=2), read("speed", "broken")], "broken", "broken"),
        ([read("time", "kept"), read("speed", "broken", threads=2)], "depends", "depends on the reading: time or speed"),
        ([read("time", "kept"), read("speed", "cannot tell")], "cannot tell", "cannot tell"),
        ([read("time", "kept"), read("speed", "not tested here")], "kept", "kept, read as time"),
        ([read("time", "not tested here"), read("speed", "broken")], "broken", "broken, read as speed"),
        ([read("time", "not tested here"), read("speed", "not tested here")], "not tested here", "not tested here"),
        (
            [read("time", "not tested here"), read("speed", "broken", backend="a"), read("speed", "kept", backend="b")],
            "depends",
            "depends on the form",
        ),
        (
            [read("time", "kept", backend="a"), read("time", "kept", backend="b"), read("speed", "broken", backend="a")],
            "depends",
            "depends on the reading: time or speed",
        ),
        (
            [read("time", "kept", backend="a"), read("time", "broken", backend="b"), read("speed", "kept", backend="a")],
            "depends",
            "depends on the form and the reading: time or speed",
        ),
        (
            [
                read(way, verdict, threads=i)
                for way, end in (("time", "kept"), ("speed", "broken"))
                for i, verdict in enumerate((end, "cannot tell"))
            ],
            "depends",
            "depends on the reading: time or speed",
        ),
    ],
)
def test_readings_of_one_claim_are_one_claim_with_one_verdict(rows: list[Verdict], verdict: str, words: str) -> None:
    claim = judged_claims(rows)[0]
    assert (len(judged_claims(rows)), claim.name, claim.verdict, claim.words) == (1, "first", verdict, words)
    assert sum(count_verdicts([claim]).values()) == 1
    assert {v.claim_verdict for v in with_claim_verdicts(rows)} == {words}
    assert {claim.label(one).split(", ")[0] for one in rows} == {"read as time", "read as speed"}
    tested = [one for one in rows if one.verdict != "not tested here"]
    assert len({claim.label(one) for one in tested}) == len(tested)
    assert claim.shown == (tuple(rows) if verdict != "not tested here" else ()), "an untested reading is shown beside the tested one"


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
