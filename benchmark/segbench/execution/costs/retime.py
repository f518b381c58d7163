"""Race both runs' artifacts against each other again: the one way in which two times are comparable without further ado.

An artifact is a trained checkpoint, or the file that a backend exported. A checkpoint holds weights, not code: its network is built by the
code that is installed now. Where that is another code than the run's, a race would compare today's code with itself, so that nothing is
raced unless it is asked for in so many words. A file holds the whole computation and is always raced as it was.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.analysis.regressions.compare import Run
from segbench.analysis.regressions.latency import Key, Retimed, timings
from segbench.analysis.regressions.pairing import NetworkPair
from segbench.analysis.regressions.verdicts import DEFAULT_MARGIN
from segbench.analysis.statistics.timing import ratio_of
from segbench.config.settings import Settings
from segbench.data.selection import SYNTHETIC
from segbench.errors import SegbenchError
from segbench.plugin.choice import format_value
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.records import CellResult, Latency

if TYPE_CHECKING:
    from segbench.execution.events import Listener
    from segbench.execution.workers import Worker, Workers
    from segbench.measure.contender import Contender
    from segbench.plugin.registry import Catalog

Pair = tuple["Contender", "Contender"]
"""The baseline's and the new one."""

ROUNDS = 30
_LEAST_LEGS, _MOST_LEGS = 5, 20
NO_CHECKPOINT = "there is no checkpoint of {} to race it again"


@dataclass(frozen=True)
class Artifact:
    """One side of a race: the job of its process, or why there is none. ``code`` says that it is built by other code than the run's."""

    job: Mapping[str, Any]
    error: str = ""
    code: str = ""


def retime(
    networks: Sequence[NetworkPair],
    baseline: Run,
    new: Run,
    *,
    catalog: Catalog,
    listener: Listener,
    forced: bool = False,
    rounds: int = ROUNDS,
    threads: int | None = None,
    margin: float = DEFAULT_MARGIN,
) -> dict[Key, Retimed]:
    """Race every network in every form that both runs timed; what cannot be raced has its reason.

    ``forced`` races checkpoints also where the code of their model is another one now, and says so beside the figure. Nothing is imported
    or started where no artifact is there.
    """
    found: dict[Key, Retimed] = {}
    ready: list[tuple[Key, Artifact, Artifact, Latency]] = []
    for network in networks:
        for form in network.forms:
            entry = _timed(network, form)
            if entry is None:
                continue
            key = (network.key, form)
            why = _absent(network, form, baseline, new)
            if why:
                found[key] = Retimed(error=why)
                continue
            sides = [_artifact(cell, form, run, catalog, entry) for cell, run in ((network.baseline, baseline), (network.new, new))]
            found[key] = _refused(sides, forced=forced)
            if not found[key].error:
                ready.append((key, sides[0], sides[1], entry))
    if ready:
        found |= dict(_races(ready, found, listener=listener, rounds=rounds, threads=threads, margin=margin))
    return found


def _timed(network: NetworkPair, form: str) -> Latency | None:
    """The new run's single calls of this form, where the baseline has some at the same size."""
    old, new = deployment_of(network.baseline, form), deployment_of(network.new, form)
    if old is None or new is None:
        return None
    shared = timings(old, new)
    if form == EAGER or not shared:
        return shared[0][1] if shared else None
    # a file is made for one size
    return next((entry for _, entry in shared if old.fixed_size == new.fixed_size == entry.input_size), shared[0][1])


def _absent(network: NetworkPair, form: str, baseline: Run, new: Run) -> str:
    """Which artifact is not there; looked up without torch."""
    missing = [
        which
        for which, cell, run in (("the baseline", network.baseline, baseline), ("the new run", network.new, new))
        if not _path(cell, form, run.directory)
    ]
    if not missing:
        return ""
    return NO_CHECKPOINT.format(" and of ".join(missing)) if form == EAGER else f"there is no exported file of {' and of '.join(missing)}"


