"""A change in words: values with their units, the change, its noise, and the line that says it all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench import METRICS, Change, RunComparison, RunDifference
from segbench_reports.text import numbers
from segbench_reports.view.cells import finite

VERDICTS = ("regressed", "improved", "no difference shown", "cannot tell")


def title(row: Change) -> str:
    """The quantity as a table names it.

    >>> title(Change(model="a", baseline_model="a", quantity="headline_iou", context={"class": "crack"}))
    'IoU crack'
    """
    name = _title(row.quantity)
    parts = [str(row.context[key]) for key in ("class", "input_size") if row.context.get(key)]
    parts += [f"batch {row.context['batch_size']}"] if row.context.get("batch_size") else []
    over = str(row.context.get("mean_over") or "")
    parts += [f"over {over.partition(' (')[0]}"] if over and "->" not in over and not over.startswith("all ") else []
    return " ".join([name, *parts])


def value(row: Change, number: float | None) -> str:
    """A value with its unit.

    >>> row = Change(model="a", baseline_model="a", quantity="params")
    >>> value(row, 2.52e6), value(row, None)
    ('2.52 M', '–')
    """
    number = finite(number)
    if number is None:
        return numbers.NOT_MEASURED
    if row.unit == "share":
        return f"{numbers.percent(number)} %"
    if row.quantity in METRICS and METRICS[row.quantity].scale < 1:
        return _counted(number, giga=METRICS[row.quantity].unit == "G")
    return " ".join([numbers.significant(number), *([row.unit] if row.unit else [])])


def change(row: Change) -> str:
    """The change in points, or in per cent of the baseline.

    >>> change(Change(model="a", baseline_model="a", quantity="latency", change=1.153))
    '+15.3 %'
    """
    number = finite(row.change)
    if number is None:
        return ""
    if row.reading == "difference":
        return _score_change(row, number)
    return f"{_signed(number - 1, small=row.exact)} %"


def noise(row: Change) -> str:
    """The interval, or that there is no noise."""
    if row.exact:
        return "exact"
    low, high = finite(row.low), finite(row.high)
    if low is None or high is None:
        return ""
    if row.reading == "difference":
        return f"{_score_change(row, low).removesuffix(' pt')} to {_score_change(row, high)}"
    return f"{_signed(low - 1)} to {_signed(high - 1)} %"


def _score_change(row: Change, number: float) -> str:
    """In points of a share, else in the score's own unit."""
    score = METRICS.get(row.quantity)
    if score is None or score.unit == "%":
        return f"{numbers.points(number)} pt"
    return f"{numbers.difference(number, score.digits)} {row.unit}".rstrip()


def counts(comparison: RunComparison) -> str:
    """Counts of rows by verdict, the bad ones first."""
    phrases = {
        "regressed": "{} regressed",
        "improved": "{} improved",
        "no difference shown": "{} without a shown difference",
        "cannot tell": "{} cannot be told",
    }
    return (
        ", ".join(phrases[name].format(comparison.counts[name]) for name in VERDICTS if comparison.counts.get(name)) or "nothing to compare"
    )


def gate(comparison: RunComparison) -> str:
    """The outcome of the gate in one sentence; empty where there was none."""
    if comparison.gate is None:
        return ""
    if not comparison.gate.passed:
        failed = [clause for clause in comparison.gate.clauses if clause.outcome == "not met"]
        if failed:
            texts = [f"{clause.text} ({', '.join(clause.failed[:3])}{_rest(clause.failed, 3)})" for clause in failed]
            return f"Gate not met: {'; '.join(texts)}"
        return (
            f"Gate not met: cannot tell about {', '.join(c.text for c in comparison.gate.clauses if c.outcome == 'cannot tell')} (--strict)"
        )
    unknown = [clause.text for clause in comparison.gate.clauses if clause.outcome == "cannot tell"]
    met = [clause.text for clause in comparison.gate.clauses if clause.outcome == "met"]
    if unknown:
        rest = f"; no regression shown by {', '.join(met)}" if met else ""
        return f"Gate passed, but it could not judge {', '.join(unknown)}{rest}"
    return f"Gate passed: no regression shown by {', '.join(met)}"


