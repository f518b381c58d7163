"""Claims in every format: counts and verdicts agree with the rows of the run, for many made-up sets of verdicts."""

from __future__ import annotations

import csv
import html
import io
import json
import random
import re
from collections import Counter
from typing import Any

import pytest

from segbench import ReportTarget, RunResult, Verdict, claims_tested
from segbench_reports.formats import csv as csv_format
from segbench_reports.formats import json as json_format
from segbench_reports.formats import latex, overview, terminal
from segbench_reports.sections.claims import claims as claims_section
from segbench_reports.site.pages import write_pages
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary

OUTCOMES = ("kept", "kept (exceeded)", "broken", "cannot tell", "not tested here")
PHRASES = {
    "kept": r"(\d+) kept",
    "broken": r"(\d+) broken",
    "depends": r"(\d+) that depends? on the form, setting or reading",
    "cannot tell": r"(\d+) that the measurement cannot decide",
}


def drawn_verdicts(seed: int) -> list[Verdict]:
    """Up to eight claims with up to three rows each, forms or readings; a third of them about a model that is not in the run."""
    chance = random.Random(seed)
    verdicts = []
    for place in range(chance.randint(1, 8)):
        subject = chance.choice(["big", "small[a=1]", "elsewhere"])
        remade = "a text without code" if chance.random() < 0.3 else None
        wording = chance.random() < 0.4
        for form in range(chance.randint(1, 3)):
            outcome = chance.choice(OUTCOMES)
            values: dict[str, Any] = {
                "claim": f"claim-{place}",
                "summary": f"claim number {place}",
                "claimed": "at least 2x",
                "verdict": outcome,
                "subject": subject,
                "circumstances": {"backend": f"form-{form}"},
                "reconstruction": remade,
                "read_as": f"way {form}" if wording else None,
                "source": f"p. {place}",
            }
            if wording and form:
                values |= {"claim": f"claim-{place}-{form}", "reading_of": f"claim-{place}"}
            if outcome != "not tested here":
                values |= {"measured": f"{form}.5x", "measured_value": form + 0.5}
            verdicts.append(Verdict.model_validate(values))
    chance.shuffle(verdicts)
    return verdicts


def one_verdict(rows: list[Verdict]) -> str:
    """The verdict over a claim's rows, worked out here a second time."""
    outcomes = {row.verdict.removesuffix(" (exceeded)") for row in rows} - {"not tested here"}
    if {"kept", "broken"} <= outcomes:
        return "depends"
    if len(outcomes) > 1:
        return "cannot tell"
    return outcomes.pop() if outcomes else "not tested here"


