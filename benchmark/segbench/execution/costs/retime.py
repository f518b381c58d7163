"""Race both runs' networks again, side by side: the only way in which two times are comparable as they are.

An artifact is a trained checkpoint, or the file that a backend exported. A checkpoint holds weights, not code: its network is built by the
code that is installed now. Where that is another code than the run's, a race would compare today's code with itself, so that nothing is
raced unless ``--retime`` asks for it. A file holds the whole computation and is always raced as it was.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.analysis.regressions.compare import Run
from segbench.analysis.regressions.latency import Key, Retimed, timings
from segbench.analysis.regressions.pairing import NetworkPair
from segbench.analysis.regressions.verdicts import DEFAULT_MARGIN
from segbench.analysis.statistics.timing import ratio_of
from segbench.config.settings import Settings
from segbench.data.selection import SYNTHETIC
from segbench.errors import SegbenchError
from segbench.execution.events import LatencyStarted, Note
from segbench.execution.jobs import CellJob, ContenderJob
from segbench.plugin.choice import format_value
from segbench.results.deployments import EAGER, deployment_of
from segbench.results.records import CellResult, Latency
from segbench.util.devices import usable_cores

if TYPE_CHECKING:
    from segbench.execution.events import Listener
    from segbench.execution.workers import Workers
    from segbench.measure.contender import Contender
    from segbench.plugin.registry import Catalog

Pair = tuple["Contender", "Contender"]
"""The baseline's and the new one."""

ROUNDS = 30
_LEAST_STARTS, _MOST_STARTS = 5, 20
NO_CHECKPOINT = "there is no checkpoint of {} to race it again"


@dataclass(frozen=True)
class Artifact:
    """One side of a race: the job of its process, or the reason why there is none.

    ``code`` says that the network is built by other code than the run's.
    """

    job: ContenderJob | None = None
    error: str = ""
    code: str = ""


@dataclass(frozen=True)
class _RacePair:
    """The two artifacts of one network and backend, and the new run's times of it."""

    key: Key
    jobs: tuple[ContenderJob, ContenderJob]
    timing: Latency
    notes: tuple[str, ...]


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
    """Race every network through every backend that both runs timed; what cannot be raced has its reason.

    ``forced`` races checkpoints also where the code of their model is another one now, and says so beside the figure. Nothing is imported
    or started where no artifact exists.
    """
    retimed: dict[Key, Retimed] = {}
    pairs: list[_RacePair] = []
    for network in networks:
        for backend in network.forms:
            timing = _timed(network, backend)
            if timing is None:
                continue
            key = (network.key, backend)
            missing = _absent(network, backend, baseline, new)
            if missing:
                retimed[key] = Retimed(error=missing)
                continue
            old_side = _artifact(network.baseline, backend, baseline, catalog, timing)
            new_side = _artifact(network.new, backend, new, catalog, timing)
            retimed[key] = _refused((old_side, new_side), forced=forced)
            if old_side.job is not None and new_side.job is not None and not retimed[key].error:
                pairs.append(_RacePair(key, (old_side.job, new_side.job), timing, tuple(retimed[key].notes)))
    if pairs:
        retimed |= dict(_races(pairs, listener=listener, rounds=rounds, threads=threads, margin=margin))
    return retimed


def _timed(network: NetworkPair, backend: str) -> Latency | None:
    """The new run's single calls through this backend, where the baseline has some at the same size."""
    old, new = deployment_of(network.baseline, backend), deployment_of(network.new, backend)
    if old is None or new is None:
        return None
    shared = timings(old, new)
    if backend == EAGER or not shared:
        return shared[0][1] if shared else None
    # a file is made for one size
    return next((timing for _, timing in shared if old.fixed_size == new.fixed_size == timing.input_size), shared[0][1])


