"""Is a difference in quality more than chance: each model against the first, and all pairs."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import CellResult, Comparison, RunResult, metric
from segbench_reports.text import numbers as wording
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.view.cells import axis_text, varying_axes
from segbench_reports.view.quality_comparisons import interval, of_quality

_MOST_PAIRS = 200


def comparisons(result: RunResult) -> str:
    """Empty where the run compares no scores."""
    first, pairs = of_quality(result, headline=True), of_quality(result, headline=False)
    if not first and not pairs:
        return ""
    parts = [_table(result, first) if first else "", bullets(_about(first or pairs))]
    if pairs:
        more = f" (the first {_MOST_PAIRS})" if len(pairs) > _MOST_PAIRS else ""
        parts.append(folded(f"{wording.counted(len(pairs), 'pair')} of models, corrected for being many{more}", _pairs(result, pairs)))
    return "\n\n".join(part for part in parts if part)


def _table(result: RunResult, found: Sequence[Comparison]) -> str:
    under = _under(result)
    headers = ["model", "against", *under, "score", "difference<br>points", "95 % interval<br>points", "verdict", "about"]
    rows = [[*_identity(c, under), _value(c), interval(c) or wording.NOT_MEASURED, _verdict(c), markdown(c.scope)] for c in found]
    left = {"model", "against", *under, "score", "verdict", "about"}
    return grid(headers, rows, ["left" if header in left else "right" for header in headers])


def _pairs(result: RunResult, found: Sequence[Comparison]) -> str:
    under = _under(result)
    headers = ["model", "against", *under, "score", "difference<br>points", "95 % interval<br>points", "p", "p, Holm", "verdict"]
    rows = [
        [*_identity(c, under), _value(c), interval(c) or wording.NOT_MEASURED, _p(c.p_value), _p(c.p_adjusted), _verdict(c)]
        for c in found[:_MOST_PAIRS]
    ]
    left = {"model", "against", *under, "score", "verdict"}
    return grid(headers, rows, ["left" if header in left else "right" for header in headers])


def _under(result: RunResult) -> list[str]:
    """What beside the models differs between comparisons."""
    return [axis for axis in varying_axes(result.cells) if axis in ("loss", "recipe", "settings")]


def _identity(found: Comparison, under: Sequence[str]) -> list[str]:
    score = metric(found.quantity).title + (f" {found.context['class']}" if found.context.get("class") else "")
    shared = [_shared(found, axis) for axis in under]
    return [markdown(text) or wording.NOT_MEASURED for text in (found.subject, found.baseline, *shared, score)]


def _shared(found: Comparison, axis: str) -> str:
    """What both sides share on one axis, as the main table writes it."""
    cell = CellResult(id="", model="", loss=found.context.get("loss"), recipe=found.context.get("recipe"))
    return axis_text(cell.model_copy(update={"settings": found.context.get("settings") or {}}), axis)


def _value(found: Comparison) -> str:
    return wording.NOT_MEASURED if found.value is None else wording.points(found.value)


def _p(value: float | None) -> str:
    if value is None:
        return wording.NOT_MEASURED
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _verdict(found: Comparison) -> str:
    word = f"**{found.verdict}**" if found.verdict in ("better", "worse") else found.verdict
    return f"{word}: {markdown(found.reason)}" if found.reason else word


def _about(found: Sequence[Comparison]) -> list[str]:
    """How the intervals were made and what they do not say."""
    lines = [f"Interval: {markdown(method)}." for method in dict.fromkeys(c.method for c in found if c.method)]
    if any("checkpoint" in c.scope for c in found):
        lines.append(
            "A verdict about checkpoints says how these weights would compare on other images like these. Another training of the same "
            "architectures may turn it round; three seeds or more are needed to speak of them (`--seeds 0,1,2`)."
        )
    if any(c.verdict == "no difference shown" for c in found):
        lines.append("*No difference shown* is not *equal*: the interval says which differences are not excluded.")
    return lines
