"""A change in words: values with their units, the change, its noise, and the line that says it all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segbench import METRICS, Change, RunComparison, RunDifference
from segbench_reports.text import numbers as wording
from segbench_reports.view.cells import finite

VERDICTS = ("regressed", "improved", "no difference shown", "cannot tell")


def title(row: Change) -> str:
    """The quantity as a table names it.

    >>> title(Change(model="a", baseline_model="a", quantity="headline_iou", context={"class": "crack"}))
    'IoU crack'
    """
    name = _title(row.quantity)
    told = [str(row.context[key]) for key in ("class", "input_size") if row.context.get(key)]
    told += [f"batch {row.context['batch_size']}"] if row.context.get("batch_size") else []
    return " ".join([name, *told])


def value(row: Change, number: float | None) -> str:
    """A value with its unit.

    >>> row = Change(model="a", baseline_model="a", quantity="params")
    >>> value(row, 2.52e6), value(row, None)
    ('2.52 M', '–')
    """
    number = finite(number)
    if number is None:
        return wording.NOT_MEASURED
    if row.unit == "share":
        return f"{wording.percent(number)} %"
    if row.quantity in METRICS and METRICS[row.quantity].scale < 1:
        return _counted(number, giga=METRICS[row.quantity].unit == "G")
    return " ".join([wording.significant(number), *([row.unit] if row.unit else [])])


def change(row: Change) -> str:
    """The change in points, or in per cent of the baseline.

    >>> change(Change(model="a", baseline_model="a", quantity="latency", change=1.153))
    '+15.3 %'
    """
    number = finite(row.change)
    if number is None:
        return ""
    if row.reading == "difference":
        return f"{wording.points(number)} pt"
    return f"{_signed(number - 1, small=row.exact)} %"


def noise(row: Change) -> str:
    """The interval, or that there is no noise."""
    if row.exact:
        return "exact"
    low, high = finite(row.low), finite(row.high)
    if low is None or high is None:
        return ""
    if row.reading == "difference":
        return f"{wording.points(low)} to {wording.points(high)} pt"
    return f"{_signed(low - 1)} to {_signed(high - 1)} %"


def counts(found: RunComparison) -> str:
    """How many rows of which verdict, the bad ones first."""
    told = {
        "regressed": "{} regressed",
        "improved": "{} improved",
        "no difference shown": "{} without a shown difference",
        "cannot tell": "{} cannot be told",
    }
    return ", ".join(told[name].format(found.counts[name]) for name in VERDICTS if found.counts.get(name)) or "nothing to compare"


def gate(found: RunComparison) -> str:
    """What the gate says, in one sentence; empty where there was none."""
    if found.gate is None:
        return ""
    if not found.gate.passed:
        failed = [clause for clause in found.gate.clauses if clause.outcome == "not met"]
        if failed:
            told = [f"{clause.text} ({', '.join(clause.failed[:3])}{_rest(clause.failed, 3)})" for clause in failed]
            return f"Gate not met: {'; '.join(told)}"
        return f"Gate not met: cannot tell about {', '.join(c.text for c in found.gate.clauses if c.outcome == 'cannot tell')} (--strict)"
    unknown = [clause.text for clause in found.gate.clauses if clause.outcome == "cannot tell"]
    told = [clause.text for clause in found.gate.clauses if clause.outcome == "met"]
    if unknown:
        rest = f"; no regression shown by {', '.join(told)}" if told else ""
        return f"Gate passed, but it could not judge {', '.join(unknown)}{rest}"
    return f"Gate passed: no regression shown by {', '.join(told)}"


def undecided(found: RunComparison) -> list[str]:
    """Why conditions could not be judged, each once."""
    reasons = [f"{clause.text}: {why}" for clause in (found.gate.clauses if found.gate else []) for why in clause.undecided]
    return list(dict.fromkeys(reasons))


def missing(found: RunComparison) -> list[str]:
    """What was not compared, and what did not go well."""
    told = list(found.notes)
    for names, which in ((found.only_in_baseline, "baseline"), (found.only_in_new, "new run")):
        if names:
            told.append(f"in the {which} only: {'; '.join(names[:5])}{_rest(names, 5)}")
    return told


def differences(found: RunComparison) -> list[str]:
    """What else the runs differ in, each with what it matters for."""
    return [_difference(each) for each in found.differences]


def reasons(rows: Iterable[Change]) -> list[tuple[str, list[str]]]:
    """Each reason and note once, with the rows that it belongs to."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in (row.reason, *row.notes):
            if text:
                found.setdefault(text, []).append(f"{title(row)} of {row.subject}")
    return list(found.items())


def methods(rows: Iterable[Change]) -> list[str]:
    """How the intervals were made, each once, with the quantities."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.method and not row.exact:
            scope = f"; about {row.scope}" if row.scope else ""
            found.setdefault(f"{row.method}{scope}", []).append(_title(row.quantity))
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in found.items()]


def meaning(found: RunComparison) -> str:
    """What the verdicts mean."""
    return (
        "regressed and improved: the whole 95 % interval of the change lies beyond the margin "
        f"({100 * found.margin:g} % for latency, throughput and memory, none for scores; counts are exact). "
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
        return f"{wording.significant(number / 1e9)} G"
    return f"{wording.significant(number / 1e6)} M" if number >= 1e5 else f"{number:.0f}"


def _rest(names: Sequence[str], most: int) -> str:
    return f" and {len(names) - most} more" if len(names) > most else ""


def _difference(found: RunDifference) -> str:
    matters = f" (matters for {wording.listed(found.concerns)})" if found.concerns else ""
    return f"{found.what}: {found.baseline} → {found.new}{matters}"


def _signed(share: float, *, small: bool = False) -> str:
    number = 100 * share
    digits = 3 if small and 0 < abs(number) < 0.05 else 1
    text = f"{abs(number):.{digits}f}"
    if not float(text):
        return "±0.0" if number == 0 or not small else f"{'+' if number > 0 else wording.MINUS}<0.001"
    return f"{'+' if number > 0 else wording.MINUS}{text}"
