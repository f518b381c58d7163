"""The section on an ablation: effect and verdict of each change from one model to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench import CellResult, Comparison, ReportTarget, RunResult
from segbench_reports.charts import ablation as ablation_chart
from segbench_reports.charts import charts
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import Align, bullets, grid
from segbench_reports.text.verdicts import NOT_SHOWN_NOTE, bounds, family_notes, relative
from segbench_reports.view.ablation import MeasuredAblation, MeasuredStep, measured_ablations
from segbench_reports.view.cells import finite

_HEADERS = ["step", "change", "params", "MACs", "latency", "mIoU<br>%", "change of mIoU<br>points", "verdict"]
_CAPTION = "Each bar reaches from the value before a change to the one after it; the line on a bar of mIoU is the interval of the change"


def ablation(result: RunResult, target: ReportTarget | None) -> str:
    """For each loss and recipe: the table of steps, its chart (none without a ``target``) and notes on the verdicts."""
    ablations = measured_ablations(result)
    return "\n\n".join(_part(measured, target, place if len(ablations) > 1 else 0) for place, measured in enumerate(ablations, 1))


def plain_rows(measured: MeasuredAblation) -> list[list[str]]:
    """The table's cells in plain text: change, params, MACs, latency, change of mIoU, verdict."""
    return [_step_texts(step) for step in measured.steps]


def _part(measured: MeasuredAblation, target: ReportTarget | None, place: int) -> str:
    title = f"From {markdown(measured.ablation.start)} to {markdown(measured.ablation.end)}, one option at a time"
    under = f" ({markdown(measured.name)})" if measured.name else ""
    rows = [["0", "", "", "", "", _miou(measured.start), "", ""], *(_row(step) for step in measured.steps)]
    columns = [i for i in range(len(_HEADERS)) if i < 2 or any(row[i] not in ("", numbers.NOT_MEASURED) for row in rows)]
    align: list[Align] = ["left" if _HEADERS[i] in ("change", "verdict") else "right" for i in columns]
    table = grid([_HEADERS[i] for i in columns], [[row[i] for i in columns] for row in rows], align)
    parts = [
        f"{title}{under}. Ratios and differences are against the step before.",
        table,
        _chart(measured, target, place),
        bullets(_notes(measured)),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(step: MeasuredStep) -> list[str]:
    change, params, macs, latency, miou, verdict = map(markdown, _step_texts(step))
    word, dash, why = verdict.partition(": ")
    return [str(step.number), change, params, macs, latency, _miou(step.after), miou, f"**{word}**{dash}{why}"]


def _step_texts(step: MeasuredStep) -> list[str]:
    outcome, why = step.outcome
    return [
        f"{step.change.option}: {step.change.before} → {step.change.after}",
        _ratio(step.params),
        _ratio(step.macs),
        _effect(step.latency),
        _effect(step.miou),
        f"{outcome}: {why}",
    ]


def _ratio(ratio: float | None) -> str:
    return numbers.NOT_MEASURED if ratio is None else "=" if ratio == 1 else f"×{numbers.unequal(ratio)}"


def _effect(comparison: Comparison | None) -> str:
    """Effect and interval; none where the data cannot tell."""
    if comparison is None or not relative(comparison):
        return numbers.NOT_MEASURED
    return f"{relative(comparison)} [{bounds(comparison).replace(' to ', ', ')}]"


def _miou(cells: Sequence[CellResult]) -> str:
    scores = [cell.quality.miou for cell in cells if cell.quality and finite(cell.quality.miou) is not None]
    measured = [score for score in scores if score is not None]
    return numbers.percent(sum(measured) / len(measured)) if measured else numbers.NOT_MEASURED


def _chart(measured: MeasuredAblation, target: ReportTarget | None, place: int) -> str:
    if target is None or not charts.available():
        return ""
    chart = ablation_chart.waterfall(measured)
    if chart is None:
        return ""
    name = f"ablation{f'-{place}' if place else ''}.svg"
    target.directory.mkdir(parents=True, exist_ok=True)
    chart.save(str(target.directory / name))
    return f"![{_CAPTION}]({name})\n\n<sub>{_CAPTION}.</sub>"


def _notes(measured: MeasuredAblation) -> Iterable[str]:
    judged = [step.miou for step in measured.steps if step.miou is not None]
    for text in dict.fromkeys(f"Intervals of the change of mIoU: {c.method}; about {c.scope}." for c in judged if c.method and c.scope):
        yield markdown(text)
    if judged:
        yield (
            "A change **pays** where it is shown to be better at no higher cost, and is **cheaper** where its cost falls and no loss of "
            "mIoU is shown; cost is parameters, MACs and, where a race shows a difference, latency. *No loss shown* is not *no loss*: the "
            "interval says what is not excluded."
        )
        yield f"{NOT_SHOWN_NOTE}."
        yield from map(markdown, family_notes([*judged, *(step.latency for step in measured.steps if step.latency is not None)]))
        yield "The steps build on each other: another order of the same changes may attribute the effects differently."
