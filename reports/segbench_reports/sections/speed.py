"""The section on speed: tables of single images and of whole batches, sweeps of sizes, disturbances of the race, all pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from segbench import Comparison, Latency, ReportTarget, RunResult
from segbench_reports.charts import charts
from segbench_reports.charts.cost_against_size import cost_against_size, has_intervals
from segbench_reports.sections.comparisons import p_value, shown_in_bold
from segbench_reports.text import numbers
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.text.verdicts import bounds, effect, family_notes, in_words
from segbench_reports.view.comparisons import speed_comparisons
from segbench_reports.view.timed_models import TimedModel, start_variation, timed_models

_MOST_PAIRS = 60
_CHART = "cost-against-size"
_CAPTION = "Latency at batch 1 and multiply-adds over the size of the input"

SpeedColumn = tuple[str, Callable[[TimedModel, Latency], str]]


def speed(result: RunResult, target: ReportTarget | None) -> str:
    """Notes, tables, chart and pairs; empty where the run compares no times, sweeps no sizes and saw no disturbance."""
    models = timed_models(result)
    swept = any(len(timed.sizes) > 1 for timed in models)
    disturbed = result.race and result.race.disturbances
    if not models or not (swept or disturbed or speed_comparisons(result, headline=True)):
        return ""
    parts = [
        bullets(_notes(result)),
        _table(result, models, single=True),
        _table(result, models, single=False),
        _chart(result, target) if swept else "",
        _pairs(speed_comparisons(result, headline=False)),
    ]
    return "\n\n".join(part for part in parts if part)


def disturbances(result: RunResult) -> list[str]:
    """Sentences on what disturbed the race, or one that nothing was seen to disturb it."""
    if result.race is None or result.race.disturbances is None:
        return []
    other = max((state["other_load_cores"] for state in result.race.machine_state if "other_load_cores" in state), default=None)
    load = f" (other programs used {other:.2f} cores)" if other is not None else ""
    return result.race.disturbances or [f"Nothing that disturbs was seen while the models were timed{load}."]


def _notes(result: RunResult) -> list[str]:
    lines = [markdown(text) for text in disturbances(result)]
    if result.race and result.race.overhead is not None:
        share = numbers.percent(max(result.race.overhead, 0.0))
        lines.append(f"No network was computing in {'less than 0.1' if share == '0.0' else share} % of the race (waiting, switching).")
    lines += _notes_on_starts(result)
    compared = speed_comparisons(result, headline=True)
    for method in dict.fromkeys(comparison.method for comparison in compared if comparison.method):
        lines.append(f"Against the first model: {markdown(method)}. A verdict holds for {markdown(compared[0].scope)}.")
    lines += map(markdown, family_notes(speed_comparisons(result)))
    return lines + _notes_on_widths(compared) + _notes_without_interval(result)


def _notes_on_widths(compared: Sequence[Comparison]) -> list[str]:
    """What differences from the first model the race can tell by the width of its intervals, and how many a slow load made wider."""
    intervals = [(c.low, c.high) for c in compared if c.low is not None and c.high is not None]
    reaches = sorted(math.sqrt(high / low) - 1 for low, high in intervals if 0 < low <= high < math.inf)
    if not reaches:
        return []
    ends = " to ".join(dict.fromkeys(numbers.percent(reach) for reach in (reaches[0], reaches[-1])))
    lines = [f"Against the first model the intervals reach about {ends} % to either side: this race cannot tell smaller differences."]
    noted = [note for c in compared for note in c.notes]
    for what in dict.fromkeys(note.partition(":")[0] for note in noted):
        of_kind = sorted(float(number) for note in noted if note.startswith(what) for number in re.findall(r"[\d.]+(?= times)", note))
        times = " to ".join(dict.fromkeys(f"{factor:.1f}" for factor in (of_kind[0], of_kind[-1]))) if of_kind else ""
        wider = f": their intervals are {times} times as wide" if times else ""
        number = sum(any(note.startswith(what) for note in c.notes) for c in compared)
        lines.append(f"In {number} of {numbers.counted(len(compared), 'comparison')} {markdown(what)}{wider}.")
    return lines


def _notes_without_interval(result: RunResult) -> list[str]:
    """A sentence for each reason why times of single images have no interval, with the networks that it is of."""
    missing: dict[tuple[str, str], dict[str, None]] = {}
    for timed in timed_models(result):
        for entry in timed.deployment.latency:
            figures = {"p50": entry.p50_ms, "p90": entry.p90_ms, "p99": entry.p99_ms}
            for quantile, reason in entry.no_interval.items():
                if entry.batch_size == 1 and figures.get(quantile) is not None:
                    missing.setdefault((quantile, reason), {})[_deployment_name(timed.cell.model, timed.deployment.backend)] = None
    return [
        f"No interval of {quantile}: {markdown(reason)} ({markdown(', '.join(names))})." for (quantile, reason), names in missing.items()
    ]


def _notes_on_starts(result: RunResult) -> list[str]:
    """Sentences on the spread of times between starts of the processes, and on intervals with or without it."""
    models = timed_models(result)
    spread = start_variation(models)
    intervals = any(entry.ci95_ms for timed in models for entry in timed.deployment.latency)
    if spread:
        beside = "time beside the others'" if len(models) > 1 else "time"
        varied = f"a network's {beside} varied by {numbers.percent(spread.deviation)} % (standard deviation) from start to start"
        allowed = ", which the intervals allow for" if intervals else ""
        if _layout_was_drawn(result):
            return [f"Every process was started {spread.count} times, its memory laid out by chance: {varied}{allowed}."]
        shared = "All starts inherited one layout of memory: whom it favours by some per cent they do not show"
        return [f"Every process was started {spread.count} times: {varied}{allowed}. {shared}."]
    unseen = ", which the intervals do not show" if intervals else ""
    once = f"Every process was started once: another start may be some per cent faster or slower{unseen}"
    return [f"{once} (`measure.restart_every`)."] if models else []


def _layout_was_drawn(result: RunResult) -> bool:
    if result.race is None:
        return False
    layouts = [group.layout for group in result.race.groups] or [result.race.layout]
    return all(layout == "drawn" for layout in layouts)


def _table(result: RunResult, models: Sequence[TimedModel], *, single: bool) -> str:
    timings = [
        (timed, entry) for timed in models for entry in timed.deployment.latency if (entry.batch_size == 1) is single and entry.p50_ms
    ]
    if not timings:
        return ""
    columns = [*_IDENTITY, *(_SINGLE if single else _BATCHED), *_verdict_columns(result)]
    rows = [[markdown(read(timed, entry)) for _, read in columns] for timed, entry in timings]
    filled = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    body = [[row[i] or numbers.NOT_MEASURED for i in filled] for row in rows]
    left = ("model", "form", "input", "verdict")
    title = "**Single images** (batch 1)" if single else "**Whole batches**"
    return f"{title}\n\n" + grid([columns[i][0] for i in filled], body, ["left" if columns[i][0] in left else "right" for i in filled])


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    return "" if value is None else numbers.bounded(value, interval)


_IDENTITY: list[SpeedColumn] = [
    ("model", lambda timed, entry: timed.cell.model),
    ("form", lambda timed, entry: timed.deployment.backend),
    ("input", lambda timed, entry: numbers.size(entry.input_size)),
]
_SINGLE: list[SpeedColumn] = [
    ("p50<br>ms", lambda timed, entry: _with_interval(entry.p50_ms, entry.ci95_ms)),
    ("p90<br>ms", lambda timed, entry: _with_interval(entry.p90_ms, entry.p90_ci95_ms)),
    ("p99<br>ms", lambda timed, entry: _with_interval(entry.p99_ms, entry.p99_ci95_ms)),
    ("host p50<br>ms", lambda timed, entry: _with_interval(entry.host_p50_ms, None)),
    ("first call<br>ms", lambda timed, entry: _with_interval(entry.first_ms, None)),
]
_BATCHED: list[SpeedColumn] = [
    ("batch", lambda timed, entry: str(entry.batch_size)),
    ("images/s", lambda timed, entry: _with_interval(entry.rate, entry.rate_ci95)),
    ("time of a batch<br>ms", lambda timed, entry: _with_interval(entry.p50_ms, entry.ci95_ms)),
    ("host p50<br>ms", lambda timed, entry: _with_interval(entry.host_p50_ms, None)),
]


def _verdict_columns(result: RunResult) -> list[SpeedColumn]:
    def ratio(timed: TimedModel, entry: Latency) -> str:
        comparison = timed.against_first(result, entry)
        return _ratio(comparison) if comparison else ""

    def verdict(timed: TimedModel, entry: Latency) -> str:
        comparison = timed.against_first(result, entry)
        return in_words(comparison) if comparison else ""

    return [("against the first", ratio), ("verdict", verdict)]


def _ratio(comparison: Comparison) -> str:
    interval = bounds(comparison).replace("×", "")
    return f"{effect(comparison)} ({interval})" if interval else ""


def _chart(result: RunResult, target: ReportTarget | None) -> str:
    if target is None:
        return ""
    if not charts.available():
        return f"Cost against size is drawn where Altair is installed: `{charts.INSTALL}`."
    chart = cost_against_size(result)
    if chart is None:
        return ""
    target.directory.mkdir(parents=True, exist_ok=True)
    chart.save(str(target.directory / f"{_CHART}.svg"))
    caption = _CAPTION + (", with 95 % intervals of the medians" if has_intervals(result) else "")
    return f"![{caption}]({_CHART}.svg)\n\n<sub>{caption}.</sub>"


def _pairs(pairs: Sequence[Comparison]) -> str:
    """The folded table of the pairs without the first model."""
    measured = [pair for pair in pairs if bounds(pair)]
    if not measured:
        return ""
    rows = [
        [
            markdown(_deployment_name(pair.subject, pair.subject_backend)),
            markdown(_deployment_name(pair.baseline, pair.baseline_backend)),
            f"{numbers.size(pair.context.get('input_size') or ())}, batch {pair.context.get('batch_size')}",
            _ratio(pair),
            p_value(pair.p_adjusted),
            shown_in_bold(pair),
        ]
        for pair in measured[:_MOST_PAIRS]
    ]
    remaining = len(measured) - len(rows)
    more = f"\n\n{numbers.counted(remaining, 'further pair')} in run.json." if remaining else ""
    note = "Ratio of times (of images per second for whole batches)."
    table = grid(["first", "second", "input", "ratio", "p, corrected", "verdict"], rows, ["left", "left", "left", "right", "right", "left"])
    return folded("Other pairs", f"{note}\n\n{table}{more}")


def _deployment_name(model: str, backend: str | None) -> str:
    return model if backend in (None, "eager") else f"{model} ({backend})"
