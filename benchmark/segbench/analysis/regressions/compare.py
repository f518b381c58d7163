"""compare_runs(): every quantity of every model that two results share, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segbench.analysis.regressions.counts import count_rows
from segbench.analysis.regressions.environment import environment_differences
from segbench.analysis.regressions.gate import Clause, check
from segbench.analysis.regressions.latency import Key, Retimed, latency_rows, throughput_rows
from segbench.analysis.regressions.memory import memory_rows
from segbench.analysis.regressions.pairing import NetworkPair, Pairing, match, networks_of
from segbench.analysis.regressions.quality import quality_rows
from segbench.analysis.regressions.verdicts import DEFAULT_MARGIN, judged
from segbench.results.records import RunResult
from segbench.results.run_comparison import Change, RunComparison, RunSide


@dataclass(frozen=True)
class Run:
    """A result, the folder that it lies in, and what the user calls it."""

    name: str
    result: RunResult
    directory: Path


def compare_runs(
    baseline: Run,
    new: Run,
    *,
    renamed: Mapping[str, str] | None = None,
    margin: float = DEFAULT_MARGIN,
    across_settings: bool = False,
    retimed: Mapping[Key, Retimed] | None = None,
    clauses: Sequence[Clause] = (),
    strict: bool = False,
    pairing: Pairing | None = None,
) -> RunComparison:
    """Compare two runs; nothing is timed here: ``retimed`` has what was raced again.

    Raises :class:`ConfigError` where they have no cell in common.
    """
    paired = pairing or match(baseline.result, new.result, renamed)
    networks = networks_of(paired.pairs)
    directories = (baseline.directory, new.directory)
    scored = list(quality_rows(paired.pairs, directories, across_settings=across_settings))
    rows = [*_in_order(scored, networks, _cost_rows(networks, (baseline.result, new.result), retimed or {}, margin))]
    rows = [_with_margin(row, clauses) for row in rows]
    return RunComparison(
        baseline=_side(baseline),
        new=_side(new),
        margin=margin,
        rows=rows,
        gate=check(clauses, rows, strict=strict) if clauses else None,
        differences=list(environment_differences(baseline.result, new.result)),
        only_in_baseline=list(paired.only_in_baseline),
        only_in_new=list(paired.only_in_new),
        notes=[*paired.notes, *_unfinished(baseline, "baseline"), *_unfinished(new, "new run"), *_fell(paired)],
    )


def _cost_rows(
    networks: Sequence[NetworkPair], runs: tuple[RunResult, RunResult], retimed: Mapping[Key, Retimed], margin: float
) -> dict[int, list[Change]]:
    return {
        id(network): [
            *count_rows(network),
            *latency_rows(network, runs, retimed, margin),
            *throughput_rows(network, runs, margin),
            *memory_rows(network, margin),
        ]
        for network in networks
    }


def _in_order(scored: Sequence[Change], networks: Sequence[NetworkPair], costs: Mapping[int, Sequence[Change]]) -> Iterator[Change]:
    """Model by model: scores first."""
    models = [row.model for row in scored] + [network.new.model for network in networks]
    by_subject: dict[str, dict[str, list[Change]]] = {}
    for row in scored:
        by_subject.setdefault(row.model, {}).setdefault(row.subject, []).append(row)
    for model in dict.fromkeys(models):
        yield from (row for rows in by_subject.get(model, {}).values() for row in rows)
        for network in networks:
            if network.new.model == model:
                yield from costs[id(network)]


def _with_margin(row: Change, clauses: Sequence[Clause]) -> Change:
    """A condition with a threshold below the margin asks for a finer verdict."""
    clause = next((each for each in clauses if each.quantity == row.quantity), None)
    margin = clause.margin(row, row.margin) if clause else row.margin
    if margin == row.margin or row.low is None:
        return row
    return judged(row.model_copy(update={"margin": margin, "reason": ""}))


def _side(run: Run) -> RunSide:
    result, environment = run.result, run.result.environment
    named = {"cpu": environment.cpu, "gpu": ", ".join(environment.gpu), "torch": environment.packages.get("torch")}
    return RunSide(
        name=run.name,
        started=environment.started,
        segbench=environment.segbench,
        complete=result.complete,
        cells=len(result.cells),
        failed=[cell.id for cell in result.cells if cell.status == "failed"],
        dataset=result.task.dataset,
        machine={key: value for key, value in named.items() if value},
        models=list(dict.fromkeys(cell.model for cell in result.cells)),
    )


def _unfinished(run: Run, which: str) -> Iterator[str]:
    if not run.result.complete:
        done = sum(cell.status == "ok" for cell in run.result.cells)
        yield f"the {which} is not finished: {done} of {len(run.result.cells)} of its cells are done, and compared as far as they go"
    yield from (warning for warning in run.result.warnings if warning.startswith("run.json was missing or damaged"))


def _fell(paired: Pairing) -> Iterator[str]:
    """Cells that went well in the baseline and failed in the new run."""
    for pair in paired.pairs:
        for seed, cell in pair.new.cells.items():
            before = pair.baseline.cells.get(seed)
            if cell.status == "failed" and before is not None and before.status == "ok":
                why = f": {cell.error.message}" if cell.error else ""
                yield f"failed in the new run, not in the baseline: {cell.id}{why}"