def undecided(comparison: RunComparison) -> list[str]:
    """Reasons why conditions could not be judged, each once."""
    reasons = [f"{clause.text}: {why}" for clause in (comparison.gate.clauses if comparison.gate else []) for why in clause.undecided]
    return list(dict.fromkeys(reasons))


def missing(comparison: RunComparison) -> list[str]:
    """Cells that were not compared, and remarks on what did not go well."""
    lines = list(comparison.notes)
    for names, which in ((comparison.only_in_baseline, "baseline"), (comparison.only_in_new, "new run")):
        if names:
            lines.append(f"in the {which} only: {'; '.join(names[:5])}{_rest(names, 5)}")
    return lines


def differences(comparison: RunComparison) -> list[str]:
    """Further differences of the runs, each with the metrics for which it matters."""
    return [_difference(each) for each in comparison.differences]


def reasons(rows: Iterable[Change]) -> list[tuple[str, list[str]]]:
    """Each reason and note once, with the rows that it belongs to."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        for text in (row.reason, *row.notes):
            if text:
                by_reason.setdefault(text, []).append(f"{title(row)} of {row.subject}")
    return list(by_reason.items())


def methods(rows: Iterable[Change]) -> list[str]:
    """Methods of the intervals, each once, with the metrics."""
    by_method: dict[str, list[str]] = {}
    for row in rows:
        if row.method and not row.exact:
            scope = f"; about {row.scope}" if row.scope else ""
            by_method.setdefault(f"{row.method}{scope}", []).append(_title(row.quantity))
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in by_method.items()]


def means(rows: Iterable[Change]) -> list[str]:
    """The classes that means over classes are taken over, each with the metrics; of both runs where they differ."""
    by_classes: dict[str, list[str]] = {}
    for row in rows:
        if row.context.get("mean_over"):
            by_classes.setdefault(str(row.context["mean_over"]), []).append(_title(row.quantity))
    return [f"{', '.join(dict.fromkeys(names))}: mean over {words}" for words, names in by_classes.items()]


def meaning(comparison: RunComparison) -> str:
    """The meaning of the verdicts."""
    return (
        "regressed and improved: the whole 95 % interval of the change lies beyond the margin "
        f"({100 * comparison.margin:g} % for latency, throughput and memory, none for scores; counts are exact). "
        "No difference shown is not 'equal'."
    )


def several(names: Sequence[str], most: int = 3) -> str:
    """The first few names.

    >>> several(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    return f"{', '.join(names[:most])}{_rest(names, most)}"


def _title(quantity: str) -> str:
    return METRICS[quantity].change_title if quantity in METRICS else quantity


def _counted(number: float, *, giga: bool) -> str:
    if giga and number >= 1e8:
        return f"{numbers.significant(number / 1e9)} G"
    return f"{numbers.significant(number / 1e6)} M" if number >= 1e5 else f"{number:.0f}"


def _rest(names: Sequence[str], most: int) -> str:
    return f" and {len(names) - most} more" if len(names) > most else ""


def _difference(difference: RunDifference) -> str:
    matters = f" (matters for {numbers.listed(difference.concerns)})" if difference.concerns else ""
    return f"{difference.what}: {difference.baseline} → {difference.new}{matters}"


def _signed(share: float, *, small: bool = False) -> str:
    number = 100 * share
    digits = 3 if small and 0 < abs(number) < 0.05 else 1
    text = f"{abs(number):.{digits}f}"
    if not float(text):
        return "±0.0" if number == 0 or not small else f"{'+' if number > 0 else numbers.MINUS}<0.001"
    return f"{'+' if number > 0 else numbers.MINUS}{text}"
