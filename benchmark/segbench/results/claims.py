"""Published claims, each with one verdict over all rows of ``run.json`` that test it.

A claim has several rows where cells or deployments under different conditions test it, each by itself (INT8 in two backends, latency of two
losses), and where its wording can be read in several ways ("30-40 % faster": less time, more speed). Tables show every row; counts,
sentences and the claim's own verdict come from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from segbench.results.records import RunResult, Verdict

ClaimVerdict = Literal["broken", "depends", "cannot tell", "kept", "kept (exceeded)", "not tested here"]

VERDICTS: tuple[ClaimVerdict, ...] = ("broken", "depends", "cannot tell", "kept", "kept (exceeded)", "not tested here")
"""In the order in which reports show them."""

_UNTESTED: Final = "not tested here"
_MOST_KEYS = 3
_AXES = {"backend": "form", "precision": "form", "image_size": "training size", "threads": "number of threads", "images": "scored images"}
_PLAIN_VALUES = ("backend", "precision", "device", "input_size", "split", "loss", "recipe", "dataset")


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its rows and its one verdict; ``differs`` are the circumstances in which tested rows of one reading differ.

    ``name`` is that of its first reading.
    """

    name: str
    rows: tuple[Verdict, ...]
    verdict: ClaimVerdict
    differs: tuple[str, ...] = ()

    @property
    def tested(self) -> bool:
        """True where at least one row judges it."""
        return self.verdict != _UNTESTED

    @property
    def words(self) -> str:
        """The verdict as reports print it: ``kept``, ``depends on the form``, ``broken (of this reconstruction)``.

        It names the readings where it is not that of all of them: ``depends on the reading: less time or more speed``, ``kept, read as less
        time``.
        """
        if not self.tested:
            return self.verdict
        verdict: str = self._dependence() if self.verdict == "depends" else self.verdict
        tested = _readings(row for row in self.rows if row.verdict != _UNTESTED)
        if self.verdict != "depends" and len(tested) < len(_readings(self.rows)):
            verdict += f", read as {' or '.join(tested)}"
        return _with_reconstruction(verdict, self.rows)

    @property
    def shown(self) -> tuple[Verdict, ...]:
        """The rows that reports print: those that test it, and untested ones of its other readings. None where nothing tests it."""
        tested = _readings(row for row in self.rows if row.verdict != _UNTESTED)
        return tuple(row for row in self.rows if self.tested and (row.verdict != _UNTESTED or _reading(row) not in tested))

    def label(self, row: Verdict) -> str:
        """What distinguishes one row from the claim's others: ``onnxruntime, int8``, ``read as less time``."""
        values = [f"read as {_reading(row)}"] if len(_readings(self.rows)) > 1 else []
        values += [_value(key, row.circumstances[key]) for key in self.differs if row.circumstances.get(key) is not None]
        return ", ".join(values) or f"reading {1 + next(i for i, other in enumerate(self.rows) if other is row)}"

    def _dependence(self) -> str:
        """What it depends on: circumstances where rows of one reading contradict each other, the reading where readings differ."""
        by_reading = _readings(row for row in self.rows if row.verdict != _UNTESTED)
        verdicts = [_verdict_over(rows) for rows in by_reading.values()]
        axes = [_axes(self.differs)] if "depends" in verdicts else []
        if len(set(verdicts)) > 1 or not axes:
            axes.append(f"reading: {' or '.join(by_reading)}")
        return f"depends on the {' and the '.join(axes)}"


def judged_claims(verdicts: Iterable[Verdict]) -> list[JudgedClaim]:
    """Claims in the order of their first rows.

    The verdict is that of the rows where they agree; ``kept`` where some keep and others exceed it; ``depends`` where it is kept in one row
    and broken in another; ``cannot tell`` where one row cannot be told and the others do not contradict each other.
    """
    rows: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        rows.setdefault(_claim_name(verdict), []).append(verdict)
    return [_judged(name, tuple(group)) for name, group in rows.items()]


def claims_of_run(result: RunResult) -> list[JudgedClaim]:
    """Claims about the models of this run, under any of their options; claims about other models are left out."""
    models = {cell.model.partition("[")[0] for cell in result.cells}
    return judged_claims(v for v in result.claims if v.subject is None or _model(v.subject) in models)


def claims_tested(result: RunResult) -> list[JudgedClaim]:
    """Claims that this run tests: broken ones first, then those that depend or cannot be told, then those that are kept."""
    return sorted((claim for claim in claims_of_run(result) if claim.tested), key=lambda claim: VERDICTS.index(claim.verdict))


def count_verdicts(claims: Iterable[JudgedClaim]) -> Counter[ClaimVerdict]:
    """How many claims have which verdict; what exceeds a claim keeps it."""
    return Counter("kept" if claim.verdict == "kept (exceeded)" else claim.verdict for claim in claims)


def row_words(row: Verdict) -> str:
    """The verdict of one row as reports print it; behind it why the measurement cannot tell, or why it is not tested."""
    if row.verdict == _UNTESTED:
        return f"{row.verdict}: {row.missing}" if row.missing else row.verdict
    words = _with_reconstruction(row.verdict, [row])
    return f"{words}: {row.missing}" if row.verdict == "cannot tell" and row.missing else words


def with_claim_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same rows, each with the one verdict of its claim beside its own."""
    words = {claim.name: claim.words for claim in judged_claims(verdicts)}
    return [verdict.model_copy(update={"claim_verdict": words[_claim_name(verdict)]}) for verdict in verdicts]


def _claim_name(row: Verdict) -> str:
    return row.reading_of or row.claim


def _judged(name: str, rows: tuple[Verdict, ...]) -> JudgedClaim:
    tested = [row for row in rows if row.verdict != _UNTESTED]
    keys = dict.fromkeys(key for row in tested for key in row.circumstances)
    alike = _readings(tested).values()
    differs = tuple(key for key in keys if any(len({repr(row.circumstances.get(key)) for row in group}) > 1 for group in alike))
    return JudgedClaim(name, rows, _verdict_over(tested), differs)


def _readings(rows: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Rows by the way in which they read the claim; one group for a claim that can be read in one way only."""
    groups: dict[str, list[Verdict]] = {}
    for row in rows:
        groups.setdefault(_reading(row), []).append(row)
    return groups


def _reading(row: Verdict) -> str:
    return row.read_as or "it stands"


def _verdict_over(tested: Sequence[Verdict]) -> ClaimVerdict:
    if not tested:
        return _UNTESTED
    outcomes: set[ClaimVerdict] = {row.verdict for row in tested}
    if len(outcomes) == 1:
        return outcomes.pop()
    kept = bool(outcomes & {"kept", "kept (exceeded)"})
    if kept and "broken" in outcomes:
        return "depends"
    return "cannot tell" if "cannot tell" in outcomes else "kept"


def _with_reconstruction(words: str, rows: Iterable[Verdict]) -> str:
    return f"{words} (of this reconstruction)" if any(row.reconstruction for row in rows) else words


def _axes(keys: Sequence[str]) -> str:
    names = list(dict.fromkeys(_AXES.get(key, key.replace("_", " ")) for key in keys))
    return " and the ".join(names) if 0 < len(names) <= _MOST_KEYS else "conditions"


def _value(key: str, value: Any) -> str:
    return str(value) if key in _PLAIN_VALUES else f"{key.replace('_', ' ')} {value}"


def _model(subject: str) -> str:
    return subject.partition("|")[0].partition("[")[0].strip()
