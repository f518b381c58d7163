"""The section on differences in quality: intervals and verdicts of each model against the first, and of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import CellResult, Comparison, RunResult, metric
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.text.verdicts import bounds, effect, family_notes, in_words, is_shown
from segbench_reports.view.cells import axis_text, varying_axes
from segbench_reports.view.comparisons import quality_comparisons

_MOST_PAIRS = 200


def comparisons(result: RunResult) -> str:
    """The table against the first of each kind, its notes, and all other pairs folded; empty where the run compares no scores."""
    first, pairs = quality_comparisons(result, headline=True), quality_comparisons(result, headline=False)
    if not first and not pairs:
        return ""
    parts = [_table(result, first) if first else "", bullets(_notes([*first, *pairs]))]
    if pairs:
        more = f" (the first {_MOST_PAIRS})" if len(pairs) > _MOST_PAIRS else ""
        parts.append(folded(f"{numbers.counted(len(pairs), 'other pair')}{more}", _table(result, pairs[:_MOST_PAIRS], with_p=True)))
    return "\n\n".join(part for part in parts if part)


def _table(result: RunResult, compared: Sequence[Comparison], *, with_p: bool = False) -> str:
    axes = _shared_axes(result, compared)
    last = ["p", "p, corrected", "verdict"] if with_p else ["verdict", "about"]
    headers = ["compared", "against", *axes, "score", "difference<br>points", "95 % interval<br>points", *last]
    rows = [
        [
            *_identity(c, axes),
            effect(c),
            bounds(c) or numbers.NOT_MEASURED,
            *([_p(c.p_value), _p(c.p_adjusted), _verdict(c)] if with_p else [_verdict(c), markdown(c.scope)]),
        ]
        for c in compared
    ]
    left = {"compared", "against", *axes, "score", "verdict", "about"}
    return grid(headers, rows, ["left" if header in left else "right" for header in headers])


def _shared_axes(result: RunResult, compared: Sequence[Comparison]) -> list[str]:
    """Axes beside that of each comparison on which the run varies."""
    compared_on = {comparison.axis for comparison in compared}
    axes = [axis for axis in varying_axes(result.cells) if axis in ("model", "loss", "recipe", "settings")]
    return [axis for axis in axes if compared_on - {axis, "variant"}]


def _identity(comparison: Comparison, axes: Sequence[str]) -> list[str]:
    score = metric(comparison.quantity).title + (f" {comparison.context['class']}" if comparison.context.get("class") else "")
    shared = [_shared(comparison, axis) for axis in axes]
    return [markdown(text) or numbers.NOT_MEASURED for text in (comparison.subject, comparison.baseline, *shared, score)]


def _shared(comparison: Comparison, axis: str) -> str:
    """The setting that both sides share on one axis, as the main table writes it."""
    context = comparison.context
    cell = CellResult(id="", model=context.get("model") or "", loss=context.get("loss"), recipe=context.get("recipe"))
    return axis_text(cell.model_copy(update={"settings": context.get("settings") or {}}), axis)


def _p(value: float | None) -> str:
    if value is None:
        return numbers.NOT_MEASURED
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _verdict(comparison: Comparison) -> str:
    words = markdown(in_words(comparison))
    return f"**{words}**" if is_shown(comparison) else words


def _notes(compared: Sequence[Comparison]) -> list[str]:
    """Notes on the method of the intervals and on their limits."""
    lines = [f"Interval: {markdown(method)}." for method in dict.fromkeys(c.method for c in compared if c.method)]
    lines += map(markdown, family_notes(compared))
    if any("checkpoint" in c.scope for c in compared):
        lines.append(
            "A verdict about checkpoints says how these weights would compare on other images like these. Another training of the same "
            "architectures may reverse it; three seeds or more are needed to speak of them (`--seeds 0,1,2`)."
        )
    if any(c.verdict == "no difference shown" for c in compared):
        lines.append("*No difference shown* is not *equal*: the interval says which differences are not excluded.")
    return lines