def of_models(verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
    """Rows by claim, of the models in the run."""
    own = [v for v in verdicts if v.subject != "elsewhere"]
    return {name: [v for v in own if claim_of(v) == name] for name in dict.fromkeys(map(claim_of, own))}


def claim_of(verdict: Verdict) -> str:
    """The published claim, of which several rows may be readings."""
    return verdict.reading_of or verdict.claim


def counted(text: str) -> tuple[int, int, Counter[str]] | None:
    """What a sentence counts: tested claims, all claims, claims by verdict; None where nothing speaks of claims."""
    flat = " ".join(text.split())
    sentence = re.search(r"(\d+) of (\d+) published claims? about these models could be tested here: [^.]*\.", flat)
    if sentence is None:
        return None
    counts = {word: re.search(pattern, sentence[0]) for word, pattern in PHRASES.items()}
    return int(sentence[1]), int(sentence[2]), Counter({word: int(match[1]) for word, match in counts.items() if match})


@pytest.mark.parametrize("seed", range(25))
def test_every_format_counts_claims_and_prints_the_one_verdict_of_each(
    seed: int, comparison: RunResult, target: ReportTarget, tmp_path: Any
) -> None:
    verdicts = drawn_verdicts(seed)
    run = comparison.model_copy(update={"claims": verdicts})
    claims = of_models(verdicts)
    counts = Counter(map(one_verdict, claims.values()))
    tested = sum(counts.values()) - counts.pop("not tested here", 0)
    expected = (tested, len(claims), counts) if tested else None

    write_pages({"first": run}, target)
    texts = {
        "summary": "\n".join(summary(run, main_table(run))),
        "terminal": terminal.render(run, ReportTarget(tmp_path, width=300)),
        "overview": overview.render({"first": run}, target),
        "site": (target.directory / "index.html").read_text(),
        "latex": latex.render(run, target),
    }
    assert {name: counted(text) for name, text in texts.items()} == dict.fromkeys(texts, expected)
    section = claims_section(run)
    assert bool(section) is bool(tested)
    for text in (*texts.values(), section, csv_format.render(run, target)):
        for verdict in verdicts:
            assert verdict.subject != "elsewhere" or verdict.summary not in text, "a claim about another model"

    rows = [row for row in csv.DictReader(io.StringIO(csv_format.render(run, target))) if row["row"] == "claim"]
    of_csv = {row["claim_name"]: row["claim_verdict"] for row in rows}
    of_json = {v["reading_of"] or v["claim"]: v["claim_verdict"] for v in json.loads(json_format.render(run, target))["claims"]}
    for name, group in claims.items():
        over_all = one_verdict(group)
        if over_all == "not tested here":
            assert name not in of_csv
            assert of_json[name] == over_all
            continue
        words = of_csv[name]
        assert words == of_json[name]
        assert words.startswith(f"depends on the {'reading' if group[0].read_as else 'form'}" if over_all == "depends" else over_all)
        assert words.endswith(" (of this reconstruction)") is (group[0].reconstruction is not None)
        for text in (section, texts["terminal"], texts["latex"], texts["overview"]):
            assert words in text
        if len(group) > 1:
            assert all(f"– read as {v.read_as} |" in section for v in group if v.read_as)
        readings = [v for v in group if v.verdict != "not tested here" or v.read_as]
        assert section.count(f"{group[0].summary} |") == 1, "one row for the claim, however many readings it has"
        if len(readings) > 1:
            assert f"| {group[0].summary} | at least 2x | {len(readings)} readings |" in section
        assert all(v.measured in section for v in readings if v.measured)
    assert set(of_csv) <= set(claims)


@pytest.mark.parametrize("seed", [3, 9, 17])
def test_the_page_has_the_same_counts_and_verdicts(seed: int, comparison: RunResult, target: ReportTarget) -> None:
    pytest.importorskip("altair")
    from segbench_reports.html import page

    run = comparison.model_copy(update={"claims": drawn_verdicts(seed)})
    text = html.unescape(page.render(run, target))
    claims = of_models(run.claims)
    counts = Counter(map(one_verdict, claims.values()))
    tested = sum(counts.values()) - counts.pop("not tested here", 0)
    assert tested, "made to have some"
    assert counted(text) == (tested, len(claims), counts)
    for claim in claims_tested(run):
        assert claim.words in text


def test_every_format_says_that_claims_are_not_corrected_for_their_number(comparison: RunResult, target: ReportTarget) -> None:
    values = {"claim": "a", "summary": "Fast", "claimed": "2x", "measured": "2x [1, 3]", "verdict": "cannot tell", "subject": "small"}
    without, with_interval = (
        comparison.model_copy(update={"claims": [Verdict.model_validate(values | ends)]}) for ends in ({}, {"low": 1.0, "high": 3.0})
    )
    said = "judged by itself at 95 %, not corrected for the number of claims or comparisons"
    for render in (claims_section, lambda run: terminal.render(run, target), lambda run: latex.render(run, target)):
        texts = [" ".join(render(run).replace("\\%", "%").split()) for run in (with_interval, without)]
        assert [said in text for text in texts] == [True, False]


def test_a_reading_that_is_not_tested_stands_beside_the_one_that_is(comparison: RunResult) -> None:
    common = {"summary": "A third faster", "subject": "small", "source": "p. 5"}
    rows = [
        Verdict.model_validate(common | values)
        for values in (
            {"claim": "time", "read_as": "less time", "claimed": "33 %", "measured": "40 %", "verdict": "kept"},
            {
                "claim": "speed",
                "reading_of": "time",
                "read_as": "speed",
                "claimed": "1.33x",
                "verdict": "not tested here",
                "missing": "needs time",
            },
        )
    ]
    tested, untested = (comparison.model_copy(update={"claims": [*comparison.claims, *group]}) for group in (rows, [rows[1]]))
    lines = claims_section(tested).splitlines()
    place = lines.index("| A third faster | 33 % or 1.33x | 2 readings | kept, read as less time | p. 5 |")
    assert lines[place + 1 : place + 3] == [
        "| – read as less time | 33 % | 40 % | kept |  |",
        "| – read as speed | 1.33x | – | not tested here: needs time |  |",
    ]
    assert "| A third faster | 1.33x | needs time | p. 5 |" in claims_section(untested)


@pytest.mark.parametrize("subject", ["flood-original", "deeplab-optimized|focal"])
def test_a_run_of_other_models_never_speaks_of_claims(subject: str, comparison: RunResult, target: ReportTarget) -> None:
    kept = {"claim": "a", "summary": "Something else", "claimed": "1", "measured": "1", "verdict": "kept", "subject": subject}
    run = comparison.model_copy(update={"claims": [Verdict.model_validate(kept)]})
    for text in (*summary(run, main_table(run)), claims_section(run), terminal.render(run, target), latex.render(run, target)):
        assert "claim" not in text.lower()


def test_a_claim_that_depends_on_the_form_shows_its_readings_below_its_one_verdict(comparison: RunResult) -> None:
    both = [
        Verdict.model_validate(
            {
                "claim": "int8", "summary": "Four times smaller", "claimed": "about 4x", "measured": f"{value}x", "verdict": verdict,
                "subject": "small", "circumstances": {"backend": backend, "precision": "int8"}, "source": "p. 5",
            }
        )
        for value, verdict, backend in ((3.9, "kept", "onnxruntime"), (2.3, "broken", "openvino"))
    ]  # fmt: skip
    run = comparison.model_copy(update={"claims": both})
    assert "1 of 1 published claim about these models could be tested here: 1 that depends on the form, setting or reading." in summary(
        run, main_table(run)
    )
    assert claims_section(run).splitlines()[2:5] == [
        "| Four times smaller | about 4x | 2 readings | **depends on the form** | p. 5 |",
        "| – onnxruntime |  | 3.9x | kept |  |",
        "| – openvino |  | 2.3x | **broken** |  |",
    ]