def _path(cell: CellResult, form: str, directory: Path) -> Path | None:
    deployment = deployment_of(cell, form)
    if form == EAGER:
        path = directory / (cell.artifacts.best or f"checkpoints/{cell.id}/best.pt")
    elif deployment is not None and deployment.artifact is not None:
        path = directory / deployment.artifact
    else:
        return None
    return path if path.exists() else None


def _artifact(cell: CellResult, form: str, run: Run, catalog: Catalog, entry: Latency) -> Artifact:
    from segbench.execution.costs.contender_process import file_key
    from segbench.networks.checkpoint_meta import read_meta
    from segbench.networks.load import recorded_model

    path = _path(cell, form, run.directory)
    assert path is not None
    meta: Mapping[str, Any] = {}
    checkpoint = _path(cell, EAGER, run.directory)
    try:
        if checkpoint is not None:
            meta = read_meta(checkpoint)
            model = recorded_model(meta, catalog)
            inputs, classes = meta["task"]["inputs"], len(meta["task"]["class_names"])
        else:
            model = catalog.model(cell.model)
            inputs, classes = run.result.task["inputs"], int(run.result.task["num_classes"])
    except (SegbenchError, KeyError) as error:
        return Artifact({}, error=f"{run.name}: {error}")
    now, then = model.code.identity, str(meta.get("model_plugin", ""))
    job = {
        "cell": cell.id,
        "model": model.choice.name,
        "model_options": model.options.values(),
        "model_parts": model.parts_record() or None,
        "loss": None,
        "dataset": f"{SYNTHETIC}[inputs={format_value(tuple(f'{k}={v}' for k, v in inputs.items()))},num_classes={classes}]",
        "root": None,
        "settings": _settings(entry),
        "seed": 0,
        "device": entry.device,
        "directory": str(run.directory.absolute()),
        "checkpoint": str(checkpoint.absolute()) if checkpoint else None,
        "backend": form,
        "files": {} if form == EAGER else {file_key(entry.input_size, 1): str(path.absolute())},
    }
    return Artifact(job, code=f"{then} -> {now}" if form == EAGER and then != now else "")


def _settings(entry: Latency) -> dict[str, Any]:
    height, width = entry.input_size
    return Settings.model_validate({"measure": {"input_size": f"{height}x{width}"}}).model_dump()


def _refused(sides: Sequence[Artifact], *, forced: bool) -> Retimed:
    errors = [side.error for side in sides if side.error]
    if errors:
        return Retimed(error=errors[0])
    codes = list(dict.fromkeys(side.code for side in sides if side.code))
    if not codes:
        return Retimed()
    what = f"the model's code is another one now ({', '.join(codes)})"
    if forced:
        return Retimed(notes=(f"{what}: both networks were built by it, so that a change of the code is not in this figure",))
    return Retimed(error=f"{what}: a checkpoint would be raced with today's code on both sides (race it all the same: --retime)")


def _races(
    ready: Sequence[tuple[Key, Artifact, Artifact, Latency]],
    before: Mapping[Key, Retimed],
    *,
    listener: Listener,
    rounds: int,
    threads: int | None,
    margin: float,
) -> Iterator[tuple[Key, Retimed]]:
    from segbench.execution.workers import Workers
    from segbench.measure.environment import describe_environment
    from segbench.util.devices import resolve_device

    machine = describe_environment()
    workers = Workers()
    with tempfile.TemporaryDirectory(prefix="segbench-retime-") as folder:
        for number, (key, old, new, entry) in enumerate(ready, 1):
            told = {"state": "latency", "batch_size": 1, "contenders": 2}
            listener.on("note", None, {"message": f"racing {old.job['cell']} again, in both versions ({number}/{len(ready)}, {key[1]})"})
            listener.on("race", None, told)
            try:
                resolve_device(entry.device)
                timed = _race([old, new], entry, workers=workers, logs=Path(folder), rounds=rounds, threads=threads, margin=margin)
            except (RuntimeError, SegbenchError) as error:
                yield key, Retimed(error=f"could not be raced again: {error}")
                continue
            where = machine.cpu if entry.device == "cpu" else ", ".join(machine.gpu)
            yield key, Retimed(*timed, machine=where or "", notes=before[key].notes)


