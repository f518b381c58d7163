"""``--fail-on "miou < -0.5pt, latency > 5%"``: conditions, parsed and checked against a comparison.

A condition fails for a row only where the whole interval of its change lies beyond the threshold; what merely might lie there does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segbench.errors import ConfigError, did_you_mean
from segbench.results.metrics import METRICS, Metric
from segbench.results.run_comparison import Change, Gate, GateClause

EXAMPLE = '--fail-on "miou < -0.5pt, latency > 5%, params > 0.1M"'

_CLAUSE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<sign>[<>])(?P<equal>=?)\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(?P<unit>[A-Za-z%]*)"
)


@dataclass(frozen=True)
class Clause:
    """One condition; ``amount`` is the threshold in the unit of the metric's values, or a share where ``relative``."""

    text: str
    quantity: str
    worse: str
    amount: float
    relative: bool
    is_score: bool = False

    def margin(self, row: Change, usual: float) -> float:
        """The margin of a row that this condition is about: no wider than the threshold, so that verdict and gate agree."""
        if self.is_score or row.exact:
            return usual
        share = abs(self.amount) if self.relative else abs(self.amount / row.baseline) if row.baseline else usual
        return min(usual, share)

    def is_beyond(self, row: Change) -> bool:
        """True where the whole interval of the row's change lies beyond the threshold."""
        if row.low is None or row.high is None:
            return False
        ends = [self._as_threshold(end, row) for end in (row.low, row.high)]
        return max(ends) < self.amount if self.worse == "<" else min(ends) > self.amount

    def _as_threshold(self, change: float, row: Change) -> float:
        if row.reading == "difference":
            return change
        return change - 1 if self.relative else (change - 1) * (row.baseline or 0.0)


def parse_gate(text: str) -> list[Clause]:
    """Read conditions separated by commas. Raises :class:`ConfigError` that says what is wrong, with an example.

    >>> [(c.quantity, c.worse, c.amount, c.relative) for c in parse_gate("miou < -0.5pt, latency > 5%")]
    [('miou', '<', -0.005, False), ('latency', '>', 0.05, True)]
    """
    clauses = [_clause(part.strip()) for part in text.split(",")]
    named = [clause.quantity for clause in clauses]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice:
        raise ConfigError(f"--fail-on names '{twice}' twice. Give one condition for each quantity, as in {EXAMPLE}.")
    return clauses


def check(clauses: Sequence[Clause], rows: Iterable[Change], *, strict: bool) -> Gate:
    """Check every condition on the rows of its quantity; ``strict`` counts what cannot be told as not met."""
    rows = list(rows)
    judged = [_judge(clause, [row for row in rows if row.quantity == clause.quantity]) for clause in clauses]
    bad = {"not met", "cannot tell"} if strict else {"not met"}
    return Gate(strict=strict, clauses=judged, passed=not any(clause.outcome in bad for clause in judged))


def _judge(clause: Clause, rows: Sequence[Change]) -> GateClause:
    failed = [row.subject for row in rows if row.verdict == "regressed" and clause.is_beyond(row)]
    undecided = [f"{row.subject}: {row.reason}" for row in rows if row.verdict == "cannot tell"]
    if not rows:
        undecided = [f"{clause.quantity} was not measured in both runs"]
    outcome = "not met" if failed else "cannot tell" if undecided else "met"
    return GateClause.model_validate(
        {"text": clause.text, "quantity": clause.quantity, "outcome": outcome, "failed": failed, "undecided": undecided}
    )


def _clause(text: str) -> Clause:
    match = _CLAUSE.fullmatch(text)
    if not match:
        raise ConfigError(f"--fail-on: cannot read '{text}'. Write a quantity, < or >, and a signed number with its unit: {EXAMPLE}.")
    metric = _metric(match["name"])
    if match["equal"]:
        raise ConfigError(f"--fail-on: write < or > in '{text}': an interval is beyond a threshold or it is not.")
    name, unit, units = metric.change_name, match["unit"], metric.threshold_units
    if unit not in units:
        able = " or ".join(f"'{known}'" if known else "none" for known in units)
        points = " (a change of a score is told in points)" if metric.is_score and metric.unit == "%" else ""
        raise ConfigError(f"--fail-on: '{text}' has the unit '{unit or 'none'}'; {name} takes {able}{points}. For example: {EXAMPLE}.")
    worse = "<" if metric.better == "higher" else ">"
    amount = float(match["number"]) * units[unit]
    if match["sign"] != worse or (amount > 0 if worse == "<" else amount < 0):
        sign, direction = ("-", "less") if worse == "<" else ("", "more")
        right = f"{name} {worse} {sign}{match['number'].lstrip('+-')}{unit}"
        raise ConfigError(f"--fail-on: '{text}' would fail on what is no regression: {direction} {name} is worse. Write '{right}'.")
    return Clause(text, name, worse, amount, relative=unit == "%", is_score=metric.is_score)


def _metric(name: str) -> Metric:
    metric = METRICS.get(name.lower())
    if metric is None or metric.change is None:
        known = [each.change_name for each in METRICS.changes]
        raise ConfigError(f"--fail-on: unknown quantity '{name}'.{did_you_mean(name.lower(), known)} Known: {', '.join(known)}.")
    return metric