def _absent(network: NetworkPair, backend: str, baseline: Run, new: Run) -> str:
    """The reason why an artifact is missing, looked up without torch; empty where both exist."""
    missing = [
        side
        for side, cell, run in (("the baseline", network.baseline, baseline), ("the new run", network.new, new))
        if not _path(cell, backend, run.directory)
    ]
    if not missing:
        return ""
    sides = " and of ".join(missing)
    return NO_CHECKPOINT.format(sides) if backend == EAGER else f"there is no exported file of {sides}"


def _path(cell: CellResult, backend: str, directory: Path) -> Path | None:
    deployment = deployment_of(cell, backend)
    if backend == EAGER:
        path = directory / (cell.artifacts.best or f"checkpoints/{cell.id}/best.pt")
    elif deployment is not None and deployment.artifact is not None:
        path = directory / deployment.artifact
    else:
        return None
    return path if path.exists() else None


def _artifact(cell: CellResult, backend: str, run: Run, catalog: Catalog, timing: Latency) -> Artifact:
    from segbench.execution.costs.contender_process import file_key
    from segbench.networks.checkpoint_meta import read_meta
    from segbench.networks.load import recorded_model

    path = _path(cell, backend, run.directory)
    assert path is not None
    then = ""
    checkpoint = _path(cell, EAGER, run.directory)
    try:
        if checkpoint is not None:
            meta = read_meta(checkpoint)
            model = recorded_model(meta, catalog)
            inputs, classes, then = meta.task.inputs, meta.task.num_classes, meta.model_plugin
        else:
            model = catalog.model(cell.model)
            inputs, classes = run.result.task["inputs"], run.result.task["num_classes"]
    except (SegbenchError, KeyError) as error:
        return Artifact(error=f"{run.name}: {error}")
    now = model.code.identity
    job = CellJob(
        cell=cell.id,
        model=model.choice.name,
        model_options=model.options.values(),
        model_parts=model.parts_record() or None,
        loss=None,
        dataset=f"{SYNTHETIC}[inputs={format_value(tuple(f'{k}={v}' for k, v in inputs.items()))},num_classes={classes}]",
        settings=_settings(timing),
        seed=0,
        device=timing.device,
        directory=run.directory.absolute(),
        checkpoint=checkpoint.absolute() if checkpoint else None,
    )
    contender = ContenderJob(
        cell=job,
        threads=min(timing.threads or usable_cores(), usable_cores()),
        backend=backend,
        files={} if backend == EAGER else {file_key(timing.input_size, 1): path.absolute()},
        randomised_layout=True,
    )
    return Artifact(contender, code=f"{then} -> {now}" if backend == EAGER and then != now else "")


def _settings(timing: Latency) -> Settings:
    height, width = timing.input_size
    return Settings.model_validate({"measure": {"input_size": f"{height}x{width}"}})


def _refused(sides: Sequence[Artifact], *, forced: bool) -> Retimed:
    errors = [side.error for side in sides if side.error]
    if errors:
        return Retimed(error=errors[0])
    codes = list(dict.fromkeys(side.code for side in sides if side.code))
    if not codes:
        return Retimed()
    reason = f"the model's code is another one now ({', '.join(codes)})"
    if forced:
        return Retimed(notes=(f"{reason}: both networks were built by it, so that a change of the code is not in this figure",))
    return Retimed(error=f"{reason}: a checkpoint would be raced with today's code on both sides (race it all the same: --retime)")


def _races(
    pairs: Sequence[_RacePair], *, listener: Listener, rounds: int, threads: int | None, margin: float
) -> Iterator[tuple[Key, Retimed]]:
    from segbench.execution.workers import Workers
    from segbench.measure.environment import describe_environment
    from segbench.util.devices import resolve_device

    machine = describe_environment()
    workers = Workers()
    with tempfile.TemporaryDirectory(prefix="segbench-retime-") as folder:
        for number, pair in enumerate(pairs, 1):
            cell, device = pair.jobs[0].cell.cell, pair.timing.device
            listener.on(Note(None, f"racing {cell} again, in both versions ({number}/{len(pairs)}, {pair.key[1]})"))
            listener.on(LatencyStarted(batch_size=1, contenders=2))
            try:
                resolve_device(device)
                timed = _race(pair, workers=workers, logs=Path(folder), rounds=rounds, threads=threads, margin=margin)
            except (RuntimeError, SegbenchError) as error:
                yield pair.key, Retimed(error=f"could not be raced again: {error}")
                continue
            name = machine.cpu if device == "cpu" else ", ".join(machine.gpu)
            yield pair.key, Retimed(*timed, machine=name or "", notes=pair.notes)


