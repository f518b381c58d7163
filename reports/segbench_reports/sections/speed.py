"""Speed in detail: single images and whole batches apart, each against the first model, sweeps of sizes, and what disturbed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segbench import Comparison, Latency, ReportTarget, RunResult
from segbench_reports.charts import charts
from segbench_reports.charts.cost_against_size import cost_against_size
from segbench_reports.text import numbers as wording
from segbench_reports.text.escape import markdown
from segbench_reports.text.markdown import bullets, folded, grid
from segbench_reports.view.timed_models import TimedModel, runners, starts, verdicts

_MOST_PAIRS = 60
_CHART = "cost-against-size"
_CAPTION = "Latency at batch 1 and multiply-adds over the size of the input, with 95 % intervals of the medians"

SpeedColumn = tuple[str, Callable[[TimedModel, Latency], str]]


def speed(result: RunResult, target: ReportTarget | None) -> str:
    """Empty where the run compares no times, sweeps no sizes and saw nothing that disturbed."""
    found = runners(result)
    swept = any(len(runner.sizes) > 1 for runner in found)
    disturbed = result.race and result.race.disturbances
    if not found or not (swept or disturbed or verdicts(result, headline=True)):
        return ""
    parts = [
        bullets(_about(result)),
        _table(result, found, single=True),
        _table(result, found, single=False),
        _chart(result, target) if swept else "",
        _pairs(verdicts(result, headline=False)),
    ]
    return "\n\n".join(part for part in parts if part)


def disturbances(result: RunResult) -> list[str]:
    """What disturbed the race, in plain sentences; that nothing was seen is said, too."""
    if result.race is None or result.race.disturbances is None:
        return []
    other = max((state["other_load_cores"] for state in result.race.machine_state if "other_load_cores" in state), default=None)
    quiet = f" (other programs used {other:.2f} cores)" if other is not None else ""
    return result.race.disturbances or [f"Nothing that disturbs was seen while the models were timed{quiet}."]


def _about(result: RunResult) -> list[str]:
    lines = [markdown(text) for text in disturbances(result)]
    if result.race and result.race.overhead is not None:
        lines.append(f"In {wording.percent(max(result.race.overhead, 0.0))} % of the race nobody computed (waiting, switching, counting).")
    lines += _about_starts(result)
    said = verdicts(result, headline=True)
    if said:
        lines.append(f"Against the first model: {markdown(said[0].method)}. A verdict holds for {markdown(said[0].scope)}.")
    return lines


def _about_starts(result: RunResult) -> list[str]:
    """Whether the intervals know what starting the programs again would change."""
    found = runners(result)
    seen = starts(found)
    if seen:
        beside = "time beside the others'" if len(found) > 1 else "time"
        varied = f"a network's {beside} varied by {wording.percent(seen.deviation)} % (standard deviation) from start to start"
        if _layout_was_drawn(result):
            return [
                f"Every process was started {seen.count} times, its memory laid out by chance: {varied}, which the intervals allow for."
            ]
        shared = "All starts inherited one layout of memory: whom it favours by some per cent they do not show"
        return [f"Every process was started {seen.count} times: {varied}, which the intervals allow for. {shared}."]
    once = "Every process was started once: another start may be some per cent faster or slower, which the intervals do not show"
    return [f"{once} (`measure.restart_every`)."] if found else []


def _layout_was_drawn(result: RunResult) -> bool:
    if result.race is None:
        return False
    layouts = [group.layout for group in result.race.groups] or [result.race.layout]
    return all(layout == "drawn" for layout in layouts)


def _table(result: RunResult, found: Sequence[TimedModel], *, single: bool) -> str:
    timings = [(runner, entry) for runner in found for entry in runner.form.latency if (entry.batch_size == 1) is single and entry.p50_ms]
    if not timings:
        return ""
    columns = [*_IDENTITY, *(_SINGLE if single else _BATCHED), *_judgement(result)]
    rows = [[markdown(read(runner, entry)) for _, read in columns] for runner, entry in timings]
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    body = [[row[i] or wording.NOT_MEASURED for i in kept] for row in rows]
    left = ("model", "form", "input", "verdict")
    title = "**Single images** (batch 1)" if single else "**Whole batches**"
    return f"{title}\n\n" + grid([columns[i][0] for i in kept], body, ["left" if columns[i][0] in left else "right" for i in kept])


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    bounds = f" ({wording.significant(interval[0])} to {wording.significant(interval[1])})" if interval else ""
    return wording.significant(value) + bounds


_IDENTITY: list[SpeedColumn] = [
    ("model", lambda runner, entry: runner.cell.model),
    ("form", lambda runner, entry: runner.form.backend),
    ("input", lambda runner, entry: wording.size(entry.input_size)),
]
_SINGLE: list[SpeedColumn] = [
    ("p50<br>ms", lambda runner, entry: _with_interval(entry.p50_ms, entry.ci95_ms)),
    ("p90<br>ms", lambda runner, entry: _with_interval(entry.p90_ms, entry.p90_ci95_ms)),
    ("p99<br>ms", lambda runner, entry: _with_interval(entry.p99_ms, entry.p99_ci95_ms)),
    ("host p50<br>ms", lambda runner, entry: _with_interval(entry.host_p50_ms, None)),
    ("first call<br>ms", lambda runner, entry: _with_interval(entry.first_ms, None)),
]
_BATCHED: list[SpeedColumn] = [
    ("batch", lambda runner, entry: str(entry.batch_size)),
    ("images/s", lambda runner, entry: _with_interval(entry.images_per_second, None)),
    ("time of a batch<br>ms", lambda runner, entry: _with_interval(entry.p50_ms, entry.ci95_ms)),
    ("host p50<br>ms", lambda runner, entry: _with_interval(entry.host_p50_ms, None)),
]


def _judgement(result: RunResult) -> list[SpeedColumn]:
    def ratio(runner: TimedModel, entry: Latency) -> str:
        found = runner.against_first(result, entry)
        return _ratio(found) if found else ""

    def verdict(runner: TimedModel, entry: Latency) -> str:
        found = runner.against_first(result, entry)
        return _verdict(found) if found else ""

    return [("against the first", ratio), ("verdict", verdict)]


def _ratio(found: Comparison) -> str:
    if found.value is None:
        return ""
    bounds = "" if found.low is None or found.high is None else f" ({_close(found.low)} to {_close(found.high)})"
    return f"×{_close(found.value)}{bounds}"


def _close(ratio: float) -> str:
    """A ratio with decimals enough to tell an interval from one.

    >>> _close(0.36851), _close(1.0042), _close(12.41)
    ('0.369', '1.004', '12.4')
    """
    return f"{ratio:.3f}" if ratio < 10 else wording.significant(ratio)


def _verdict(found: Comparison) -> str:
    return f"{found.verdict}: {found.reason}" if found.reason else found.verdict


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
    return f"![{_CAPTION}]({_CHART}.svg)\n\n<sub>{_CAPTION}.</sub>"


def _pairs(found: Sequence[Comparison]) -> str:
    """All pairs, corrected for being many."""
    told = [pair for pair in found if pair.value is not None]
    if not told:
        return ""
    rows = [
        [
            markdown(_side(pair.subject, pair.subject_backend)),
            markdown(_side(pair.baseline, pair.baseline_backend)),
            f"{wording.size(pair.context.get('input_size') or ())}, batch {pair.context.get('batch_size')}",
            _ratio(pair),
            wording.NOT_MEASURED if pair.p_adjusted is None else f"{pair.p_adjusted:.3f}",
            pair.verdict,
        ]
        for pair in told[:_MOST_PAIRS]
    ]
    left = len(told) - len(rows)
    more = f"\n\n{wording.counted(left, 'further pair')} in run.json." if left else ""
    note = "Ratio of times (of images per second for whole batches); p values corrected for the number of pairs by Holm's method."
    table = grid(["first", "second", "input", "ratio", "p, corrected", "verdict"], rows, ["left", "left", "left"])
    return folded("All pairs", f"{note}\n\n{table}{more}")


def _side(model: str, backend: str | None) -> str:
    return model if backend in (None, "eager") else f"{model} ({backend})"
