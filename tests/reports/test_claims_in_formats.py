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
    "depends": r"(\d+) that depends? on the form or setting",
    "cannot tell": r"(\d+) that the measurement cannot decide",
}


def drawn_verdicts(seed: int) -> list[Verdict]:
    """Up to eight claims with up to three rows each, a third of them about a model that is not in the run."""
    chance = random.Random(seed)
    verdicts = []
    for place in range(chance.randint(1, 8)):
        subject = chance.choice(["big", "small[a=1]", "elsewhere"])
        remade = "a text without code" if chance.random() < 0.3 else None
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
                "source": f"p. {place}",
            }
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
    return {name: [v for v in own if v.claim == name] for name in dict.fromkeys(v.claim for v in own)}


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
        "terminal": terminal.render(run, ReportTarget(tmp_path, width=200)),
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
    of_json = {v["claim"]: v["claim_verdict"] for v in json.loads(json_format.render(run, target))["claims"]}
    for name, group in claims.items():
        over_all = one_verdict(group)
        if over_all == "not tested here":
            assert name not in of_csv
            assert of_json[name] == over_all
            continue
        words = of_csv[name]
        assert words == of_json[name]
        assert words.startswith("depends on the form" if over_all == "depends" else over_all)
        assert ("of this reconstruction" in words) is (group[0].reconstruction is not None)
        for text in (section, texts["terminal"], texts["latex"], texts["overview"]):
            assert words in text
        readings = [v for v in group if v.verdict != "not tested here"]
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
    assert "1 of 1 published claim about these models could be tested here: 1 that depends on the form or setting." in summary(
        run, main_table(run)
    )
    assert claims_section(run).splitlines()[2:5] == [
        "| Four times smaller | about 4x | 2 readings | **depends on the form** | p. 5 |",
        "| – onnxruntime |  | 3.9x | kept |  |",
        "| – openvino |  | 2.3x | **broken** |  |",
    ]
