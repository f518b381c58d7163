"""An ablation: what each change on the way from one model to another does, and which of them pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from segbench import CellResult, Comparison, ReportTarget, RunResult
from segbench_reports.charts import ablation as ablation_chart
from segbench_reports.charts import charts
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import Align, bullets, grid
from segbench_reports.view.ablation import Step, Walk, walks
from segbench_reports.view.cells import finite

_HEADERS = ["step", "change", "params", "MACs", "latency", "mIoU<br>%", "change of mIoU<br>points", "verdict"]
_CAPTION = "Each bar reaches from the value before a change to the one after it; the line on a bar of mIoU is the interval of the change"


def ablation(result: RunResult, target: ReportTarget | None) -> str:
    """A table for each loss and recipe, its chart (where it goes nowhere: none), and what the verdicts rest on."""
    found = walks(result)
    return "\n\n".join(_walk(walk, target, place if len(found) > 1 else 0) for place, walk in enumerate(found, 1))


def plain_rows(walk: Walk) -> list[list[str]]:
    """The table's cells in plain text: change, params, MACs, latency, change of mIoU, verdict."""
    return [_texts(step) for step in walk.steps]


def _walk(walk: Walk, target: ReportTarget | None, place: int) -> str:
    title = f"From {markdown(walk.ablation.start)} to {markdown(walk.ablation.end)}, one option at a time"
    under = f" ({markdown(walk.name)})" if walk.name else ""
    rows = [["0", "", "", "", "", _miou(walk.start), "", ""], *(_row(step) for step in walk.steps)]
    kept = [i for i in range(len(_HEADERS)) if i < 2 or any(row[i] not in ("", numbers.NOT_MEASURED) for row in rows)]
    align: list[Align] = ["left" if _HEADERS[i] in ("change", "verdict") else "right" for i in kept]
    drawn = grid([_HEADERS[i] for i in kept], [[row[i] for i in kept] for row in rows], align)
    parts = [
        f"{title}{under}. Ratios and differences are against the step before.",
        drawn,
        _chart(walk, target, place),
        bullets(_notes(walk)),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(step: Step) -> list[str]:
    change, params, macs, latency, miou, verdict = map(markdown, _texts(step))
    word, dash, why = verdict.partition(": ")
    return [str(step.number), change, params, macs, latency, _miou(step.after), miou, f"**{word}**{dash}{why}"]


def _texts(step: Step) -> list[str]:
    outcome, why = step.outcome
    return [
        f"{step.change.option}: {step.change.before} → {step.change.after}",
        _ratio(step.params),
        _ratio(step.macs),
        _interval(step.latency, numbers.times),
        _interval(step.miou, numbers.points),
        f"{outcome}: {why}",
    ]


def _ratio(ratio: float | None) -> str:
    return (
        numbers.NOT_MEASURED
        if ratio is None
        else "="
        if ratio == 1
        else f"×{ratio:.3f}"
        if 0.995 <= ratio < 1.005
        else numbers.times(ratio)
    )


def _interval(found: Comparison | None, shown: Callable[[float], str]) -> str:
    if found is None or found.value is None or finite(found.value) is None:
        return numbers.NOT_MEASURED
    text = shown(found.value)
    return text if found.low is None or found.high is None else f"{text} [{shown(found.low)}, {shown(found.high)}]"


def _miou(cells: Sequence[CellResult]) -> str:
    scores = [cell.quality.miou for cell in cells if cell.quality and finite(cell.quality.miou) is not None]
    measured = [score for score in scores if score is not None]
    return numbers.percent(sum(measured) / len(measured)) if measured else numbers.NOT_MEASURED


def _chart(walk: Walk, target: ReportTarget | None, place: int) -> str:
    if target is None or not charts.available():
        return ""
    chart = ablation_chart.waterfall(walk)
    if chart is None:
        return ""
    name = f"ablation{f'-{place}' if place else ''}.svg"
    target.directory.mkdir(parents=True, exist_ok=True)
    chart.save(str(target.directory / name))
    return f"![{_CAPTION}]({name})\n\n<sub>{_CAPTION}.</sub>"


def _notes(walk: Walk) -> Iterable[str]:
    judged = [step.miou for step in walk.steps if step.miou is not None]
    for text in dict.fromkeys(f"The change of mIoU is {c.method}; it speaks of {c.scope}." for c in judged if c.method and c.scope):
        yield markdown(text)
    if judged:
        yield (
            "A change **pays** where it is shown to be better at no higher cost, or cheaper with no loss of mIoU shown; cost is "
            "parameters, MACs and, where a race shows a difference (corrected for the number of steps), latency. "
            "*No loss shown* is not *no loss*: the interval says what is not excluded."
        )
        yield "The steps build on each other: another order of the same changes may share the effects out otherwise."