def _race(pair: _RacePair, *, workers: Workers, logs: Path, rounds: int, threads: int | None, margin: float) -> tuple[Latency, Latency]:
    """Both networks, each in a process of its own."""

    @contextlib.contextmanager
    def enter(new_first: bool) -> Iterator[Pair]:
        with contextlib.ExitStack() as stack:
            order = (1, 0) if new_first else (0, 1)
            entered = {i: _enter(stack, workers, ("baseline", "new")[i], pair.jobs[i], pair.timing, logs, threads) for i in order}
            yield entered[0], entered[1]

    return race_until_narrow(enter, rounds=rounds, margin=margin)


def race_until_narrow(
    enter: Callable[[bool], AbstractContextManager[Pair]], *, rounds: int = ROUNDS, margin: float = DEFAULT_MARGIN
) -> tuple[Latency, Latency]:
    """Times of two contenders in shuffled rounds: ``rounds`` of them after five starts, and further starts until the interval of their
    ratio reaches no further than half the margin on either side, or four times as many rounds are done.

    Each time both processes are started anew: two starts of one program differ by a per cent or more with the layout of their memory,
    which more rounds of the same start would take for a difference of the networks. Of two or three starts the interval would know too
    little. They take turns in starting first (``enter(new_first)`` gives the baseline and the new one): who comes second finds the memory
    fuller.

    Rounds are short, so that a passing load affects both within a round. When to stop depends on the interval's width only,
    never on where it lies: stopping at the first significant difference would find one where there is none. Raises :class:`RuntimeError`
    where one of them fails.
    """
    from segbench.measure.latency import TimingBudget, join_starts, race

    budget = TimingBudget(rounds=math.ceil(rounds / _LEAST_STARTS), min_calls=3, min_round_seconds=0.06, lead_in_seconds=0.012)
    starts: list[tuple[Latency, Latency]] = []
    while True:
        with enter(len(starts) % 2 == 1) as contenders:
            raced = race(contenders, seed=len(starts), budget=budget)
        if raced.errors:
            raise RuntimeError("; ".join(f"{name}: {reason}" for name, reason in raced.errors.items()))
        first, second = (raced.latencies[contender.name] for contender in contenders)
        starts.append((first, second))
        if len(starts) >= _MOST_STARTS or (len(starts) >= _LEAST_STARTS and _is_narrow(starts, margin)):
            return join_starts([start[0] for start in starts]), join_starts([start[1] for start in starts])


def _is_narrow(starts: Sequence[tuple[Latency, Latency]], margin: float) -> bool:
    old, new = ([block for start in starts for block in start[side].rounds_ms] for side in (0, 1))
    ratio = ratio_of(new, old, starts=[len(start[0].rounds_ms) for start in starts])
    return ratio.low is not None and ratio.high is not None and math.log(ratio.high / ratio.low) <= math.log1p(margin)


def _enter(
    stack: contextlib.ExitStack, workers: Workers, name: str, job: ContenderJob, timing: Latency, logs: Path, threads: int | None
) -> Contender:
    from segbench.execution.costs.contender_process import RemoteContender
    from segbench.execution.costs.pool import ask, receive

    job = job.model_copy(update={"threads": threads or job.threads})
    worker = workers.start("segbench.execution.costs.contender_process:serve", job, log=logs / f"{name}.log")
    stack.callback(worker.end)
    receive(worker, "ready")
    return RemoteContender(name, lambda command: ask(worker, command), timing.input_size, 1)
