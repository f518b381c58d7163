"""Results of ``segbench compare`` as data (schema version 1): each quantity of each matched model, with its noise and a verdict."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from pydantic import Field

from segbench.results.records import Record

COMPARISON_SCHEMA = 1

Outcome = Literal["regressed", "improved", "no difference shown", "cannot tell"]


class Change(Record):
    """One quantity of one model in both runs.

    ``baseline`` and ``new`` are the values (scores as shares, sizes in MB, times in ms). ``change`` is ``new - baseline`` where ``reading``
    is ``difference`` (scores), else ``new / baseline``; ``low`` and ``high`` bound it with 95 % confidence, and equal it where ``exact``.
    ``margin`` is what the interval must lie beyond before a verdict says more than ``no difference shown``, in the unit of ``change``
    (a difference, or a share by which a ratio is off one). ``reason`` says why nothing can be told, or what is not excluded.
    """

    model: str
    baseline_model: str
    quantity: str
    form: str | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    unit: str = ""
    better: Literal["higher", "lower"] = "lower"
    reading: Literal["difference", "ratio"] = "ratio"
    baseline: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    exact: bool = False
    margin: float = 0.0
    verdict: Outcome = "cannot tell"
    reason: str = ""
    method: str = ""
    scope: str = ""
    n: int | None = None
    notes: list[str] = Field(default_factory=list)
    baseline_cells: list[str] = Field(default_factory=list)
    cells: list[str] = Field(default_factory=list)

    @property
    def subject(self) -> str:
        """The compared model in plain text: its name, its form, and the settings that tell it from others.

        >>> Change(model="b", baseline_model="a", quantity="miou", context={"loss": "ce"}).subject
        'a -> b | ce'
        """
        model = self.model if self.model == self.baseline_model else f"{self.baseline_model} -> {self.model}"
        form = f" ({self.form})" if self.form not in (None, "eager") else ""
        parts = [str(self.context[key]) for key in ("loss", "recipe") if self.context.get(key)]
        parts += [f"{key}={value}" for key, value in (self.context.get("settings") or {}).items()]
        return " | ".join([f"{model}{form}", *parts])


class RunSide(Record):
    """One of the two runs; ``name`` is what the user called it, without folders of the machine."""

    name: str
    started: str | None = None
    segbench: str | None = None
    complete: bool = True
    cells: int = 0
    failed: list[str] = Field(default_factory=list)
    dataset: str | None = None
    machine: dict[str, str] = Field(default_factory=dict)
    models: list[str] = Field(default_factory=list)


class RunDifference(Record):
    """Something in which the runs or two of their cells differ beside the code; ``concerns`` names quantities that it matters for."""

    what: str
    baseline: str
    new: str
    concerns: list[str] = Field(default_factory=list)


class GateClause(Record):
    """One condition of ``--fail-on`` and what became of it; ``failed`` and ``undecided`` name rows."""

    text: str
    quantity: str
    outcome: Literal["met", "not met", "cannot tell"]
    failed: list[str] = Field(default_factory=list)
    undecided: list[str] = Field(default_factory=list)


class Gate(Record):
    """All conditions; ``passed`` is what the exit code says."""

    strict: bool = False
    passed: bool = True
    clauses: list[GateClause] = Field(default_factory=list)


class RunComparison(Record):
    """The comparison of two runs."""

    schema_version: int = COMPARISON_SCHEMA
    baseline: RunSide
    new: RunSide
    margin: float
    rows: list[Change] = Field(default_factory=list)
    gate: Gate | None = None
    differences: list[RunDifference] = Field(default_factory=list)
    only_in_baseline: list[str] = Field(default_factory=list)
    only_in_new: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of rows by verdict."""
        return dict(Counter(row.verdict for row in self.rows))