def _race(
    sides: Sequence[Artifact], entry: Latency, *, workers: Workers, logs: Path, rounds: int, threads: int | None, margin: float
) -> tuple[Latency, Latency]:
    """Both networks, each in a process of its own."""

    @contextlib.contextmanager
    def enter(new_first: bool) -> Iterator[Pair]:
        with contextlib.ExitStack() as stack:
            order = (1, 0) if new_first else (0, 1)
            entered = {i: _enter(stack, workers, ("baseline", "new")[i], sides[i], entry, logs, threads) for i in order}
            yield entered[0], entered[1]

    return race_until_narrow(enter, rounds=rounds, margin=margin)


def race_until_narrow(
    enter: Callable[[bool], AbstractContextManager[Pair]], *, rounds: int = ROUNDS, margin: float = DEFAULT_MARGIN
) -> tuple[Latency, Latency]:
    """The times of two contenders in shuffled rounds: so many in five legs, and further legs until the interval of their ratio reaches no
    further than half the margin on either side, or four times as many rounds are done.

    Each leg starts both anew: two starts of one program differ by a per cent or more by where their memory happens to lie, which more
    rounds of the same start would take for a difference of the networks. Of two or three starts the interval would know too little. They
    take turns in starting first (``enter(new_first)`` gives the baseline and the new one): who comes second finds the memory fuller.

    Rounds are short: what comes and goes on the machine then meets both within a round. When to stop depends on the interval's width only,
    never on where it lies: stopping at the first significant difference would find one where there is none. Raises :class:`RuntimeError`
    where one of them fails.
    """
    from segbench.measure.latency import TimingBudget, joined, race

    pace = TimingBudget(rounds=math.ceil(rounds / _LEAST_LEGS), min_calls=3, min_round_seconds=0.06, lead_in_seconds=0.012)
    legs: list[tuple[Latency, Latency]] = []
    while True:
        with enter(len(legs) % 2 == 1) as contenders:
            raced = race(contenders, seed=len(legs), pace=pace)
        if raced.errors:
            raise RuntimeError("; ".join(f"{name}: {why}" for name, why in raced.errors.items()))
        first, second = (raced.latencies[contender.name] for contender in contenders)
        legs.append((first, second))
        if len(legs) >= _MOST_LEGS or (len(legs) >= _LEAST_LEGS and _is_narrow(legs, margin)):
            return joined([leg[0] for leg in legs]), joined([leg[1] for leg in legs])


def _is_narrow(legs: Sequence[tuple[Latency, Latency]], margin: float) -> bool:
    old, new = ([block for leg in legs for block in leg[side].rounds_ms] for side in (0, 1))
    ratio = ratio_of(new, old, starts=[len(leg[0].rounds_ms) for leg in legs])
    return ratio.low is not None and ratio.high is not None and math.log(ratio.high / ratio.low) <= math.log1p(margin)


def _enter(
    stack: contextlib.ExitStack, workers: Workers, name: str, side: Artifact, entry: Latency, logs: Path, threads: int | None
) -> Contender:
    from segbench.execution.costs.contender_process import RemoteContender
    from segbench.execution.costs.pool import ask, receive
    from segbench.util.devices import usable_cores

    job = {**side.job, "scatter": True, "threads": threads or min(entry.threads or usable_cores(), usable_cores())}
    worker: Worker = workers.start("segbench.execution.costs.contender_process:serve", job, log=logs / f"{name}.log")
    stack.callback(worker.end)
    receive(worker, "ready")
    return RemoteContender(name, lambda command: ask(worker, command), entry.input_size, 1)


__all__ = ["ROUNDS", "race_until_narrow", "retime"]
