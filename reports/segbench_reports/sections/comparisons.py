"""The section on differences in quality: intervals and verdicts of each model against the first, and of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

from segbench import CellResult, Comparison, RunResult, metric
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.text.verdicts import bounds, difference_unit, effect, family_notes, in_words, is_shown
from segbench_reports.view.cells import axis_text, varying_axes
from segbench_reports.view.comparisons import quality_comparisons
from segbench_reports.view.learned import class_notes

_MOST_PAIRS = 200


def comparisons(result: RunResult) -> str:
    """The table against the first of each kind, its notes, and all other pairs folded; empty where the run compares no scores."""
    first, pairs = quality_comparisons(result, headline=True), quality_comparisons(result, headline=False)
    if not first and not pairs:
        return ""
    notes = [*map(markdown, class_notes(result)), *_notes([*first, *pairs])]
    parts = [_table(result, first) if first else "", bullets(notes)]
    if pairs:
        more = f" (the first {_MOST_PAIRS})" if len(pairs) > _MOST_PAIRS else ""
        parts.append(folded(f"{numbers.counted(len(pairs), 'other pair')}{more}", _table(result, pairs[:_MOST_PAIRS], with_p=True)))
    return "\n\n".join(part for part in parts if part)


def _table(result: RunResult, compared: Sequence[Comparison], *, with_p: bool = False) -> str:
    axes = _shared_axes(result, compared)
    columns: dict[str, list[str]] = {
        "compared": [markdown(c.subject) for c in compared],
        "against": [markdown(c.baseline) for c in compared],
    }
    columns |= {axis: [markdown(_shared(c, axis)) for c in compared] for axis in axes}
    columns |= {
        "score": [markdown(_score(c)) for c in compared],
        "difference<br>points": [_with_unit(c, effect(c)) if bounds(c) else "" for c in compared],
        "95 % interval<br>points": [_with_unit(c, bounds(c)) for c in compared],
        "p": [p_value(c.p_value) if with_p else "" for c in compared],
        "p, corrected": [p_value(c.p_adjusted) if with_p else "" for c in compared],
        "verdict": [shown_in_bold(c) for c in compared],
        "about": ["" if with_p else markdown(c.scope) for c in compared],
    }
    filled = {title: texts for title, texts in columns.items() if any(text not in ("", numbers.NOT_MEASURED) for text in texts)}
    rows = [[text or numbers.NOT_MEASURED for text in row] for row in zip(*filled.values(), strict=True)]
    right = ("difference<br>points", "95 % interval<br>points", "p", "p, corrected")
    return grid(list(filled), rows, ["right" if title in right else "left" for title in filled])


def _with_unit(comparison: Comparison, text: str) -> str:
    """A figure that is not in points with what it is in."""
    unit = difference_unit(comparison)
    return text if unit == "points" or not text else f"{text} {unit or '(no unit)'}"


def _shared_axes(result: RunResult, compared: Sequence[Comparison]) -> list[str]:
    """Axes beside that of each comparison on which the run varies."""
    compared_on = {comparison.axis for comparison in compared}
    axes = [axis for axis in varying_axes(result.cells) if axis in ("model", "loss", "recipe", "settings")]
    return [axis for axis in axes if compared_on - {axis, "variant"}]


def _score(comparison: Comparison) -> str:
    name = comparison.context.get("class")
    return metric(comparison.quantity).title + (f" {name}" if name else "")


def _shared(comparison: Comparison, axis: str) -> str:
    """The setting that both sides share on one axis, as the main table writes it."""
    context = comparison.context
    cell = CellResult(id="", model=context.get("model") or "", loss=context.get("loss"), recipe=context.get("recipe"))
    return axis_text(cell.model_copy(update={"settings": context.get("settings") or {}}), axis)


def p_value(value: float | None) -> str:
    """A p value with three decimals."""
    if value is None:
        return numbers.NOT_MEASURED
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def shown_in_bold(comparison: Comparison) -> str:
    """The verdict in words, bold where a difference is shown."""
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
